"""Layers that somebody made by hand to do harm: refused with a clear error, and nothing is written outside."""

import os
import unittest

from backends import Directory, on_every_backend
from failing import FailureTest, add, layer
from harness import Image, TarBuilder, umoci_unpack, tree
from published import assert_flat, catalogs, layer_place, place, published_tree, read
from tarbuilder import REGULAR, header


def tar():
    return TarBuilder().file("first", b"ordinary")


def sized(text, size):
    """A header whose size field holds these bytes, with a checksum that fits."""
    block = bytearray(header(b"liar", REGULAR, size=size))
    if text:
        block[124:136] = text
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


# name: (layer, words that the error must hold)
REFUSED = {
    "parent": (tar().file("../outside", b"x"), ["outside", "leaves the layer's root"]),
    "inner-parent": (tar().dir("a").file("a/../../outside", b"x"), ["outside", "leaves the layer's root"]),
    "absolute-parent": (tar().file("/../outside", b"x"), ["outside", "leaves the layer's root"]),
    "parent-directory": (tar().dir("../outside"), ["outside", "leaves the layer's root"]),
    "parent-symlink": (tar().symlink("../outside", "x"), ["outside", "leaves the layer's root"]),
    "parent-whiteout": (tar().whiteout("../outside"), ["outside", "leaves the layer's root"]),
    "link-leaves": (tar().hardlink("stolen", "../../../../../../etc/passwd"), ["stolen", "passwd|target", "leaves"]),
    "link-absolute": (tar().hardlink("stolen", "/etc/passwd"), ["stolen", "etc/passwd", "layer"]),
    "link-to-nothing": (tar().hardlink("stolen", "no/where"), ["stolen", "no/where"]),
    "link-to-directory": (tar().dir("d").hardlink("stolen", "d"), ["stolen", "directory"]),
    "link-to-itself": (tar().hardlink("self", "self"), ["self"]),
    "long-path": (tar().file("/".join(["d" * 99] * 50), b"x"), ["4999|5000", "limit"]),
    "long-path-pax": (tar().file("/".join(["d" * 99] * 50), b"x", long_names="pax"), ["4999|5000", "limit"]),
    "long-component": (tar().file("c" * 256, b"x"), ["256 bytes", "limit 255"]),
    "long-symlink": (tar().symlink("s", "t" * 5000), ["s", "5000|limit"]),
    "empty-symlink": (tar().symlink("s", ""), ["entry \"s\"", "symlink", "0 bytes"]),
    "nul-in-name": (tar().entry("x", pax={"path": b"good\0bad"}), ["NUL|zero byte"]),
    "nul-in-link": (tar().symlink("s", "t", pax={"linkpath": b"good\0bad"}), ["NUL|zero byte"]),
    "symlink-loop": (tar().symlink("a", "b").symlink("b", "a").file("a/x", b""), ["a/x", "symlinks"]),
    "symlink-to-itself": (tar().symlink("a", "a").file("a/x", b""), ["a/x", "symlinks"]),
    "below-a-file": (tar().file("f", b"").file("f/x", b""), ["f/x", "not a directory"]),
    "below-a-fifo": (tar().fifo("f").file("f/x", b""), ["f/x", "not a directory"]),
    "file-as-root": (tar().entry("./", REGULAR, b"x"), ["root"]),
    "symlink-as-root": (tar().symlink("./", "/etc"), ["root"]),
    "whiteout-of-nothing": (tar().file(".wh.", b""), ["whiteout"]),
    "whiteout-of-root": (tar().file(".wh..", b""), ["whiteout|\\.wh\\.\\."]),
    "whiteout-of-parent": (tar().file("d/.wh...", b""), ["whiteout|\\.wh\\.\\."]),
    "ends-early": (TarBuilder().entry("f", data=b"x" * 600, size=90_000), ["ends|truncated"]),
    "no-tar": (TarBuilder().raw(b"GIF89a" * 1000), ["tar: offset", "not a tar header"]),
    "bad-checksum": (tar().raw(header(b"x", REGULAR)[:100] + b"9" + header(b"x", REGULAR)[101:]), ["checksum"]),
    "negative-size": (tar().raw(sized(b"\xff" * 12, 0)), ["tar: offset", "size|number"]),
    "endless-size": (tar().raw(sized(b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7, 0)), ["tar: offset|more than|ends|bytes"]),
    "size-in-letters": (tar().raw(sized(b"12345678xyz\0", 0)), ["tar: offset", "size|number"]),
    "sparse-bomb": (tar().entry("GNUSparseFile.0/s", data=b"1\n0\n0\n".ljust(512, b"\0"), pax={
        "GNU.sparse.major": 1, "GNU.sparse.minor": 0, "GNU.sparse.name": "s", "GNU.sparse.realsize": 1 << 62}), ["tar: offset|more than", "size"]),
    "huge-pax": (tar().entry("x", pax={"comment": "y" * (3 << 20)}), ["PAX|extended|limit|accepted"]),
}


