"""The command line: help, usage errors, recipes, plans, and what a run says on a terminal, in a log and as JSON."""

import json
import os
import pty
import re
import subprocess
import unittest

from backends import Directory, StandIn
from failing import FailureTest, add, layer, noise
from harness import Image
from published import assert_public_name, layer_place, place


class HelpTest(FailureTest):
    def run_ducc(self, *arguments, status=0):
        """Without a state directory, as a person types it."""
        return self.ducc().run(*arguments, state=False, check=status)

    def test_help(self):
        text = self.run_ducc("--help").stdout
        for command in ("convert", "convert-single-image", "version", "help"):
            self.assertIn(f"ducc {command}", text)
        for status in ("0 ", "1 ", "2 ", "3 "):
            self.assertRegex(text, r"Exit status[\s\S]*" + status)
        self.assertEqual(self.run_ducc("help").stdout, text)
        self.assertEqual(self.run_ducc("-h").stdout, text)
        self.assertIn("ducc convert", self.ducc().run(state=False).stdout)

    def test_help_of_commands(self):
        for command in ("convert", "convert-single-image"):
            result = self.run_ducc(command, "--help")
            self.assertEqual(result.stderr, "")
            self.assertEqual(self.run_ducc("help", command).stdout, result.stdout)
            self.assertIn(f"Usage: ducc {command}", result.stdout)
            for option in ("--dry-run", "--chains", "--platform", "--skip-flat", "--skip-layers", "--state-dir", "--spool",
                           "--spool-limit", "--json", "--verbose", "--quiet"):
                self.assertIn(f" {option}", result.stdout, command)
        self.assertIn("--repo", self.run_ducc("convert", "--help").stdout)

    def test_version(self):
        self.assertRegex(self.run_ducc("version").stdout, r"\Aducc \d+\.\d+\.\d+\n\Z")

    def test_usage_errors(self):
        """Status 2, and a message that names the wrong word or says what is missing."""
        image, repository = "registry.example.org/a/b:1", self.path("repo")
        for arguments, words in [
                (["conwert"], "conwert"), (["--no-such"], "--no-such"), (["convert"], "recipe|--repo"),
                (["convert", "--no-such"], "--no-such"), (["convert", "-Z"], "-Z"), (["convert", "--repo"], "--repo"),
                (["convert", "--repo", repository], "usage: ducc convert"), (["convert-single-image", image], "REPO|argument|want"),
                (["convert-single-image", image, repository, "more"], "usage: ducc convert-single-image"),
                (["convert", "--chains", "some", "--repo", repository, image], "some"),
                (["convert", "--platform", "amd64", "--repo", repository, image], "amd64"),
                (["convert", "--spool-limit", "lots", "--repo", repository, image], "lots"),
                (["convert", "--spool-limit", "-1", "--repo", repository, image], "-1"),
                (["convert", "--jobs", "many", "--repo", repository, image], "many"),
                (["convert", "--jobs", "0", "--repo", repository, image], "jobs"),
                (["convert", "--repo", repository, "ubuntu:24.04"], "ubuntu:24.04|does not begin with a registry"),
                (["convert", "--repo", repository, image, "reg.example.org/UPPER:1"], "UPPER"),
                (["convert", "--repo", repository, "reg.example.org/../../a:1"], r"\.\."),
                (["convert", "--repo", "/cvmfs/x.example.org", image], "x.example.org"),
                (["convert", "--repo", "-k", image], "-k"), (["convert", "--repo", "a/b", image], "a/b"),
                (["convert", "--repo", "", image], "repository|--repo"), (["convert", self.path("no-recipe")], "no-recipe"),
                (["help", "conwert"], "conwert"), (["version", "extra"], "usage: ducc version")]:
            with self.subTest(arguments):
                result = self.ducc().run(*arguments, state=False, check=2)
                self.assertRegex(result.stderr, r"\Aducc: ")
                self.assertRegex(result.stderr, words)
                self.assertEqual(result.stdout, "")
                self.assertFalse(os.path.lexists(repository), "it has made the repository")

    def test_old_options_are_accepted(self):
        """Those that the help says are; with a value where the Go tool has one."""
        registry = self.registry()
        registry.push_image("a/b", "1", [layer("one")])
        image, repository = f"http://{registry.host}/a/b:1", self.path("repo")
        for command, arguments in (("convert", ["--repo", repository, image]), ("convert-single-image", [image, repository])):
            text = " ".join(self.run_ducc(command, "--help").stdout.split())
            named = re.search("Go tool's scripts, without effect: ([-a-z, ]+)", text)[1].split(", ")
            self.assertIn("-f", named)
            for option in named:
                with self.subTest(command, option=option):
                    value = ["x"] if option in ("-u", "-r") else []
                    result = self.ducc().run(command, option, *value, *arguments, check=True)
                    self.assertRegex(result.stderr, "warning .*no effect")


