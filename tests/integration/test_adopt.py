"""`ducc adopt`: a repository that the Go tool filled is taken over, verified, repaired, and then right under Podman.

The sample of a real one is used where it lies beside the clone; a small one in the same form is made everywhere.
"""

import json
import os
import subprocess
import unittest

from harness import Image, IntegrationTest, TarBuilder, tree, umoci_unpack
from published import hexadecimal, layer_place, place
from runtimes import PublishedStore, image_only
from test_podman_store import SAMPLE, big_data_file

BASE = TarBuilder().dir("bin").file("bin/sh", b"#!", 0o755).dir("d", uid=5).file("d/old", b"1").file("d/stays", b"22").dir("o") \
    .file("o/x", b"x").bytes()
TOP = TarBuilder().dir("d", uid=5).whiteout("d/old").file("d/new", b"333", 0o640).dir("o").opaque("o").file("o/y", b"y").bytes()
APPTAINER = ("actions", "env", "libs")


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)


def go_spelling(manifest):
    """The Go tool prints the fields of its own structures."""
    document = json.loads(manifest)

    def descriptor(one):
        return {"MediaType": one["mediaType"], "Size": one["size"], "Digest": one["digest"]}
    return json.dumps({"SchemaVersion": 2, "MediaType": document.get("mediaType", ""), "Config": descriptor(document["config"]),
                       "Layers": [descriptor(one) for one in document["layers"]]}).encode()


class GoRepository:
    """What the Go tool leaves for one image: deletions as .wh. files, ids that are diff ids, a manifest in its own spelling."""

    def __init__(self, root, image, raw_layers, name, host, flat):
        self.root, self.image, self.names = root, image, [f"{host}/{name}"]
        store = os.path.join(root, "podmanStore")
        records = []
        for number, (digest, diff, raw) in enumerate(zip(image.layer_digests, image.diff_ids, raw_layers)):
            layerfs, identity = os.path.join(root, layer_place(digest)), hexadecimal(diff)
            os.makedirs(layerfs)
            subprocess.run(["tar", "-x", "-C", layerfs, "--same-owner", "-p"], input=raw, check=True)
            records.append({"id": identity, "created": "2026-11-20T21:26:41.901719371Z", "compressed-diff-digest": digest,
                            "compressed-size": 100, "diff-digest": diff, "diff-size": len(raw)})
            if number:
                records[-1]["parent"] = records[-2]["id"]
            beside = os.path.join(root, place("layers", digest), ".metadata")
            write(f"{beside}/layers.json", json.dumps([{key: value for key, value in records[-1].items() if key != "compressed-size"}]).encode())
            write(f"{beside}/origin.json", json.dumps({"origin": [image.config_digest]}).encode())
            os.makedirs(f"{store}/overlay/{identity}")
            os.makedirs(f"{store}/overlay/l", exist_ok=True)
            os.symlink("../../../" + layer_place(digest), f"{store}/overlay/{identity}/diff")
            short = chr(ord("A") + number) * 26
            os.symlink(f"../{identity}/diff", f"{store}/overlay/l/{short}")
            write(f"{store}/overlay/{identity}/link", short.encode())
            if number:
                lower = ":".join("l/" + chr(ord("A") + one) * 26 for one in reversed(range(number)))
                write(f"{store}/overlay/{identity}/lower", lower.encode())
        config = hexadecimal(image.config_digest)
        write(f"{store}/overlay-layers/layers.json", json.dumps([records[0], *records]).encode())
        write(f"{store}/overlay-layers/layers.lock", b"")
        write(f"{store}/overlay-images/images.json", json.dumps([{
            "id": config, "names": self.names, "layer": records[-1]["id"], "created": "2026-11-20T21:26:48.318806921Z"}]).encode())
        write(f"{store}/overlay-images/images.lock", b"")
        write(f"{store}/overlay-images/{config}/{big_data_file('sha256:' + config)}", image.config)
        documents = os.path.join(root, ".metadata", self.names[0])
        write(f"{documents}/manifest.json", go_spelling(image.manifest))
        os.symlink("../../../" + os.path.relpath(f"{documents}/manifest.json", root), f"{store}/overlay-images/{config}/manifest")
        self._write_flat(flat, place("flat", image.config_digest))

    def _write_flat(self, source, target):
        full = os.path.join(self.root, target)
        os.makedirs(os.path.dirname(full))
        subprocess.run(["cp", "-a", source, full], check=True)
        for folder in APPTAINER:
            os.makedirs(f"{full}/.singularity.d/{folder}")
        os.makedirs(os.path.dirname(os.path.join(self.root, self.names[0])))
        os.symlink("../" * self.names[0].count("/") + target, os.path.join(self.root, self.names[0]))


