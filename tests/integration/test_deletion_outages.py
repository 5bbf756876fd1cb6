"""What fails while something is taken away: nothing goes that was not certain, and the next run ends what was begun."""

import os
import random
import signal
import subprocess
import time
import unittest

from backends import Directory, StandIn
from deletion import DAY, DeletionTest, layer, podman_folders, podman_lists, units, units_of
from harness import TarBuilder
from service import ServiceTest

STEPS = ["ingest-start", "ingest-commit", "ingest-commit-open", "transaction", "publish", "abort"]


class DeletionOutages(DeletionTest):
    """`self.images["two"]` is to go, and everything of "one" to stay."""

    def gc_fails(self, *options, fail):
        said = self.ducc.run("gc", *options, self.backend.argument,
                             env={"DUCC_CLOCK_OFFSET": str(8 * DAY), "CVMFS_STANDIN_FAIL": fail})
        self.assertNotIn("Sanitizer", said.stderr)
        return said

    def assert_one_stays(self):
        self.assert_whole_names("t/one:1", "t/one:again")

    def assert_whole_names(self, *tags):
        for tag in tags:
            self.assert_whole(tag, self.images["two" if "two" in tag else "one"])

    def assert_can_come_back(self):
        """Removed, but all parts are there."""
        self.assertLessEqual(units_of(self.images["two"]), units(self.root))

    def assert_podman_is_consistent(self):
        images, layers = podman_lists(self.root)
        folders = podman_folders(self.root)
        self.assertLessEqual(set(images), folders[0])
        self.assertLessEqual(layers, folders[1])

    def test_a_cvmfs_server_that_fails_while_names_are_removed(self):
        os.makedirs(self.path("one"))
        self.begin(StandIn(self.path("one")))
        for step in STEPS:
            with self.subTest(step):
                said = self.ducc.run("remove", "--repo", self.backend.argument, self.name("t/two:1"),
                                     env={"CVMFS_STANDIN_FAIL": step})
                self.assertNotIn("Sanitizer", said.stderr)
                if step != "abort":         # of which nothing is needed when all goes well
                    self.assertEqual(3, said.status, said.stderr)
                    self.assertIn("cvmfs_server", said.stderr)
                    self.assertTrue(os.path.isdir(os.path.join(self.root, self.name("t/two:1"))))
                else:
                    self.assertEqual(0, said.status, said.stderr)
                self.assert_can_come_back()
                self.assert_one_stays()
                self.backend.assert_sound(self)
        self.assert_gone("t/two:1")
        self.restore("t/two:1")
        self.assert_whole_names("t/two:1", "t/one:1")

    def test_a_cvmfs_server_that_fails_while_content_is_swept(self):
        os.makedirs(self.path("two"))
        self.begin(StandIn(self.path("two")))
        self.remove("t/two:1")
        for step in STEPS[:-1]:
            with self.subTest(step):
                said = self.gc_fails(fail=step)
                if said.status != 0:        # some steps are needed only before
                    self.assertIn("cvmfs_server", said.stderr)
                self.assert_one_stays()
                self.assert_podman_is_consistent()
                self.backend.assert_sound(self)
        self.gc(days=8)
        self.assertEqual(units_of(self.images["one"]), units(self.root))
        self.assert_one_stays()
        self.backend.assert_sound(self)

    def test_an_outage_of_the_registry_is_none_of_gc(self):
        """It asks nobody: what a registry says counts when lists are looked at."""
        self.begin(Directory(self.scratch))
        self.server.stop()
        self.gc("--grace-period", "0", days=1000)
        self.assert_whole_names("t/one:1", "t/one:again", "t/two:1")

    def test_killed_at_any_moment(self):
        """With a kill -9 of its process group, while names are removed and while content is swept."""
        rng = random.Random(7)
        for make in (Directory, StandIn):
            top = self.path(make.kind)
            os.makedirs(top)
            self.begin(make(top))
            for command in ("remove", "gc"):
                arguments = (["remove", "--repo", self.backend.argument, self.name("t/two:1")] if command == "remove"
                             else ["gc", self.backend.argument])
                for _ in range(4):
                    self.kill(arguments, rng.uniform(0, 0.6))
                    self.assert_one_stays()
                    self.assert_podman_is_consistent()
                    if command == "remove":
                        self.assert_can_come_back()
            if os.path.lexists(os.path.join(self.root, self.name("t/two:1"))):
                self.remove("t/two:1")
            self.gc("--grace-period", "0", days=9)
            self.assertEqual(units_of(self.images["one"]), units(self.root))
            self.assert_one_stays()
            self.backend.assert_sound(self)

    def kill(self, arguments, seconds):
        process = self.ducc.start(*arguments, env={"DUCC_CLOCK_OFFSET": str(8 * DAY)}, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # The next run waits for what is left of an ingest, and puts it right.
        self.ducc.run("gc", "--grace-period", "3000", self.backend.argument, check=0)

    def test_files_of_an_earlier_version_survive_its_collection(self):
        """The new version's layer has links to files of the old one's, which goes with all it has."""
        for make in (Directory, StandIn):
            top = self.path("known-" + make.kind)
            os.makedirs(top)
            self.begin(make(top))
            files = {f"d/{number}": b"%d" % number * 5000 for number in range(20)}
            old = self.server.push_image("t/two", "1", [self.layer_of(files, "old")])
            self.publish("t/two:1")
            new = self.server.push_image("t/two", "1", [self.layer_of(files, "new")])
            said = self.ducc.run("convert", "--json", "--repo", self.backend.argument, f"http://{self.name('t/two:1')}",
                                 check=0)
            self.assertRegex(said.stdout, '"known_files": *[1-9]')
            self.gc("--grace-period", "0")
            self.gc("--grace-period", "0", days=1)
            self.assertEqual(units_of(self.images["one"], new), units(self.root))
            self.assertFalse(units_of(old) - units_of(new) & units(self.root))
            self.images["two"] = new
            self.assert_whole_names("t/one:1", "t/two:1")
            flat = os.path.join(self.root, self.name("t/two:1"))
            for path, content in files.items():
                with open(os.path.join(flat, path), "rb") as source:
                    self.assertEqual(content, source.read())
            self.backend.assert_sound(self)

    @staticmethod
    def layer_of(files, own):
        tar = TarBuilder().dir("d")
        for path, content in files.items():
            tar.file(path, content)
        return tar.file("d/own", own).bytes()


class BesideAService(ServiceTest):
    def test_a_service_that_publishes_and_a_collection_take_turns(self):
        """gc, remove and restore while a daemon publishes one image after the other."""
        for make in (Directory, StandIn):
            top = self.path(make.kind)
            os.makedirs(top)
            registry, backend = self.registry(), make(top)
            ducc = self.ducc(backend)
            images = {f"t/a:{number}": registry.push_image("t/a", str(number), [layer("base"), layer(str(number))])
                      for number in range(6)}
            names = [f"{registry.host}/{tag}" for tag in images]
            config = self.configure([self.recipe("list.yaml", backend.argument, [*names, f"{registry.host}/t/moves:1"])])
            registry.push_image("t/moves", "1", [layer("0")])
            service = self.daemon(ducc, config, speed="10")
            for name, image in zip(names, images.values(), strict=True):
                self.wait_published(backend, name, image, service)
            for number in range(1, 5):
                image = registry.push_image("t/moves", "1", [layer("base"), layer(f"moved {number}")])
                self.recipe("list.yaml", backend.argument, [*names[:-1], f"{registry.host}/t/moves:1"])
                for command in (["gc", "--grace-period", "0", backend.argument],
                                ["remove", "--repo", backend.argument, names[-1]],
                                ["restore", "--repo", backend.argument, names[-1]]):
                    done = ducc.run(*command)
                    self.assertIn(done.status, (0, 1), done.stderr)
                self.wait_published(backend, f"{registry.host}/t/moves:1", image, service)
            self.assertEqual(0, service.stop())
            ducc.run("gc", "--grace-period", "0", backend.argument, check=0)
            ducc.run("gc", "--grace-period", "0", backend.argument, check=0, env={"DUCC_CLOCK_OFFSET": "5"})
            self.assertLessEqual(units_of(*images.values(), image), units(backend.view))
            self.assertEqual(len(units_of(*images.values(), image)), len(units(backend.view)))
            for name, one in zip(names, images.values(), strict=True):
                self.assertTrue(self.is_published(backend, name, one), name)
            backend.assert_sound(self)
            self.assertNotIn("Sanitizer", service.log())


if __name__ == "__main__":
    unittest.main()
