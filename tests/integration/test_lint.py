"""`ducc lint`: on the public list, on a merge request, against a registry, and in the forms that forges read."""

import json
import os
import re
import unittest

from gitrepo import WorkTree, git
from harness import IntegrationTest, TarBuilder
from registry import free_port

HEAD = "version: 1\ncvmfs_repo: images.example.org\ninput:\n"
BROKEN = HEAD + """\
- ubuntu
- registry.example.org/a:1
- registry.example.org/a:1
- registry.example.org/b:*
- docker.io/library/c:1
- docker.io/library/c:2
- index.docker.io/library/d:1
- registry.example.org/B:1
"""


class LintTest(IntegrationTest):
    def lint(self, *arguments, status=0, cwd=None):
        return self.ducc().run("lint", *arguments, state=False, check=status, cwd=cwd)

    def findings(self, *arguments, status=0, cwd=None):
        found = json.loads(self.lint("--format", "json", *arguments, status=status, cwd=cwd).stdout)["findings"]
        return [(each["line"], each["rule"], each["severity"]) for each in found]

    def recipe(self, text, name="recipe.yaml"):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def test_the_public_list(self):
        beside = os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared")
        path = os.path.join(os.environ.get("DUCC_SHARED", beside), "recipe-images-unpacked.yaml")
        if not os.path.exists(path):
            self.skipTest("the public list lies beside the source only where it was copied to")
        with open(path, encoding="utf-8") as source:
            lines = source.read().splitlines()
        found = self.findings(path, status=1)
        self.assertEqual([each[1:] for each in found], [("duplicate", "error"), ("unbounded", "warning")])
        duplicate, unbounded = (lines[line - 1].strip(" -'") for line, _, _ in found)
        self.assertEqual(sum(duplicate in line for line in lines), 2)
        self.assertTrue(unbounded.endswith(":*"), unbounded)
        # A registry's port is no fault, and neither is an entry without https:// in front of it, or with http://.
        self.assertTrue(any(re.search(r"://[^/]+:\d+/", line) for line in lines))
        for scheme in ("", "http://"):
            other = self.recipe("\n".join(re.sub("- 'https://", f"- '{scheme}", line) for line in lines))
            self.assertEqual(self.findings(other, status=1), found, scheme)

    def test_status(self):
        good = self.recipe(HEAD + "- registry.example.org/a:1\n", "good.yaml")
        warned = self.recipe(HEAD + "- registry.example.org/a:*\n", "warned.yaml")
        wrong = self.recipe(HEAD + "- ubuntu\n", "wrong.yaml")
        broken = self.recipe(HEAD + "- [\n", "broken.yaml")
        self.assertIn("0 errors, 0 warnings", self.lint(good).stdout)
        self.assertEqual(self.findings(warned), [(4, "unbounded", "warning")])
        self.lint("--strict", warned, status=1)
        self.assertEqual(self.findings(good, wrong, warned, status=1),
                         [(4, "unbounded", "warning"), (4, "syntax", "error")])
        self.assertEqual(self.findings(broken, status=1), [(5, "syntax", "error")])
        for arguments, says in [((self.path("none.yaml"),), "none.yaml"), (("--format", "xml", good), '"xml"'),
                                (("--changed-since", "HEAD", good), "good.yaml"),
                                ((), "usage: ducc lint")]:
            self.assertIn(says, self.lint(*arguments, status=2).stderr)

    def test_forms(self):
        text = ("version: 2\nrepository: images.example.org\nimages:\n"
                "- image: 'registry.example.org/a,b::error file=x%'\n- 'registry.example.org/a:*'\n")
        path = self.recipe(text, "a,b.yaml")
        self.assertRegex(self.lint(path, status=1).stdout,
                         re.escape(path) + r":5:3: warning: registry.example.org/a:\* selects .* \[unbounded\]\n")
        github = self.lint("--format", "github", path, status=1).stdout.splitlines()
        self.assertEqual(len(github), 2)
        self.assertTrue(github[0].startswith(f"::error file={path.replace(',', '%2C')},line=4,col="), github[0])
        self.assertIn("x%25", github[0])
        self.assertTrue(github[1].startswith("::warning file="), github[1])
        gitlab = json.loads(self.lint("--format", "gitlab", path, status=1).stdout)
        self.assertEqual([each["check_name"] for each in gitlab], ["syntax", "unbounded"])
        self.assertEqual([each["severity"] for each in gitlab], ["major", "minor"])
        for each in gitlab:
            self.assertEqual(set(each), {"description", "check_name", "fingerprint", "severity", "location"})
            self.assertEqual(each["location"]["path"], path)
        self.recipe(text.replace("images:\n", "images:\n# a line more\n"), "a,b.yaml")
        moved = json.loads(self.lint("--format", "gitlab", path, status=1).stdout)
        self.assertEqual([each["fingerprint"] for each in moved], [each["fingerprint"] for each in gitlab])
        self.assertNotEqual(moved[0]["location"], gitlab[0]["location"])

    def test_a_merge_request_answers_for_its_own_lines(self):
        """The list is broken in many ways already; only what the request adds is reported."""
        work = WorkTree(self.path("work"))
        work.commit(lists__recipe_yaml=BROKEN)
        path = "lists/recipe.yaml"
        self.assertGreater(len(self.findings(path, status=1, cwd=work.directory)), 4)
        work.git("checkout", "-q", "-b", "request")
        self.assertEqual(self.findings("--changed-since", "main", path, cwd=work.directory), [])
        added = BROKEN.replace(HEAD, HEAD + "# a comment moves all lines\n") + "- registry.example.org/new:1\n- debian\n"
        work.commit(lists__recipe_yaml=added)
        self.assertEqual(self.findings("--changed-since", "main", path, status=1, cwd=work.directory),
                         [(14, "syntax", "error")])
        self.assertEqual(len(self.lint("--format", "github", "--changed-since", "main", path, status=1,
                                       cwd=work.directory).stdout.splitlines()), 1)
        # Others merge meanwhile, and take a line away: that is no doing of this request.
        work.git("checkout", "-q", "main")
        work.commit(lists__recipe_yaml=BROKEN.replace("- ubuntu\n", ""))
        work.git("checkout", "-q", "request")
        self.assertEqual(self.findings("--changed-since", "main", path, status=1, cwd=work.directory),
                         [(14, "syntax", "error")])
        # Not committed yet; from another folder; a file that is new.
        work.write("lists/recipe.yaml", added + "- registry.example.org/new:1\n")
        work.write("new.yaml", HEAD + "- ubuntu\n")
        self.assertEqual(self.findings("--changed-since", "main", "recipe.yaml", status=1,
                                       cwd=os.path.join(work.directory, "lists")),
                         [(14, "syntax", "error"), (15, "duplicate", "error")])
        self.assertEqual(self.findings("--changed-since", "main", "new.yaml", status=1, cwd=work.directory),
                         [(4, "syntax", "error")])
        self.assertIn("no revision of the repository",
                      self.lint("--changed-since", "nowhere", path, status=2, cwd=work.directory).stderr)

    def test_clones_of_runners(self):
        """Without history (REV itself is compared with), of another owner, and as a work tree beside the repository."""
        work = WorkTree(self.path("work"))
        work.commit(recipe_yaml=BROKEN)
        work.commit(other_yaml="")
        work.git("checkout", "-q", "-b", "request")
        work.commit(recipe_yaml=BROKEN + "- debian\n")
        shallow = self.path("shallow")
        git(self.scratch, "clone", "-q", "--depth", "1", "--branch", "request", "file://" + work.directory, shallow)
        git(shallow, "fetch", "-q", "--depth", "1", "origin", "main")
        for top, _, files in os.walk(shallow):
            for path in [top, *(os.path.join(top, name) for name in files)]:
                os.chown(path, 1234, 1234)
        # libgit2 1.5 loses some bytes when it meets the end of such a history.
        done = self.ducc().run("lint", "--changed-since", "FETCH_HEAD", "recipe.yaml", state=False, check=1, cwd=shallow,
                               env={"ASAN_OPTIONS": "detect_leaks=0"})
        self.assertRegex(done.stdout, "^recipe.yaml:12:3: error: .*\n1 error, 0 warnings\n$")
        work.git("worktree", "add", "-q", self.path("beside"), "main")
        with open(self.path("beside", "recipe.yaml"), "a", encoding="utf-8") as out:
            out.write("- alpine\n")
        self.assertEqual(self.findings("--changed-since", "main", self.path("beside", "recipe.yaml"), status=1),
                         [(12, "syntax", "error")])

    def test_includes_of_the_time(self):
        work = WorkTree(self.path("work"))
        main = "version: 2\nrepository: images.example.org\ninclude: [more.yaml]\n"
        more = "version: 2\nimages:\n- ubuntu\n"
        work.commit(recipe_yaml=main, more_yaml=more)
        work.git("checkout", "-q", "-b", "request")
        work.commit(more_yaml=more + "- debian\n")
        found = json.loads(self.lint("--format", "json", "--changed-since", "main", "recipe.yaml", status=1,
                                     cwd=work.directory).stdout)["findings"]
        self.assertEqual([(each["path"], each["line"]) for each in found], [("more.yaml", 4)])

    def test_the_rules_of_the_site(self):
        config = self.recipe("registries: {allow: [good.example.org]}\n", "ducc.yaml")
        path = self.recipe(HEAD + "- good.example.org/a:1\n- other.example.org/a:1\n")
        self.assertEqual(self.findings("--config", config, path, status=1), [(5, "registry", "error")])

    def test_online(self):
        registry = self.registry()
        layer = TarBuilder().file("a", b"x" * 100000).bytes()
        for tag in ("1.0", "1.1", "2.0"):
            registry.push_image("lib/a", tag, [layer])
        host = f"http://{registry.host}/lib"
        path = self.recipe(HEAD + f"- {host}/a:1.0\n- {host}/a:9\n- '{host}/a:1.*'\n- '{host}/a:8.*'\n- {host}/none:1\n"
                           f"- registry.invalid/x:1\n- http://127.0.0.1:{free_port()}/x:1\n")
        result = json.loads(self.lint("--online", "--format", "json", path, status=1).stdout)
        by_line = {}
        for each in result["findings"]:
            by_line.setdefault(each["line"], []).append(each)
        self.assertEqual([each["rule"] for each in by_line[4]], ["size"])
        self.assertEqual([each["rule"] for each in by_line[5]], ["image"])
        self.assertEqual([each["rule"] for each in by_line[6]], ["overlap", "size"])
        self.assertIn("2 tags, about ", by_line[6][1]["message"])
        self.assertIn("none of the 3 tags", by_line[7][0]["message"])
        self.assertEqual([each["rule"] for each in by_line[8]], ["image"])
        for line in (9, 10):
            self.assertEqual([(each["rule"], each["severity"]) for each in by_line[line]], [("registry", "error")])
        bounded = self.recipe("version: 2\nrepository: images.example.org\nlimits: {tags: 2, image_size: 50}\nimages:\n"
                              f"- '{host}/a:*'\n", "bounded.yaml")
        messages = [each["message"] for each in
                    json.loads(self.lint("--online", "--format", "json", bounded, status=1).stdout)["findings"]]
        self.assertTrue(any("3 tags are more than the 2" in each for each in messages), messages)
        self.assertTrue(any("is more than the 50 B" in each for each in messages), messages)


if __name__ == "__main__":
    unittest.main()