class AdoptTest(IntegrationTest):
    def adopt(self, root, ducc):
        """Adds records only, and says what repair would do."""
        before = tree(root)
        done = ducc.run("adopt", root, check=0)
        self.assertIn("ducc repair mends them", done.stdout)
        self.assertIn("old-form: .layers/", done.stdout)
        after = tree(root)
        self.assert_same_tree({path: node for path, node in before.items() if node.type != "dir"},
                              {path: after[path] for path in before if after[path].type != "dir"})
        added = {path for path in set(after) - set(before) if after[path].type != "dir"}
        self.assertTrue(added)
        for path in added:
            self.assertRegex(path, rb"^(\.layers/../[0-9a-f]+/\.metadata/index|\.metadata/.*/config\.json|\.metadata/(.*/)?\.cvmfscatalog|"
                                   rb"\.layers/.*\.cvmfscatalog)$")
        return done

    def repair(self, root, ducc):
        self.assertEqual(ducc.run("verify", "--content", root).status, 1)
        done = ducc.run("repair", root, check=0)
        self.assertIn("0 images published again", done.stdout)
        self.assertIn(" 0 findings", ducc.run("verify", "--content", root, check=0).stdout)

    def generated(self):
        image = Image([BASE, TOP])
        layout = image.write_layout(self.path("layout"), "t")
        flat = umoci_unpack(layout, "t", self.path("umoci"))
        registry = self.registry()
        registry.push("old/image", "1", image)
        registry.forget_requests()
        return registry, GoRepository(self.path("repo"), image, [BASE, TOP], "old/image:1", registry.host, flat), tree(flat)

    def test_adopted_verified_repaired(self):
        """Then Podman shows the image as it is, which it did not before; and the registry was not asked."""
        registry, old, expected = self.generated()
        ducc = self.ducc()
        with PublishedStore(old.root) as podman:
            self.assertIn(b"d/old", podman.listing(old.names[0]), "deleted files come back: else this test shows nothing")
        self.adopt(old.root, ducc)
        self.assertIn(old.names[0], ducc.run("status", "--repo", old.root, check=0).stdout)
        self.repair(old.root, ducc)
        self.assertEqual(registry.requests(), [])
        for fuse in (False, True):
            with PublishedStore(old.root, fuse=fuse) as podman:
                self.assert_same_tree(image_only(expected), podman.listing(old.names[0]))

    def test_nothing_that_is_there_is_fetched_again(self):
        """The next image on the same layers costs its own layer; the adopted one its manifest."""
        registry, old, _ = self.generated()
        ducc = self.ducc()
        ducc.run("adopt", old.root, check=0)
        new = Image([BASE, TOP, TarBuilder().file("more", b"m").bytes()])
        registry.push("old/image", "2", new)
        registry.forget_requests()
        ducc.run("convert", "--repo", old.root, *(f"http://{registry.host}/old/image:{tag}" for tag in (1, 2)), check=True)
        fetched = {one.reference for one in registry.requests(method="GET", kind="blobs") if one.reference in (
            *old.image.layer_digests, *new.layer_digests)}
        self.assertEqual(fetched, {new.layer_digests[-1]})
        self.assertEqual(sorted(os.listdir(os.path.join(old.root, registry.host, "old"))), ["image:1", "image:2"])

    def test_the_sample_of_a_real_one(self):
        """As it was made by the Go tool; it lies beside clones of the developers only."""
        if not os.path.exists(SAMPLE):
            return
        root, ducc = self.path("sample"), self.ducc()
        os.mkdir(root)
        subprocess.run(["tar", "--zstd", "-xf", SAMPLE, "-C", root], check=True)
        names = [f"127.0.0.1:5000/test/small:{tag}" for tag in ("1", "2", "2-again")]
        self.adopt(root, ducc)
        for name in names:
            self.assertTrue(os.path.isdir(os.path.join(root, name)), name)
        self.repair(root, ducc)
        for fuse in (False, True):
            with PublishedStore(root, fuse=fuse) as podman:
                for name in names:
                    flat = tree(os.path.join(root, name, "."), ignore=[".cvmfscatalog"])
                    shown = podman.listing(name)
                    self.assertEqual(set(shown) - set(flat), set())
                    self.assertNotIn(b".singularity.d", shown)
                    self.assertFalse({path for path in shown if os.path.basename(path).startswith(b".wh.")})
                shown = podman.listing(names[1])
                self.assertNotIn(b"etc/secret", shown)
                self.assertNotIn(b"usr/share/doc", shown)
                self.assertNotIn(b"etc/conf.d/one", shown)
                self.assertIn(b"etc/conf.d/new", shown)


if __name__ == "__main__":
    unittest.main()
