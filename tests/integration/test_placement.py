"""Odd but honest layers: names, links, whiteouts and duplicates land where umoci, and mostly Podman, put them.

Where the two references contradict one another (duplicates, order of whiteouts, implied directories), umoci's reading
is the one that applies layers to one tree, as Docker and containerd do.
"""

import unittest

from backends import on_every_backend
from failing import FailureTest, layer
from harness import Image, TarBuilder, overlay, tree, umoci_unpack
from published import layer_place, place, published_tree

BYTES = b"caf\xe9 \xff\xfe"


def names():
    """Everything that Podman and umoci read alike."""
    one = TarBuilder().dir("usr").dir("usr/lib").file("usr/lib/base", b"b").dir("a").dir("etc")
    one.file("/absolute", b"1").file("./dotted//inner/./name", b"2").file("a/../up", b"3").file("new/../up2", b"4")
    one.dir("no-slash", slash=False).file("slash/", b"5").entry("old-dir/", b"\0").file("a/b/c/deep", b"6", 0o600)
    one.symlink("lib", "usr/lib").file("lib/below", b"7").symlink("lib2", "/usr/lib").file("lib2/below2", b"8")
    one.symlink("a/rel", "../usr").dir("a/rel/made", 0o700).file("a/rel/made/x", b"9").symlink("chain", "a/rel")
    one.file("chain/lib/y", b"10").symlink("up-and-up", "../../../../usr/lib").file("up-and-up/z", b"11")
    one.file("f", b"shared", 0o640, uid=7, gid=8)
    for number, target in enumerate(("f", "/f", "./f", "a/../f")):
        one.hardlink(f"link{number}", target, mode=0o640, uid=7, gid=8)
    one.hardlink("through-symlink", "lib/base").symlink("s", "f").hardlink("link-to-symlink", "s")
    one.fifo("fifo").hardlink("link-to-fifo", "fifo").char("null", 1, 3).hardlink("link-to-device", "null", mode=0o644)
    one.dir("ids").file("ids/large", b"", uid=2 ** 31 + 5, gid=2 ** 32 - 2).file("ids/setuid", b"", 0o6755, uid=1)
    one.file("ids/type-bits", b"", 0o104755 & 0o7777777).file("ids/pax", b"", pax={"uid": 12345678, "gid": 7, "mtime": "12.9"})
    one.dir("long").file("long/" + "n" * 255, b"gnu").file("long/" + "/".join(["p" * 200] * 10), b"pax", long_names="pax")
    one.symlink("long/link", "t" * 3000).file(b"long/" + BYTES * 30, b"bytes").symlink(b"long/" + BYTES, BYTES)
    one.file("x", b"named by pax", pax={"path": b"pax-" + BYTES})
    one.sparse("sparse1", 1 << 20, [(4096, b"s" * 512), (8192, b"t" * 100)], style="pax1")
    one.sparse("sparse0", 1 << 20, [(4096, b"s" * 512), (8192, b"t" * 100)], style="pax0")
    one.file("blocks", b"x" * 512).file("empty", b"").file("last", b"y" * 513)
    return [one.bytes(), TarBuilder().file("/absolute", b"over").whiteout("/link0").whiteout("./a/../link1").bytes()]


def whiteouts():
    """Whatever the order within the layer, what the layer itself brings stays."""
    low = TarBuilder().dir("d").file("d/old", b"").dir("d/sub").file("d/sub/old", b"").file("f", b"old").file("g", b"old")
    low.dir("o").file("o/old", b"").dir("o/sub").file("o/sub/old", b"").file("o/both", b"low").dir("p").file("p/old", b"")
    low.dir("e", 0o1770, uid=3, gid=4).file("e/old", b"").dir("q").dir("q/r").file("q/r/old", b"").file("gone", b"")
    low.dir("t").file("t/x", b"").dir("w").file("w/x", b"")
    top = TarBuilder().whiteout("f").file("f", b"new").file("g", b"new").whiteout("g")
    top.whiteout("d").dir("d", 0o711).file("d/new", b"")
    top.dir("o").file("o/before", b"").opaque("o").file("o/both", b"top").dir("o/sub").file("o/sub/new", b"")
    top.dir("p").opaque("p").whiteout("nowhere").whiteout("gone").whiteout("q/r/old")
    top.file("e/new", b"").symlink(".wh.t", "x").dir(".wh.w")
    return [low.bytes(), top.bytes(), TarBuilder().file("d/old", b"back").dir("t").file("o/old", b"back").bytes()]