class RecipeTest(FailureTest):
    def setUp(self):
        super().setUp()
        self.source = self.registry()
        self.image = self.source.push_image("a/b", "1", [layer("one")])

    def recipe(self, *entries, text=None, repository=None):
        path = self.path("recipe.yaml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(text or "\n".join(["version: 1", "user: somebody", f"cvmfs_repo: {repository or self.path('repo')}",
                                         "output_format: '$(scheme)://r/$(image)'", "input:",
                                         *(f"  - {entry}" for entry in entries), ""]))
        return path

    def test_a_recipe(self):
        """Into a directory, and into a CernVM-FS repository."""
        for backend in (Directory(self.scratch), StandIn(self.scratch)):
            path = self.recipe(f"'http://{self.source.host}/a/b:1'", repository=backend.argument)
            self.ducc(backend).run("convert", path, check=True)
            assert_public_name(self, backend.view, f"{self.source.host}/a/b:1", self.image.config_digest)

    def test_one_bad_entry(self):
        path = self.recipe("'not an image'", f"http://{self.source.host}/a/b:1", "ubuntu")
        result = self.ducc().run("convert", path, check=1)
        self.assertRegex(result.stdout, f"failed +{path}:6:\\d+\n +.*not an image")
        self.assertRegex(result.stdout, f"failed +{path}:8:\\d+\n +.*ubuntu")
        self.assertIn("1 published in 1 revision, 0 up to date, 2 failed", result.stdout)
        assert_public_name(self, self.path("repo"), f"{self.source.host}/a/b:1", self.image.config_digest)

    def test_wishes_that_fail_say_where_they_stand(self):
        path = self.recipe(f"http://{self.source.host}/a/b:missing", f"http://{self.source.host}/a/b:x*")
        result = self.ducc().run("convert", path, check=1)
        self.assertRegex(result.stdout, "a/b:missing\n.*recipe.yaml:6")
        self.assertRegex(result.stdout, "no tag matches \"x\\*\"|recipe.yaml:7")

    def test_broken_recipes_do_nothing(self):
        entry = f"  - http://{self.source.host}/a/b:1"
        head = f"version: 1\ncvmfs_repo: {self.path('repo')}\n"
        self.source.forget_requests()
        for text, words in [
                (f"{head}input: [\n", ":3:|:4:"), (f"{head}inputs:\n{entry}\n", ":3:1.*inputs"),
                (f"version: 7\ncvmfs_repo: {self.path('repo')}\ninput:\n{entry}\n", ":1:.*7"),
                (f"version: 1\ninput:\n{entry}\n", "cvmfs_repo"), (f"{head}input:\n{entry}\nusr: x\n", ":5:1.*usr"),
                ("- a\n- b\n", ":1:1"), ("\t", ":1:"), (f"{head}{head}input: []\n", ":3:1.*version")]:
            with self.subTest(text):
                result = self.ducc().run("convert", self.recipe(text=text), check=2)
                self.assertRegex(result.stderr, r"\Aducc: .*recipe.yaml")
                self.assertRegex(result.stderr, words)
                self.assertEqual((result.stdout, self.source.requests()), ("", []))
                self.assertFalse(os.path.lexists(self.path("repo")))

    def test_wildcards(self):
        for tag in ("1.0", "1.1", "1.10-slim", "2.0", "latest"):
            self.source.push("c/d", tag, self.image)
        for pattern, matches in [("1.*", ["1.0", "1.1", "1.10-slim"]), ("*-slim", ["1.10-slim"]), ("1*0", ["1.0"]),
                                 ("*", ["1.0", "1.1", "1.10-slim", "2.0", "latest"]), ("1.1", ["1.1"])]:
            with self.subTest(pattern):
                repository = self.path("repo" + str(len(os.listdir(self.scratch))))
                self.ducc().run("convert", self.recipe(f"'http://{self.source.host}/c/d:{pattern}'", repository=repository),
                                check=True)
                self.assertEqual(sorted(os.listdir(os.path.join(repository, self.source.host, "c"))),
                                 [f"d:{tag}" for tag in matches])

    def test_single_image(self):
        self.ducc().run("convert-single-image", f"http://{self.source.host}/a/b:1", self.path("repo"), check=True)
        assert_public_name(self, self.path("repo"), f"{self.source.host}/a/b:1", self.image.config_digest)

    def test_an_image_by_digest(self):
        name = f"{self.source.host}/a/b@{self.image.digest}"
        self.ducc().run("convert", "--repo", self.path("repo"), f"http://{name}", check=True)
        assert_public_name(self, self.path("repo"), name, self.image.config_digest)

    def test_platforms(self):
        images = {"arm64": Image([layer("arm")], architecture="arm64"), "amd64": Image([layer("amd")])}
        self.source.push_index("multi", "t", list(images.values()))
        for platform, image in images.items():
            repository = self.path(platform)
            self.ducc().run("convert", "--platform", f"linux/{platform}", "--repo", repository,
                            f"http://{self.source.host}/multi:t", check=True)
            assert_public_name(self, repository, f"{self.source.host}/multi:t", image.config_digest)

    def test_what_is_left_out(self):
        image = self.source.push_image("a/c", "1", [layer("one"), layer("two")])
        chains = [place("chains", one) for one in image.chain_ids()]
        layers, flat = [layer_place(one) for one in image.layer_digests], [place("flat", image.config_digest)]
        for options, there in [
                ([], layers + chains[1:] + flat), (["-s"], layers + chains[1:]), (["--skip-layers"], chains[1:] + flat),
                (["--chains", "none"], layers + flat), (["--chains=all", "-s"], layers + chains),
                (["-d", "--chains", "none"], flat), (["-sd"], chains[1:]), (["--chains", "top"], layers + chains[1:] + flat)]:
            with self.subTest(options):
                repository = self.path("repo" + str(len(os.listdir(self.scratch))))
                self.ducc().run("convert", *options, "--repo", repository, f"http://{self.source.host}/a/c:1", check=True)
                found = [one for one in layers + chains + flat if os.path.isdir(os.path.join(repository, one))]
                self.assertEqual(found, there)
                self.assertEqual(os.path.islink(os.path.join(repository, self.source.host, "a/c:1")), flat[0] in there)


