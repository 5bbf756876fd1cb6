"""`ducc gc`, `ducc remove` and `ducc restore`: what goes, what stays, and what can come back."""

import json
import os
import unittest

from backends import Directory, StandIn, on_every_backend
from deletion import DAY, DeletionTest, layer, podman_folders, units, units_of
from harness import Ducc, tree
from published import place


class Deletion(DeletionTest):
    @on_every_backend
    def test_nothing_goes_that_a_name_reaches(self, backend):
        self.begin(backend)
        before, revisions = tree(self.root), backend.revisions()
        said = self.gc("--grace-period", "0", days=1000)
        self.assertIn("0 names, 0 flat images, 0 chains, 0 layers", said.stdout)
        self.assertEqual(before, tree(self.root))
        self.assertEqual(revisions, backend.revisions())

    @on_every_backend
    def test_a_removed_name_and_what_only_it_reached(self, backend):
        self.begin(backend)
        self.remove("t/two:1")
        self.assert_gone("t/two:1")
        self.assertLessEqual(units_of(self.images["two"]), units(self.root), "kept for the grace period")
        self.gc(days=6)
        self.assertLessEqual(units_of(self.images["two"]), units(self.root), "kept for the grace period")
        said = self.gc("--json", days=8)
        end = json.loads(said.stdout.splitlines()[-1])
        self.assertEqual((1, 1, 1, 1, 1), tuple(end[key] for key in ("flat", "chains", "layers", "podman_images",
                                                                     "podman_layers")))
        self.assertEqual(units_of(self.images["one"]), units(self.root))
        self.assert_whole("t/one:1", self.images["one"])
        self.assert_whole("t/one:again", self.images["one"])
        self.assertFalse(os.path.exists(os.path.join(self.root, ".metadata/.removed", self.name("t/two:1"))))
        backend.assert_sound(self)

    @on_every_backend
    def test_restore_brings_a_name_back_without_a_download(self, backend):
        self.begin(backend)
        before = tree(self.root)
        self.remove("t/two:1", "t/one:again")
        self.assertIn(self.name("t/two:1"), self.restore().stdout)
        self.server.forget_requests()
        self.restore("t/two:1", "t/one:again")
        self.assertEqual([], self.server.requests())
        self.assert_whole("t/two:1", self.images["two"])
        self.assert_whole("t/one:again", self.images["one"])
        after = tree(self.root)
        self.assertEqual(before.keys(), after.keys() - {b".metadata/.removed", b".metadata/.removed/.cvmfscatalog"})
        self.gc("--grace-period", "0", days=100)
        self.assert_whole("t/two:1", self.images["two"])
        backend.assert_sound(self)

    @on_every_backend
    def test_restore_after_the_loss_of_the_state_directory(self, backend):
        self.begin(backend)
        self.remove("t/two:1")
        self.ducc = self.enterContext(Ducc(environment=backend.environment()))
        self.gc(days=6)
        self.restore("t/two:1")
        self.assert_whole("t/two:1", self.images["two"])

    @on_every_backend
    def test_restore_refuses_what_is_swept(self, backend):
        self.begin(backend)
        self.remove("t/two:1")
        self.gc(days=8)
        said = self.restore("t/two:1", check=1)
        self.assertIn("is not among the names that were removed", said.stderr)
        self.assertIn("is there", self.restore("t/one:1", check=1).stderr)

    @on_every_backend
    def test_remove_now(self, backend):
        self.begin(backend)
        self.remove("t/one:again")
        self.remove("t/two:1", options=["--now"])
        self.assertEqual(units_of(self.images["one"]), units(self.root))
        self.assertEqual("", self.restore().stdout.replace("\n", "").partition("t/two")[2])
        self.restore("t/one:again")
        self.assert_whole("t/one:again", self.images["one"])
        backend.assert_sound(self)

    def test_a_name_that_is_not_there(self):
        self.begin(Directory(self.scratch))
        before = tree(self.root)
        said = self.remove("t/two:1", "t/nothing:1", check=1)
        self.assertIn("t/nothing:1: there is no such name", said.stderr)
        self.assertEqual(before, tree(self.root), "all names or none")

    @on_every_backend
    def test_the_grace_period_of_a_moved_tag_begins_when_it_is_seen(self, backend):
        self.begin(backend)
        old = self.images["two"]
        new = self.server.push_image("t/two", "1", [layer("base"), layer("newer")])
        self.publish("t/two:1")
        self.gc(days=100)
        self.assertLessEqual(units_of(old), units(self.root), "three years old, but unreached since now")
        self.gc(days=106)
        self.assertLessEqual(units_of(old), units(self.root))
        self.gc(days=108)
        self.assertEqual(units_of(self.images["one"], new), units(self.root))
        self.assert_whole("t/two:1", new)
        backend.assert_sound(self)

    @on_every_backend
    def test_dry_run_names_sizes_and_reasons_and_changes_nothing(self, backend):
        self.begin(backend)
        self.remove("t/two:1")
        before, revisions = tree(self.root), backend.revisions()
        said = self.gc("--dry-run", days=8).stdout
        self.assertIn(f"would take away layer {place('layers', self.images['two'].layer_digests[1])} (1 B)", said)
        self.assertIn(f"would take away flat image {place('flat', self.images['two'].config_digest)}", said)
        self.assertIn("its last name was removed 20", said)
        self.assertEqual((before, revisions), (tree(self.root), backend.revisions()))
        said = self.gc("--dry-run", days=3).stdout
        self.assertIn("would keep layer", said)

    @on_every_backend
    def test_one_unreadable_manifest_stops_the_sweep(self, backend):
        self.begin(backend)
        self.remove("t/two:1")
        path = f".metadata/{self.name('t/one:1')}/manifest.json"
        self.damage(path, b"{broken")
        before = units(self.root)
        said = self.gc("--grace-period", "0", days=100, check=3)
        self.assertIn(path, said.stderr)
        self.assertEqual(before, units(self.root))

    def damage(self, path, content):
        """Somebody writes into the repository."""
        if self.backend.kind == "directory":
            with open(os.path.join(self.root, path), "wb") as out:
                out.write(content)
            return
        with self.backend.change() as top, open(os.path.join(top, path), "wb") as out:
            out.write(content)

    @on_every_backend
    def test_limit_and_going_on(self, backend):
        self.begin(backend)
        self.remove("t/two:1")
        before = len(units(self.root)) + sum(map(len, podman_folders(self.root)[:2]))
        for number in range(1, 6):
            self.gc("--limit", "1", days=8)
            left = len(units(self.root)) + sum(map(len, podman_folders(self.root)[:2]))
            self.assertEqual(before - number, left)
            self.assert_whole("t/one:1", self.images["one"])
        self.assertEqual(units_of(self.images["one"]), units(self.root))

    @on_every_backend
    def test_publishing_again_what_was_removed_needs_no_blob(self, backend):
        self.begin(backend)
        self.remove("t/two:1")
        self.server.forget_requests()
        self.publish("t/two:1")
        self.assertEqual([], [one for one in self.server.requests() if one.kind == "blobs"
                              and one.reference in self.images["two"].layer_digests])
        self.gc(days=100)
        self.assert_whole("t/two:1", self.images["two"])
        self.assertFalse(os.path.exists(os.path.join(self.root, ".metadata/.removed", self.name("t/two:1"))))

    @on_every_backend
    def test_a_name_that_was_removed_and_published_again_is_removed_again(self, backend):
        self.begin(backend)
        for _ in range(2):
            self.remove("t/two:1")
            self.assert_gone("t/two:1")
            self.publish("t/two:1")
        self.remove("t/two:1")
        self.restore("t/two:1")
        self.assert_whole("t/two:1", self.images["two"])
        backend.assert_sound(self)

    def test_cvmfs_collects_its_own_garbage_when_asked(self):
        for options, status in ((["-z"], 0), ([], 3)):
            with self.subTest(options=options):
                top = self.path("with" + "".join(options))
                os.mkdir(top)
                backend = StandIn(top)
                backend.server("rmfs", "-f", backend.name)
                backend.create(*options)
                self.begin(backend)
                self.gc()
                self.assertEqual([], backend.log("gc"))
                self.gc("--dry-run", "--cvmfs-gc")
                self.assertEqual([], backend.log("gc"))
                said = self.gc("--cvmfs-gc", check=status)
                self.assertEqual(1, len(backend.log("gc")))
                if status:
                    self.assertIn("Garbage Collection is not enabled", said.stderr)
                self.assert_whole("t/two:1", self.images["two"])

    def test_usage(self):
        ducc = self.enterContext(Ducc())
        self.assertIn("--repo REPO", ducc.run("remove", "a/b:1", check=2).stderr)
        self.assertIn("--repo REPO", ducc.run("restore", check=2).stderr)
        self.assertIn("whole number", ducc.run("gc", "--grace-period", "soon", "/tmp/x", check=2).stderr)
        self.assertIn("nothing at", ducc.run("gc", self.path("none"), check=3).stderr)
        self.assertIn("nothing at", ducc.run("garbage-collection", "--grace-period", "30", "--dry-run",
                                             self.path("none"), check=3).stderr)


if __name__ == "__main__":
    unittest.main()
