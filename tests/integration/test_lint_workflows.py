"""The ready workflows for GitHub and GitLab (deploy/ci): they are YAML of the right form, and their command lines do in
a clone what they promise. The runner's part (which shell, which variables) is played here."""

import json
import os
import subprocess
import unittest

import yaml

from gitrepo import ENVIRONMENT, WorkTree, git
from harness import IntegrationTest, TarBuilder, need

SOURCE = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))


def load(name):
    with open(os.path.join(SOURCE, "deploy", "ci", name), encoding="utf-8") as source:
        return yaml.safe_load(source)


def github():
    """The only job."""
    (job,) = load("github-lint.yml")["jobs"].values()
    return job


def step(job, name):
    (found,) = (each for each in job["steps"] if each.get("name") == name)
    return found["run"]


class WorkflowTest(IntegrationTest):
    def setUp(self):
        super().setUp()
        registry = self.registry()
        registry.push_image("lib/a", "1", [TarBuilder().file("a", b"x" * 1000).bytes()])
        self.image = f"http://{registry.host}/lib/a"
        os.mkdir(self.path("bin"))
        os.symlink(self.ducc().binary, self.path("bin", "ducc"))
        self.seed = WorkTree(self.path("seed"), bare=self.path("origin.git"))
        self.broken = f"version: 1\ncvmfs_repo: images.example.org\ninput:\n- ubuntu\n- '{self.image}:*'\n- {self.image}:9\n"
        self.seed.commit(recipe_yaml=self.broken)
        self.seed.push()
        self.seed.git("checkout", "-q", "-b", "request")

    def request(self, *lines):
        """A clone as a runner makes it, with the merge request of these lines checked out."""
        self.seed.commit(recipe_yaml=self.broken + "".join(line + "\n" for line in lines))
        self.seed.push("--force", branch="request")
        clone = self.path(f"clone-{len(lines)}")
        git(self.scratch, "clone", "-q", self.seed.bare, clone)
        git(clone, "checkout", "-q", "--detach", "origin/request")
        return clone

    def run_script(self, script, cwd, **variables):
        path = f"{self.path('bin')}:{os.environ['PATH']}"
        return subprocess.run([need("sh"), "-e", "-c", script], cwd=cwd, capture_output=True, text=True, check=False,
                              env={**os.environ, **ENVIRONMENT, "PATH": path, **variables})

    def test_github(self):
        job = github()
        self.assertIn("pull_request", load("github-lint.yml")[True])      # YAML 1.1 reads "on" so
        self.assertEqual([each["with"] for each in job["steps"] if "checkout" in each.get("uses", "")], [{"fetch-depth": 0}])
        variables = {"GITHUB_BASE_REF": "main", "RECIPES": job["env"]["RECIPES"]}
        done = self.run_script(step(job, "Lint"), self.request(f"- {self.image}:2"), **variables)
        self.assertEqual(done.returncode, 1, done.stderr)
        missing, overlap = done.stdout.splitlines()
        self.assertTrue(overlap.startswith("::warning file=recipe.yaml,line=7,col=3,title=overlap::"), overlap)
        self.assertTrue(missing.startswith("::error file=recipe.yaml,line=7,col=3,title=image::"), missing)
        done = self.run_script(step(job, "Lint"), self.request(f"- {self.image}:1", "# remarks"), **variables)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("title=size::", done.stdout)

    def test_gitlab(self):
        job = load("gitlab-lint.yml")["lint"]
        report = job["artifacts"]["reports"]["codequality"]
        self.assertEqual(job["artifacts"]["when"], "always")
        variables = {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main", "RECIPES": job["variables"]["RECIPES"]}
        for lines, status in ((["- debian"], 1), ([f"- {self.image}:1", "# remarks"], 0)):
            clone = self.request(*lines)
            done = self.run_script("\n".join(job["script"]), clone, **variables)
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
            with open(os.path.join(clone, report), encoding="utf-8") as source:
                found = json.load(source)
            if status:
                self.assertEqual([(each["check_name"], each["severity"], each["location"]) for each in found],
                                 [("syntax", "major", {"path": "recipe.yaml", "lines": {"begin": 7}})])
                self.assertIn("recipe.yaml:7:3: error:", done.stdout)
                self.assertIn("1 error, 0 warnings", done.stdout)
        self.assertEqual({each["severity"] for each in found}, {"info", "minor"})

    def test_what_both_install(self):
        """The same commands; those that need no network are run as they stand."""
        lines = step(github(), "Install ducc").splitlines()
        self.assertEqual(load("gitlab-lint.yml")["lint"]["before_script"], lines)
        self.assertEqual([os.path.exists(each.replace("/tmp/ducc", SOURCE)) for each in lines[2].split()], [True, True])
        done = self.run_script(lines[3].replace("/tmp/ducc/build", "build").replace("/tmp/ducc", SOURCE), self.scratch)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.run_script("ninja -C build -t query publisher/ducc", self.scratch)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(lines[4].endswith(" --build /tmp/ducc/build"))
        self.assertIn("/tmp/ducc/build/publisher/ducc ", lines[5])


if __name__ == "__main__":
    unittest.main()