def duplicates():
    one = TarBuilder().file("ff", b"1").file("ff", b"2", 0o600, uid=1).dir("dd").file("dd/kept", b"").dir("dd", 0o700, uid=2)
    one.dir("df").file("df/child", b"").file("df", b"file").file("fd", b"").dir("fd").file("fd/child", b"")
    one.dir("ds").file("ds/child", b"").symlink("ds", "dd").symlink("sd", "dd").dir("sd").file("sd/child", b"own")
    one.file("target", b"untouched").symlink("sf", "target").file("sf", b"a file")
    one.file("first", b"old").hardlink("second", "first").file("first", b"new").file("third", b"").hardlink("third", "first")
    return [one.bytes()]


def root_opaque():
    return [layer("low"), TarBuilder().dir("kept").opaque().bytes(), TarBuilder().file("more", b"").bytes()]


def replaced():
    """Kinds over kinds across layers, and links into lower layers."""
    low = TarBuilder().dir("d").file("d/x", b"").file("f", b"low", 0o640, uid=5).symlink("s", "d").dir("sub").file("sub/f", b"2")
    mid = TarBuilder().file("d", b"").dir("f").file("f/x", b"").dir("s").file("s/x", b"").hardlink("sub/link", "sub/f")
    top = TarBuilder().symlink("d", "s").symlink("f", "s").hardlink("again", "sub/link").whiteout("sub/f")
    return [low.bytes(), mid.bytes(), top.bytes()]


IMAGES = {"names": names, "whiteouts": whiteouts, "duplicates": duplicates, "root-opaque": root_opaque,
          "replaced": replaced, "no-files": lambda: [TarBuilder().bytes(), TarBuilder().dir("d").bytes(), b""]}


class PlacementTest(FailureTest):
    def expected(self, name, layers):
        top = self.path("references", name)
        Image(layers).write_layout(top, "t")
        return tree(umoci_unpack(top, "t", top + "-bundle"))

    def test_the_references_agree_on_names(self):
        """Podman and umoci, so that the other tests may ask one of them."""
        expected = self.expected("names", names())
        podman = self.podman()
        with podman.mounted(f"oci:{self.path('references/names')}:t") as merged:
            self.assert_same_tree(expected, merged, ignore_fields=("mtime",), loose=IMPLIED)

    @on_every_backend
    def test_chains_and_flat_images(self, backend):
        registry = self.registry()
        images = {name: registry.push_image(name, "t", make(), config={"Cmd": [name]}) for name, make in IMAGES.items()}
        expected = {name: self.expected(f"{backend.kind[0]}-{name}", make()) for name, make in IMAGES.items()}
        self.convert(backend, *(f"{registry.host}/{name}:t" for name in images))
        for name, image in images.items():
            with self.subTest(name):
                chain = published_tree(backend.view, place("chains", image.chain_ids()[-1]))
                loose = [path for path, node in expected[name].items() if is_new_time(node)]
                self.assert_same_tree(expected[name], chain, ignore_fields=(), loose=loose)
                layers = [f"{backend.view}/{layer_place(digest)}" for digest in image.layer_digests]
                for fuse in (False, True):
                    with overlay(layers, fuse=fuse) as merged:
                        stacked = tree(merged, ignore=[".cvmfscatalog"])
                        self.assert_same_tree(expected[name], stacked, f"overlay, fuse: {fuse}", loose=loose)
        backend.assert_sound(self)


# Directories that no entry names: Podman gives them attributes of its own.
IMPLIED = ["dotted", "dotted/inner", "a/b", "a/b/c", *("/".join(["long", *["p" * 200] * depth]) for depth in range(1, 10))]


def is_new_time(node):
    """Made by the reference itself, just now: nobody says what such a directory should be."""
    return node.type == "dir" and node.mtime > 1_700_000_000


if __name__ == "__main__":
    unittest.main()
