"""`ducc verify --layers` and `ducc repair --layers`: layers of the Go tool's form, in which deletions are .wh. files."""

import json
import os
import subprocess
import unittest

from harness import Image, IntegrationTest, TarBuilder, overlay, tree, umoci_unpack


def lower():
    return TarBuilder().dir("d").file("d/one", b"1").file("d/two", b"2").dir("o").file("o/old", b"o").dir("o/deep") \
        .file("o/deep/x", b"x").file("top", b"t").bytes()


def upper():
    return TarBuilder().dir("d").whiteout("d/one").dir("o").opaque("o").file("o/new", b"n").dir("o/deep") \
        .whiteout("top").bytes()




class Repair(IntegrationTest):
    def setUp(self):
        super().setUp()
        self.image = Image([lower(), upper()])
        layout = self.path("layout")
        self.image.write_layout(layout, "x")
        self.expected = tree(umoci_unpack(layout, "x", self.path("umoci")))

    def fill(self, root):
        """A repository as the Go tool leaves it: layers, and a manifest in its own spelling."""
        for digest, tar in zip(self.image.layer_digests, (lower(), upper())):
            layerfs = os.path.join(root, self.folder(digest), "layerfs")
            os.makedirs(layerfs)
            subprocess.run(["tar", "-x", "-C", layerfs, "--same-owner", "-p"], input=tar, check=True)
        metadata = os.path.join(root, ".metadata/registry.example/a/b:1")
        os.makedirs(metadata)
        manifest = {"SchemaVersion": 2, "Config": {"MediaType": "x", "Size": 1, "Digest": "sha256:" + "0" * 64},
                    "Layers": [{"MediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "Size": 1,
                                "Digest": digest} for digest in self.image.layer_digests]}
        with open(os.path.join(metadata, "manifest.json"), "w", encoding="ascii") as out:
            json.dump(manifest, out)

    @staticmethod
    def folder(digest):
        return os.path.join(".layers", digest[7:9], digest[7:])

    def stacked(self, root):
        with overlay([os.path.join(root, self.folder(d), "layerfs") for d in self.image.layer_digests]) as merged:
            return tree(merged)

    def check(self, target, root, ducc):
        old = self.image.layer_digests[1]
        before = self.stacked(root)
        self.assertIn(b"d/one", before, "the old form brings deleted files back: else this test shows nothing")
        found = ducc.run("verify", "--layers", target, state=False, check=1)
        self.assertIn(f"layer {old}: old form: 3 deletions as .wh. files", found.stdout)
        self.assertIn("1 of 2 layers are in the old form", found.stdout)
        dry = ducc.run("repair", "--layers", "--dry-run", target, check=1)
        self.assertIn(old, dry.stdout)
        self.assertEqual(before, self.stacked(root))
        done = ducc.run("repair", "--layers", target, check=0)
        self.assertIn("repaired 1 layers in 2 revisions: 4 deletions added, 3 .wh. files removed", done.stdout)
        self.assert_same_tree(self.expected, self.stacked(root), loose=[b""])
        clean = ducc.run("verify", "--layers", target, state=False, check=0)
        self.assertIn("0 of 2 layers are in the old form", clean.stdout)
        again = ducc.run("repair", "--layers", "--json", target, check=0)
        self.assertEqual([{"event": "end", "layers": 2, "old_layers": 0}], [json.loads(x) for x in again.stdout.splitlines()])

    def test_directory(self):
        root = self.path("repository")
        self.fill(root)
        self.check(root, root, self.ducc())

    def test_cvmfs(self):
        repository = self.repository()
        tar = self.path("old")
        self.fill(tar)
        content = subprocess.run(["tar", "-c", "-C", tar, "."], stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(0, repository.ingest(content).returncode)
        before = repository.revision()
        self.check(repository.name, repository.client, self.ducc(repository))
        self.assertEqual(before + 2, repository.revision())
        self.assertEqual([], repository.damage())

    def test_a_layer_that_no_image_uses_is_named_and_left(self):
        root = self.path("repository")
        self.fill(root)
        os.unlink(os.path.join(root, ".metadata/registry.example/a/b:1/manifest.json"))
        done = self.ducc().run("repair", "--layers", root, check=1)
        self.assertIn("1 layers stay as they are: no published image uses them", done.stdout)

    def test_an_unreadable_manifest_stops_it(self):
        root = self.path("repository")
        self.fill(root)
        with open(os.path.join(root, ".metadata/registry.example/a/b:1/manifest.json"), "w", encoding="ascii") as out:
            out.write("{broken")
        failed = self.ducc().run("repair", "--layers", root, check=3)
        self.assertIn(".metadata/registry.example/a/b:1/manifest.json: line 1", failed.stderr)
        self.assertIn(b"d/one", self.stacked(root))

    def test_usage(self):
        ducc = self.ducc()
        self.assertIn("expected", ducc.run("verify", "--layers", self.scratch, "nonsense", state=False, check=2).stderr)
        self.assertIn("nothing at", ducc.run("verify", "--layers", self.path("none"), state=False, check=3).stderr)


if __name__ == "__main__":
    unittest.main()
