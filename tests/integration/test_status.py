"""What the state database knows: ducc status, ducc why, ducc rebuild-state, and a database that cannot be used."""

import contextlib
import datetime
import json
import os
import re
import sqlite3
import subprocess
import unittest

from backends import Directory
from failing import add, layer
from harness import Image, IntegrationTest
from service import ServiceTest
from tarbuilder import TarBuilder


def layers(*contents):
    return [TarBuilder().file(f"data/{number}", content).bytes() for number, content in enumerate(contents)]


class StatusTest(IntegrationTest):
    """One registry, one list, one directory."""

    def setUp(self):
        super().setUp()
        self.registry_ = self.registry()
        self.host = self.registry_.host
        self.program = self.ducc()
        self.base = os.urandom(200000)
        for tag in ("1", "2"):
            self.registry_.push_image("lib/app", tag, layers(self.base, tag.encode()))

    def write_list(self, *images, name="list.yaml"):
        with open(self.path(name), "w", encoding="utf-8") as out:
            out.write(f"version: 1\nuser: x\ncvmfs_repo: {self.path('repository')}\noutput_format: x\ninput:\n")
            out.writelines(f"  - 'http://{self.host}/{image}'\n" for image in images)
        return self.path(name)

    def convert(self, *images, check=True, **how):
        return self.program.run("convert", self.write_list(*images, **how), check=check)

    def status(self, *arguments, check=False):
        return json.loads(self.program.run("status", "--json", *arguments, check=check).stdout)

    def image(self, name):
        return next(image for image in self.status()["images"] if image["name"] == f"{self.host}/{name}")

    def state_of(self, name):
        return self.image(name)["state"]

    def why(self, name, check):
        return " ".join(self.program.run("why", f"http://{self.host}/{name}", check=check).stdout.split())

    def database(self):
        return os.path.join(self.program.state_dir, "state.db")