class RefusedTest(FailureTest):
    @on_every_backend
    def test_refused(self, backend):
        """All of them in one run with a good image, which is published; nothing of theirs is."""
        canary = self.path("canary")
        os.makedirs(canary, exist_ok=True)
        outside = tree(canary, root=True)
        registry = self.registry()
        images = {name: registry.push_image(name, "t", [builder.bytes(end=False) if name == "ends-early" else builder.bytes()])
                  for name, (builder, _) in REFUSED.items()}
        good = registry.push_image("good", "t", [layer("good")])
        above = set(os.listdir(self.scratch))
        self.convert(backend, *(f"{registry.host}/{name}:t" for name in [*images, "good"]), status=1)
        for name, image in images.items():
            with self.subTest(name):
                self.assert_fails(f"{registry.host}/{name}:t", f"layer {image.layer_digests[0]}: ", *REFUSED[name][1])
                self.assert_nothing_of(backend, f"{registry.host}/{name}:t", image)
        self.assert_published(backend, f"{registry.host}/good:t", good)
        self.assertEqual(tree(canary, root=True), outside)
        self.assertEqual(set(os.listdir(self.scratch)), above)
        self.assertFalse([path for path in ("/outside", "/tmp/outside") if os.path.lexists(path)])
        backend.assert_sound(self)

    @on_every_backend
    def test_symlinks_out_of_the_image_are_not_followed(self, backend):
        """By nothing that is written below them: entries, later layers, Apptainer's own files."""
        canary = self.path("canary")
        os.makedirs(canary, exist_ok=True)
        up = "../" * 40 + canary.lstrip("/")
        lower = TarBuilder().symlink("etc", canary).symlink("tmp", up).symlink(".singularity.d", canary).symlink("out", up)
        lower.symlink("environment", canary + "/file").symlink("var", canary)
        own = TarBuilder().symlink("a", canary).file("a/one", b"1").symlink("b", up).file("b/two", b"2").dir("out/")
        own.file("out/three", b"3")
        image = self.image_in_registry([lower.bytes(), own.bytes()], "a/b")
        self.convert(backend, self.name)
        self.assertEqual(os.listdir(canary), [])
        flat = os.path.join(backend.view, place("flat", image.config_digest))
        inside = os.path.join(flat, canary.lstrip("/"))
        self.assertEqual(sorted(os.listdir(inside)), ["one", "two"])
        self.assertFalse(os.path.islink(os.path.join(flat, ".singularity.d")))
        self.assertTrue(os.path.isfile(os.path.join(flat, ".singularity.d/runscript")))
        self.assertEqual(os.readlink(os.path.join(flat, "etc")), canary)
        self.assertEqual(os.listdir(os.path.join(flat, "out")), ["three"])

    def image_in_registry(self, layers, repository, **options):
        registry = self.registry()
        self.name = f"{registry.host}/{repository}:t"
        return registry.push_image(repository, "t", layers, **options)

    @on_every_backend
    def test_instructions_to_cvmfs_are_dropped(self, backend):
        """Nothing but them is lost, whatever kind of entry bears the name; no catalog is made where an image says so."""
        def build(hostile):
            lower = TarBuilder().dir("d").file("d/kept", b"1").dir("d/e").file("d/e/kept", b"2").file("d/gone", b"")
            upper = TarBuilder().dir("d").file("d/new", b"3").whiteout("d/gone").dir("d/f").file("d/f/x", b"4")
            if hostile:
                for where in ("", "d/", "d/e/"):
                    lower.file(f"{where}.cvmfscatalog", b"theirs").file(f"{where}.cvmfsgraft-kept", b"size=1\nchecksum=0\n")
                upper.whiteout("d/.cvmfscatalog").symlink("d/f/.cvmfscatalog", "/etc").dir("d/.cvmfsgraft-dir")
                upper.file("d/.cvmfsgraft-dir/x", b"").fifo("d/.cvmfsgraft-fifo").whiteout(".cvmfscatalog")
                upper.dir("d/g").dir("d/g/.cvmfscatalog")
            else:
                upper.dir("d/g")
            return [lower.bytes(), upper.bytes()]

        Image(build(False)).write_layout(self.path("layout"), backend.kind.replace(" ", ""))
        expected = tree(umoci_unpack(self.path("layout"), backend.kind.replace(" ", ""), self.path("umoci" + backend.kind)))
        image = self.image_in_registry(build(True), "a/b")
        result = self.convert(backend, self.name, options=["--chains", "all"])
        self.assertRegex(result.stdout, '"event":"warning".*cvmfscatalog.*left out')
        assert_flat(self, expected, backend.view, image.config_digest)
        tops = {place("chains", one) for one in image.chain_ids()} | {place("flat", image.config_digest)}
        tops |= set(map(layer_place, image.layer_digests))
        inside = {path for path in catalogs(backend.view) if path.count("/") > 1}
        self.assertEqual(inside, tops)
        for top in tops:
            self.assertEqual(read(backend.view, top, ".cvmfscatalog"), b"")
            self.assertFalse([path for path in published_tree(backend.view, top) if b".cvmfs" in path])
        backend.assert_sound(self)