class ReportTest(FailureTest):
    def setUp(self):
        super().setUp()
        self.source = self.registry()
        self.image = self.source.push_image("a/b", "1", [layer("one"), layer("two")])
        self.name = f"{self.source.host}/a/b:1"

    def events(self, *options, status=0, ducc=None):
        result = (ducc or self.ducc()).run("convert", "--json", *options, "--repo", self.path("repo"), "http://" + self.name,
                                           f"http://{self.source.host}/a/b:missing", check=status)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        for line in lines:
            self.assertRegex(line["time"], r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
        return lines

    def test_dry_run(self):
        ducc, repository = self.ducc(), self.path("repo")
        result = ducc.run("convert", "--dry-run", "--repo", repository, "http://" + self.name, check=True)
        self.assertIn(f"plan for {self.name}", result.stdout)
        self.assertRegex(result.stdout, "layers: 2 new, 0 present; chains: 1 new; flat images: 1 new")
        self.assertRegex(result.stdout, f"planned +{self.name}")
        self.assertEqual(os.listdir(repository), [])
        self.source.forget_requests()
        result = ducc.run("convert", "--repo", repository, "http://" + self.name, check=True)
        assert_public_name(self, repository, self.name, self.image.config_digest)
        fetched = {one.reference for one in self.source.requests("GET", "blobs")}
        self.assertEqual(fetched & set(self.image.layer_digests), set(), "fetched again")
        result = ducc.run("convert", "--dry-run", "--repo", repository, "http://" + self.name, check=True)
        self.assertIn("nothing to publish", result.stdout)

    def test_json(self):
        plan = self.events("--dry-run", status=1)
        self.assertEqual([line["outcome"] for line in plan if line["event"] == "result"], ["failed", "planned"])
        [planned] = [line for line in plan if line["event"] == "plan"]
        self.assertEqual((planned["layers_new"], planned["layers_present"], planned["flat_new"]), (2, 0, 1))
        lines = self.events(status=1)
        kinds = [line["event"] for line in lines]
        self.assertEqual(kinds[-1], "end")
        self.assertLessEqual({"fetching", "commit", "result", "end"}, set(kinds))
        failed, published = sorted((line for line in lines if line["event"] == "result"), key=lambda line: line["outcome"])
        self.assertEqual((failed["image"], failed["kind"]), (f"{self.source.host}/a/b:missing", "not-found"))
        self.assertEqual((published["image"], published["outcome"], published["layers_new"]), (self.name, "published", 2))
        [commit] = [line for line in lines if line["event"] == "commit"]
        self.assertEqual(commit["images"], 1)
        self.assertGreater(commit["content_bytes"], 2 * 2000)
        end = lines[-1]
        self.assertEqual([end[key] for key in ("published", "unchanged", "failed", "revisions")], [1, 0, 1, 1])
        end = self.events(status=1)[-1]
        self.assertEqual([end[key] for key in ("published", "unchanged", "failed", "revisions")], [0, 1, 1, 0])

    def test_log_lines(self):
        """Without a terminal: a line an event, with time and level, and no escape sequence."""
        arguments = ("--repo", self.path("repo"), "http://" + self.name, f"http://{self.source.host}/a/b:missing")
        result = self.ducc().run("convert", *arguments, check=1)
        for line in result.stderr.splitlines():
            self.assertRegex(line, r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (info|warning|error) ")
        self.assertRegex(result.stderr, f"info {self.name}: .*2 layers")
        self.assertRegex(result.stderr, "info committed one revision")
        self.assertRegex(result.stderr, f"error {self.source.host}/a/b:missing: ")
        self.assertNotIn("\x1b", result.stderr + result.stdout)
        self.assertRegex(result.stdout, f"published +{self.name}")
        quiet = self.ducc().run("convert", "--quiet", "--convert-again", *arguments, check=1)
        self.assertNotIn(" info ", quiet.stderr)
        self.assertIn(" error ", quiet.stderr)

    def test_terminal(self):
        """Progress is drawn while it runs; in the end only what stays of interest stands on the screen."""
        source = self.misbehaving()
        add(source, "slow", "t", Image([noise("slow", 200_000)]))
        source.behave("/blobs/", trickle=(8192, 0.06))
        ours, theirs = pty.openpty()
        process = self.ducc().start("convert", "--repo", self.path("repo"), f"http://{source.host}/slow:t",
                                    stdout=subprocess.PIPE, stderr=theirs, env={"TERM": "xterm"})
        os.close(theirs)
        drawn = b""
        while True:
            try:
                drawn += os.read(ours, 1 << 16)
            except OSError:     # how Linux tells the end of a terminal
                break
        os.close(ours)
        output = process.communicate(timeout=30)[0]
        self.assertEqual(process.returncode, 0, drawn)
        text = drawn.decode()
        self.assertRegex(text, f"fetching +{source.host}/slow:t +fetched [\\d.]+ k?B of")
        self.assertRegex(text, "0 of 1 images done, 1 at work")
        amounts = re.findall("fetched ([\\d.]+ k?B) of", text)
        self.assertGreater(len(set(amounts)), 2, "it is not redrawn")
        left = screen(text)
        self.assertNotRegex("\n".join(left), "fetching|at work|images done")
        self.assertRegex("\n".join(left), "committed one revision")
        self.assertIn(b"published", output)
        self.assertNotIn(b"\x1b", output)


def screen(text):
    """What stands on a terminal after these characters: lines without their trailing blanks."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[\d*[A-Za-z]|[^\x1b]", text):
        if token == "\n":
            row += 1
        elif token == "\r":
            column = 0
        elif token.startswith("\x1b["):
            number = int(token[2:-1] or 0)
            if token[-1] == "A":
                row = max(0, row - max(number, 1))
            elif token[-1] == "J" and number == 0:
                lines[row:] = [lines[row][:column]]
            elif token[-1] == "K" and number == 0:
                lines[row] = lines[row][:column]
            elif token[-1] != "m":
                raise AssertionError(f"this little terminal does not know {token!r}")
        else:
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + 1:]
            column += 1
        while len(lines) <= row:
            lines.append("")
    return [line.rstrip() for line in lines]


if __name__ == "__main__":
    unittest.main()