class TableTest(StatusTest):
    def test_an_image_from_wanted_to_published(self):
        self.convert("lib/app:*")
        image = self.image("lib/app:1")
        self.assertEqual(image["state"], "published")
        digest = self.registry_.request("HEAD", "/v2/lib/app/manifests/1", headers={
            "Accept": "application/vnd.oci.image.manifest.v1+json"}).headers["Docker-Content-Digest"]
        self.assertEqual(image["wanted_digest"], digest)
        self.assertEqual(image["published_digest"], digest)
        self.assertTrue(os.path.isdir(image["path"]), image["path"])
        self.assertIn(image["image_id"].split(":")[1], os.readlink(image["path"]))
        manifest = json.loads(self.registry_.manifest("lib/app", "1"))
        self.assertEqual(image["bytes"], sum(layer["size"] for layer in manifest["layers"]))
        self.assertEqual(image["platforms"], ["linux/amd64"])
        self.assertEqual([(asked["list"], asked["line"], asked["entry"]) for asked in image["asked_by"]],
                         [(self.path("list.yaml"), 6, f"http://{self.host}/lib/app:*")])
        self.assertEqual(image["published_for"], self.path("list.yaml") + ":6")
        for moment in ("checked_at", "changed_at", "published_at"):
            self.assertRegex(image[moment], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertGreater(image["seconds"], 0)

    def test_what_is_shared(self):
        self.convert("lib/app:1")
        self.convert("lib/app:1", "lib/app:2")
        image = self.image("lib/app:2")
        manifest = json.loads(self.registry_.manifest("lib/app", "2"))
        self.assertEqual(image["bytes_shared"], manifest["layers"][0]["size"])
        self.assertEqual(self.image("lib/app:1")["bytes_shared"], 0)

    def test_the_table(self):
        self.convert("lib/app:1", "lib/absent:1", check=1)
        text = self.program.run("status", check=1).stdout
        lines = text.splitlines()
        self.assertEqual(lines[0].split(), ["STATE", "IMAGE", "WANTED", "PUBLISHED", "SINCE", "CHECKED", "CHANGED", "TOOK",
                                            "SIZE", "SHARED", "ASKED", "BY"])
        digest = self.image("lib/app:1")["published_digest"].removeprefix("sha256:")[:12]
        self.assertRegex(text, rf"\npublished +{self.host}/lib/app:1 +{digest}  {digest} +\d+ s +\d+ s +\d+ s +[\d.]+ s +200\.\d kB +\d+ % +list.yaml:6\n")
        self.assertRegex(text, rf"\nfailed +{self.host}/lib/absent:1 ")
        self.assertRegex(text, r"\n    not-found: no such image or tag, or it is private: http://\S+/v2/lib/absent/manifests/1: 404 Not Found\n"
                               r"    failed \d+ s ago, next try by each pass\n")
        self.assertRegex(text, r"2 images, 1 published, 1 failed; 200\.\d kB compressed\n")
        self.assertTrue(all(len(line) == len(line.rstrip()) for line in lines))

    def test_filters(self):
        self.convert("lib/app:*", "lib/absent:1", check=1)
        names = lambda *arguments, check=False: [  # noqa: E731
            image["name"].removeprefix(self.host + "/") for image in self.status(*arguments, check=check)["images"]]
        self.assertEqual(names("--failed", check=1), ["lib/absent:1"])
        self.assertEqual(names("*app:*", check=0), ["lib/app:1", "lib/app:2"])
        self.assertEqual(names("--repo", self.path("repository"), f"{self.host}/lib/app:1"), ["lib/app:1"])
        self.assertEqual(len(names("--list", "list.yaml")), 3)
        self.assertEqual(names("--list", "other.yaml"), [])
        self.assertEqual(names("nothing", check=1), [])
        self.assertIn("nothing is known of a, b;", self.program.run("status", "a", "b", check=1).stdout)
        for command in (["status"], ["why", f"{self.host}/lib/app:1"]):
            done = self.program.run(command[0], "--repo", "/elsewhere", *command[1:], check=2)
            self.assertIn("nothing is known of the repository /elsewhere", done.stderr)

    def test_on_a_terminal_of_80_columns(self):
        self.convert("lib/app:*")
        done = subprocess.run(["script", "-qec", " ".join(self.program.command("status")), "/dev/null"],
                              env={**os.environ, "COLUMNS": "80"}, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        widths = [len(line.rstrip("\r")) for line in done.stdout.decode().split("\n") if not line.startswith("in ")]
        self.assertGreater(max(widths), 40)
        self.assertLessEqual(max(widths), 80)

    def test_a_dry_run_records_nothing(self):
        self.convert("lib/app:1")
        before = self.status()
        self.program.run("convert", "--dry-run", self.write_list("lib/app:2"), check=True)
        after = self.status()
        self.assertEqual({**before, "taken_at": None}, {**after, "taken_at": None})

    def test_an_entry_that_leaves_the_list(self):
        self.convert("lib/app:1", "lib/app:2")
        self.convert("lib/app:2")
        self.assertEqual(self.state_of("lib/app:1"), "unwanted")
        self.assertTrue(os.path.isdir(self.image("lib/app:1")["path"]))
        self.convert("lib/app:2", name="other.yaml")
        self.convert("lib/app:1", "lib/app:2")
        self.assertEqual(self.state_of("lib/app:1"), "published")
        self.assertEqual(len(self.image("lib/app:2")["asked_by"]), 2)

    def test_what_the_command_line_asks_for_stays_wanted(self):
        for image in ("lib/app:1", "lib/app:2"):
            self.program.run("convert", "--repo", self.path("repository"), f"http://{self.host}/{image}", check=True)
        self.convert("lib/app:2")
        self.assertEqual(self.state_of("lib/app:1"), "published")
        self.assertEqual(self.image("lib/app:1")["asked_by"][0]["list"], "command line")

    def test_a_registry_that_is_away_changes_nothing_that_is_wanted(self):
        self.convert("lib/app:*")
        self.registry_.stop()
        self.convert("lib/app:*", check=1)
        for image in (self.image("lib/app:1"), self.image("lib/app:2")):
            self.assertEqual((image["state"], image["failure"]["kind"]), ("failed", "net"))
            self.assertEqual(image["wanted_digest"], image["published_digest"])
            self.assertIsNone(image["unwanted_since"])
        self.assertIn("what is published is what the registry had", self.why("lib/app:1", check=1))
        entry = self.status()["lists"][0]["entries"][0]
        self.assertEqual(entry["names"], 2)
        self.assertRegex(entry["error"], "tags/list")

    def test_failures_are_counted_and_end(self):
        self.convert("lib/late:1", check=1)
        self.convert("lib/late:1", check=1)
        failure = self.image("lib/late:1")["failure"]
        self.assertEqual((failure["kind"], failure["attempts"]), ("not-found", 2))
        self.assertEqual(failure["next_try_at"], failure["at"])     # each pass asks the registry
        self.registry_.push_image("lib/late", "1", layers(b"late"))
        self.convert("lib/late:1")
        self.assertEqual(self.image("lib/late:1")["state"], "published")
        self.assertIsNone(self.image("lib/late:1")["failure"])

    def test_runs_are_told(self):
        done = self.convert("lib/app:*")
        revisions = int(re.search(r"2 published in (\d) revisions?", done.stdout).group(1))    # 2 if one was ready much sooner
        self.convert("lib/app:*", "lib/absent:1", check=1)
        runs = self.status()["runs"]
        self.assertEqual([(run["kind"], run["published"], run["unchanged"], run["failed"], run["outcome"], run["revisions"])
                          for run in runs], [("convert", 0, 2, 1, "ok", 0), ("convert", 2, 0, 0, "ok", revisions)])
        self.assertEqual(runs[0]["bytes"], 0)
        self.assertTrue(200000 < runs[1]["bytes"] < 300000, runs[1])     # what they share is once in it

    def test_several_architectures(self):
        images = [self.registry_.push_image("lib/multi", None, layers(architecture.encode()), architecture=architecture)
                  for architecture in ("amd64", "arm64")]
        self.registry_.push_index("lib/multi", "1", images)
        self.program.run("convert", "--platform", "linux/amd64", "--platform", "linux/arm64",
                         self.write_list("lib/multi:1"), check=True)
        image = self.image("lib/multi:1")
        self.assertEqual((image["state"], image["platforms"]), ("published", ["linux/amd64", "linux/arm64"]))
        sizes = image["bytes"]
        self.program.run("rebuild-state", self.path("repository"), check=True)
        self.assertEqual(self.image("lib/multi:1")["bytes"], sizes)


class WhyTest(StatusTest):
    def test_why(self):
        self.convert("lib/app:*", "lib/absent:1", check=1)
        published = self.why("lib/app:1", check=0)
        self.assertIn(f"{self.host}/lib/app:1 in {self.path('repository')}: published", published)
        self.assertIn(f'{self.path("list.yaml")}, line 6 asks for it by the entry "http://{self.host}/lib/app:*".', published)
        self.assertIn("The registry last answered for it at", published)
        self.assertIn(f"{self.path('repository')}/{self.host}/lib/app:1: sha256:", published)
        self.assertRegex(published, r"it took [\d.]+ s")
        failed = self.why("lib/absent:1", check=1)
        self.assertIn("not published: the last try failed", failed)
        self.assertIn("404 Not Found", failed)
        self.assertIn("Each pass asks the registry again.", failed)
        nobody = self.why("lib/aps:1", check=1)
        self.assertIn("No list asks for it. Near it comes", nobody)
        self.assertNotIn("Near", self.why("quite/something-else:1", check=1))

    def test_the_end_of_a_name(self):
        self.convert("lib/app:*")
        self.assertIn(f"{self.host}/lib/app:1 in ", self.program.run("why", "app:1", check=0).stdout)
        self.assertRegex(self.program.run("why", "pp:1", check=2).stderr, "does not begin with a registry")

    def test_json(self):
        self.convert("lib/app:1")
        answer = json.loads(self.program.run("why", "--json", f"{self.host}/lib/app:1", check=0).stdout)
        self.assertEqual(answer["verdict"], "published")
        self.assertEqual(answer["history"][0]["what"], "published")
        self.assertEqual({line["about"] for line in answer["lines"]}, {"wanted", "upstream", "published"})


class RetryTest(ServiceTest):
    """Pauses between tries are remembered by the database, over restarts."""

    def setUp(self):
        super().setUp()
        self.source, self.backend = self.misbehaving(), Directory(self.scratch)
        self.image = add(self.source, "a/b", "1", Image([layer("one")]))
        self.name = f"{self.source.host}/a/b:1"
        self.program = self.ducc()
        self.config_file = self.configure([self.recipe("list.yaml", self.backend.argument, [self.name])])

    def failure(self):
        """attempts, seconds until the next try"""
        image, = json.loads(self.program.run("status", "--json").stdout)["images"]
        times = [datetime.datetime.fromisoformat(image["failure"][field]) for field in ("at", "next_try_at")]
        return image["failure"]["attempts"], (times[1] - times[0]).total_seconds()

    def let_time_pass(self, seconds):
        with contextlib.closing(sqlite3.connect(os.path.join(self.program.state_dir, "state.db"))) as database, database:
            database.execute("UPDATE names SET next_try_at = next_try_at - ?", (seconds,))

    def test_growing_pauses(self):
        self.source.behave("/blobs/", status=503)
        for attempts, pause in ((1, 60), (2, 120), (3, 240), (4, 480)):
            self.poll(self.program, self.config_file, status=1)
            self.assertEqual(self.failure()[0], attempts)
            self.assertTrue(pause * 0.74 <= self.failure()[1] <= pause, self.failure())
            self.source.forget_requests()
            self.poll(self.program, self.config_file, status=1)
            self.assertIn("its next try is not due yet", self.errors[self.name])
            self.assertEqual(self.failure()[0], attempts)
            self.assertEqual([request.path for request in self.source.seen("/blobs/")], [])
            self.let_time_pass(pause)
        self.source.well_behaved()
        self.poll(self.program, self.config_file)
        self.assertTrue(self.is_published(self.backend, self.name, self.image))

    def test_a_tag_that_moves_and_somebody_who_asks_do_not_wait(self):
        self.source.behave("/blobs/", status=503)
        self.poll(self.program, self.config_file, status=1)
        self.source.well_behaved()
        moved = add(self.source, "a/b", "1", Image([layer("two")]))
        self.poll(self.program, self.config_file)
        self.assertTrue(self.is_published(self.backend, self.name, moved))
        self.source.behave("/blobs/", status=503)
        asked = add(self.source, "a/b", "1", Image([layer("three")]))
        self.poll(self.program, self.config_file, status=1)
        self.source.well_behaved()
        self.program.run("convert", self.path("list.yaml"), check=0)
        self.assertTrue(self.is_published(self.backend, self.name, asked))


class DatabaseTest(StatusTest):
    def test_before_anything_was_recorded(self):
        self.assertRegex(self.program.run("status", check=2).stderr, "no state database .*ducc convert")

    def facts(self):
        return {image["name"]: [image[field] for field in ("state", "wanted_digest", "published_digest", "image_id",
                                                           "platforms", "bytes")]
                for image in self.status()["images"]}

    def lose_database(self):
        for name in os.listdir(self.program.state_dir):
            if name.startswith("state.db"):
                os.unlink(os.path.join(self.program.state_dir, name))

    def test_rebuilt_when_lost(self):
        self.convert("lib/app:*")
        before = self.facts()
        self.lose_database()
        self.assertIn("2 names found", self.program.run("rebuild-state", self.path("repository"), check=0).stdout)
        self.assertEqual(self.facts(), before)
        self.assertIn("when is not known", self.why("lib/app:1", check=0))

    def test_rebuilt_by_the_next_pass(self):
        self.convert("lib/app:*")
        before = self.facts()
        self.lose_database()
        self.assertIn("2 published names were read from it", self.convert("lib/app:1").stderr)
        self.assertEqual(self.facts().keys(), before.keys())
        self.assertEqual(self.facts()[f"{self.host}/lib/app:1"], before[f"{self.host}/lib/app:1"])

    def test_what_is_not_published_any_more_is_forgotten(self):
        self.convert("lib/app:*")
        subprocess.run(["rm", "-r", self.path("repository", ".metadata", self.host, "lib", "app:1"),
                        self.path("repository", self.host, "lib", "app:1")], check=True)
        os.unlink(self.path("repository", self.host, "lib", "app:2"))
        self.assertIn("1 name found", self.program.run("rebuild-state", self.path("repository"), check=0).stdout)
        self.assertEqual({name.rpartition(":")[2]: facts[0] for name, facts in self.facts().items()}, {"2": "removed"})

    def test_damaged(self):
        self.convert("lib/app:*")
        before = self.facts()
        with open(self.database(), "r+b") as database:
            database.seek(4096)
            database.write(b"\xa5" * 40000)
        for command in (["status"], ["convert", self.write_list("lib/app:1")]):
            self.assertRegex(self.program.run(*command).stderr, "ducc rebuild-state")
        done = self.program.run("rebuild-state", self.path("repository"), check=0)
        self.assertRegex(done.stderr, r"kept as \S+/state\.db\.\d{4}-")
        self.assertEqual(self.facts(), before)

    def test_of_a_newer_program(self):
        self.convert("lib/app:1")
        with sqlite3.connect(self.database()) as database:
            database.execute("PRAGMA user_version = 999")
        self.assertRegex(self.program.run("convert", self.write_list("lib/app:1"), check=3).stderr, "newer ducc")
        self.assertRegex(self.program.run("status", check=2).stderr, "newer ducc")
        self.program.run("rebuild-state", self.path("repository"), check=0)
        self.assertEqual(self.state_of("lib/app:1"), "published")

    def test_rebuilding_what_is_not_there(self):
        self.assertRegex(self.program.run("rebuild-state", self.path("nothing"), check=3).stderr, "there is nothing at")

    def test_read_by_who_may_only_read(self):
        self.convert("lib/app:*")
        os.chmod(self.program.state_dir, 0o755)
        for copy in (False, True):
            with self.subTest(copy=copy):
                if copy:   # of the file alone, in a directory that nobody writes
                    for ending in ("-wal", "-shm"):
                        os.unlink(self.database() + ending)
                done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "-i",
                                       *self.program.command("status")], capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertTrue(re.search("2 images, 2 published", done.stdout), done.stdout)

    def test_nothing_is_published_where_it_cannot_be_recorded(self):
        """A full disk of the state directory is said; what is published stays right."""
        small = self.path("small")
        os.mkdir(small)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=True)
        try:
            done = self.program.run("convert", "--state-dir", small, "--spool", self.path("spool"),
                                    self.write_list("lib/app:1"), state=False)
            self.assertEqual(done.status, 3)
            self.assertRegex(done.stderr, "state.db: .*make room")
        finally:
            subprocess.run(["umount", small], check=True)


if __name__ == "__main__":
    unittest.main()