class HostileRegistryTest(FailureTest):
    def test_tags_and_digests_that_are_paths(self):
        registry = self.misbehaving()
        good = add(registry, "a/b", "good", Image([layer("good")]))
        evil = ["../../../../evil", "/evil", "..", "a/b", "x" * 5000, "new\nline", "\x1b[2J"]
        registry.tags["a/b"] += evil
        for tag in evil:
            registry.manifests["a/b", tag] = registry.manifests["a/b", "good"]
        backend = Directory(self.scratch)
        self.ducc().run("convert", "--json", "--repo", backend.argument, f"http://{registry.host}/a/b:*")
        self.assertEqual(os.listdir(os.path.join(backend.view, registry.host, "a")), ["b:good"])
        self.assertEqual(os.listdir(os.path.join(backend.view, registry.host)), ["a"])
        self.assertTrue(os.path.isdir(os.path.join(backend.view, place("flat", good.config_digest))))

    def test_digests_in_manifests(self):
        registry = self.misbehaving()
        digests = ["sha256:../../../../../../tmp/evil", "sha256:" + "a" * 63, "sha256:" + "A" * 64, "", "md5:" + "a" * 32,
                   "sha256:" + "a" * 62 + "/.", "sha256:" + "0" * 64 + "/../x"]
        for number, digest in enumerate(digests):
            add(registry, f"bad{number}", "t", Image([layer("x")], edit_manifest=lambda one, digest=digest:
                                                    one["layers"][0].update(digest=digest)))
        backend = Directory(self.scratch)
        self.convert(backend, *(f"{registry.host}/bad{number}:t" for number in range(len(digests))), status=1)
        for number in range(len(digests)):
            self.assert_fails(f"{registry.host}/bad{number}:t", "manifest", "digest")
        self.assertEqual(os.listdir(backend.view), [])


if __name__ == "__main__":
    unittest.main()
