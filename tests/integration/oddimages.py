"""One odd image for each rule of the layer engine, and the tree that each must become.

umoci unpacks all layers into one directory and is the reference. Where it refuses an image, or does what the contract of
the layout (docs/layout.md) does not, `expected` or `instead` say what is right, and `reason` why. `podman` and
`containerd` say where their pull of the original gives another tree, or none; the tests hold them to that.
"""

import dataclasses
import hashlib
import os
import shutil
import tempfile

from ducc import Ducc
from harness import Image, Registry, TarBuilder, tree, umoci_unpack, unmount_below
from tarbuilder import DEFAULT_MTIME as T
from tarbuilder import REGULAR, header, padding, pax_records
from trees import Node

REFUSES, DIFFERS = "refuses", "differs"


@dataclasses.dataclass
class Case:
    name: str
    layers: list
    reason: str = ""
    expected: dict = None       # the whole tree, where umoci is no reference
    instead: dict = None        # {path: Node or None}: where we differ from umoci
    unnamed: tuple = ()         # directories that no entry names, in any layer: umoci gives them the time of unpacking
    podman: str = ""            # REFUSES or DIFFERS
    containerd: str = ""        # the same


def node(kind, mode, uid=0, gid=0, mtime=T, data=None, target=None, rdev=None):
    return Node(kind, mode, uid, gid, mtime, len(data) if data is not None else 0,
                hashlib.sha256(data).hexdigest() if data is not None else None, target, rdev)


def a_file(data=b"", mode=0o644, **how):
    return node("file", mode, data=data, **how)


def a_dir(mode=0o755, **how):
    return node("dir", mode, **how)


def a_link(target, **how):
    return node("symlink", 0o777, target=target, **how)


GLOBAL = pax_records({"comment": "of all files"})


def tar(**how):
    return TarBuilder(**how)


def star(name, data, **fields):
    """A header as star wrote it: the "tar" at its end, and atime and ctime where ustar has a prefix."""
    block = bytearray(header(name, REGULAR, size=len(data), mtime=T, **fields))
    block[476:500] = b"13711112222\0" * 2
    block[508:512] = b"tar\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data + padding(len(data))


def v7(name, kind, data=b"", link=b"", mode=0o644):
    return header(name, kind, mode=mode, size=len(data), mtime=T, link=link, magic=bytes(8)) + data + padding(len(data))


BASE = tar().dir("d", 0o711, uid=1, gid=2, mtime=T + 1).file("d/old", b"old", uid=3).dir("d/sub", 0o700)
BASE = BASE.file("d/sub/deep", b"deep").file("f", b"lower f", 0o600).symlink("s", "d").file("d/other", b"o").bytes()
ODD_NAMES = [b"new\nline", b"tab\there", b"quote'", b'double"quote', b"back\\slash", b"trailing blank ", b" leading", b"\xff\xfe",
             b"caf\xe9", "käse".encode(), b"$HOME", b"`id`", b"*", b"-rf", b"a:b", b"a=b", b"%s", b"\x01\x7f", b"...", b"n" * 255,
             "e\u0301".encode(), "\u00e9".encode(), b"#hash", b"~", b"a,b", b".hidden", b"wh.", b"\\134", b"{x}"]


def odd_names(as_kind):
    made = tar().dir("n")
    for number, name in enumerate(ODD_NAMES):
        as_kind(made, b"n/" + name, number)
    return made.bytes()


CASES = [
    # Deletions
    Case("whiteout", [BASE, tar().dir("d").whiteout("d/old").whiteout("d/sub").whiteout("f").whiteout("s").bytes()]),
    Case("whiteout-before-entry", [BASE, tar().whiteout("f").file("f", b"new").bytes()]),
    Case("whiteout-after-entry", [BASE, tar().file("f", b"new").whiteout("f").bytes(),
                                  tar().file("later", b"").bytes()],
         reason="a whiteout hides what is below its layer; containers/storage extracts and finds the name taken",
         podman=REFUSES, containerd=REFUSES),
    Case("whiteout-before-own-directory", [BASE, tar().whiteout("d").dir("d", 0o750).file("d/new", b"n").bytes()],
         reason="Podman's overlay driver merges the directory with the one that was deleted; its vfs driver does not",
         podman=DIFFERS, containerd=DIFFERS),
    Case("whiteout-after-own-directory", [BASE, tar().dir("d", 0o750, mtime=T + 7).file("d/new", b"n").whiteout("d").bytes()],
         instead={b"d": a_dir(0o750, mtime=T + 7)}, podman=REFUSES, containerd=REFUSES,
         reason="umoci deletes below and leaves the directory with the time of that; its entry has a time"),
    Case("whiteout-of-nothing", [BASE, tar().dir("mine").whiteout("mine/never").whiteout("d/never").whiteout("never").bytes()],
         instead={b"d": a_dir(0o711, uid=1, gid=2, mtime=T + 1)}, podman=DIFFERS, containerd=DIFFERS,
         reason="Podman shows mine/never in listings, as a name without a file; `d` keeps the lower's attributes"),
    Case("whiteout-then-back", [BASE, tar().whiteout("d").bytes(), tar().dir("d", 0o700).file("d/again", b"a").bytes()]),
    Case("whiteout-of-a-link-to-a-directory", [BASE, tar().whiteout("s").bytes()]),
    Case("whiteout-that-is-no-file", [BASE, tar().dir("d").symlink("d/.wh.old", "x").dir(".wh.f").bytes()]),
    Case("whiteout-in-each-layer", [BASE, tar().dir("d").whiteout("d/old").bytes(), tar().dir("d").file("d/old", b"2").bytes(),
                                    tar().dir("d").whiteout("d/old").bytes(), tar().dir("d").file("d/old", b"3").bytes()]),
    Case("device-0-0", [BASE, tar().dir("d").char("d/old", 0, 0).bytes()],
         expected={b"d": a_dir(), b"d/sub": a_dir(0o700), b"d/sub/deep": a_file(b"deep"), b"d/other": a_file(b"o"),
                   b"f": a_file(b"lower f", 0o600), b"s": a_link(b"d")},
         reason="a character device 0:0 is a deletion for every overlay file system, so also for us; umoci makes it"),
    # Opaque directories
    Case("opaque-first", [BASE, tar().dir("d").opaque("d").file("d/new", b"n").bytes()]),
    Case("opaque-last", [BASE, tar().dir("d").file("d/new", b"n").dir("d/sub").file("d/sub/new", b"n").opaque("d").bytes()],
         instead={b"d/sub": a_dir()}, reason="umoci deletes below and leaves the directory with the time of that"),
    Case("opaque-root", [BASE, tar().opaque("").dir("d", 0o700).file("d/new", b"n").file("g", b"g").bytes()], podman=DIFFERS,
         containerd=DIFFERS, reason="the kernel does not honour the mark on Podman's own root of a layer: the lower layers show"),
    Case("opaque-in-the-middle", [BASE, tar().dir("d").opaque("d").dir("d/sub").file("d/sub/mid", b"m").bytes(),
                                  tar().dir("d").dir("d/sub").file("d/sub/top", b"t").bytes()]),
    Case("opaque-unnamed", [BASE, tar().opaque("d").bytes()], podman=DIFFERS,
         reason="a directory that no entry names keeps the lower one's attributes"),
    Case("opaque-below-opaque", [BASE, tar().dir("d").dir("d/sub").opaque("d/sub").opaque("d").file("d/sub/x", b"").bytes()]),
    Case("opaque-everywhere", [BASE, tar().dir("d").opaque("d").file("d/1", b"").bytes(),
                               tar().dir("d").opaque("d").file("d/2", b"").bytes()]),
    Case("opaque-with-nothing-below", [BASE, tar().dir("fresh").opaque("fresh").file("fresh/x", b"x").bytes()]),
    # One kind of thing replaces another
    Case("directory-to-file", [BASE, tar().file("d", b"a file").bytes(), tar().file("later", b"").bytes()]),
    Case("directory-to-file-and-back", [BASE, tar().file("d", b"").bytes(), tar().dir("d").file("d/new", b"").bytes()]),
    Case("file-to-directory", [BASE, tar().dir("f", 0o750).file("f/child", b"c").bytes()]),
    Case("directory-to-symlink", [BASE, tar().dir("x").symlink("d", "x").bytes(), tar().file("x/in", b"").dir("x").bytes()]),
    Case("symlink-to-directory", [BASE, tar().dir("s", 0o700).file("s/child", b"not in d").bytes()]),
    Case("directory-to-fifo-and-device", [BASE, tar().fifo("d").char("f", 1, 3).bytes()]),
    Case("directory-over-directory", [BASE, tar().dir("d", 0o2755, uid=9, gid=9, mtime=5).bytes()]),
    # Hard links
    Case("link-to-lower", [BASE, tar().hardlink("linked", "f", mode=0o600).dir("l").hardlink("l/deep", "d/sub/deep").bytes()],
         podman=REFUSES, containerd=REFUSES, reason="Podman unpacks a layer alone, where the target is not"),
    Case("link-to-lower-then-deleted", [BASE, tar().hardlink("linked", "f", mode=0o600).bytes(), tar().whiteout("f").bytes()],
         podman=REFUSES, containerd=REFUSES, reason="the same"),
    Case("link-to-lower-then-changed", [BASE, tar().hardlink("linked", "f", mode=0o600).bytes(), tar().file("f", b"2").bytes()],
         podman=REFUSES, containerd=REFUSES, reason="the same; the link keeps the content that it was made with"),
    Case("link-to-two-layers-below", [BASE, tar().file("x", b"").bytes(), tar().hardlink("linked", "f", mode=0o600).bytes()],
         podman=REFUSES, containerd=REFUSES, reason="the same"),
    Case("link-chain-over-layers", [BASE, tar().hardlink("l1", "f", mode=0o600).bytes(), tar().hardlink("l2", "l1", mode=0o600)
                                    .hardlink("l3", "l2", mode=0o600).bytes()], podman=REFUSES,
         containerd=REFUSES, reason="the same"),
    Case("link-to-a-lower-symlink", [BASE, tar().hardlink("linked", "s").bytes()], podman=REFUSES,
         containerd=REFUSES, reason="the same"),
    Case("link-chain", [tar().file("a", b"1", 0o640, uid=5).hardlink("b", "a", mode=0o640, uid=5)
                        .hardlink("c", "b", mode=0o640, uid=5).hardlink("d", "/c", mode=0o640, uid=5).bytes()]),
    Case("link-to-symlink", [tar().dir("x").symlink("l", "x").hardlink("m", "l").bytes()]),
    Case("link-to-dangling-symlink", [tar().symlink("l", "nowhere").hardlink("m", "l").bytes()]),
    Case("link-to-fifo-and-device", [tar().fifo("p").hardlink("q", "p").char("c", 1, 3).hardlink("e", "c").bytes()]),
    Case("link-deleted-later", [tar().file("a", b"1").hardlink("b", "a").bytes(), tar().whiteout("a").bytes()]),
    Case("link-then-whiteout", [BASE, tar().file("f", b"2").hardlink("g", "f").bytes(), tar().whiteout("f").bytes()]),
    Case("link-then-other-content", [tar().file("a", b"1").hardlink("b", "a").file("a", b"two").bytes()], podman=REFUSES,
         reason="a path twice in a layer; a later entry makes a new file, the link keeps the old one"),
    Case("link-through-own-symlink", [tar().dir("x").file("x/f", b"1").symlink("s", "x").hardlink("y", "s/f").bytes()]),
    # The order of entries
    Case("file-twice", [tar().file("f", b"1", uid=1).file("f", b"two", 0o600, mtime=7).bytes()], podman=REFUSES,
         reason="tar-split refuses a path twice; a later entry wins"),
    Case("directory-twice", [tar().dir("d", 0o700).file("d/x", b"").dir("d", 0o755, uid=4).bytes()], podman=REFUSES,
         reason="the same"),
    Case("kinds-twice", [tar().dir("a").file("a/lost", b"").file("a", b"f").file("b", b"").dir("b").file("b/x", b"")
                         .symlink("c", "b").dir("c").file("c/own", b"").symlink("e", "a").file("e", b"f").bytes()],
         podman=REFUSES, reason="the same"),
    Case("entries-before-their-parents", [tar().file("d/sub/x", b"x").dir("d/sub", 0o700, uid=3, mtime=T + 3)
                                          .dir("d", 0o711, uid=2, mtime=T + 2).bytes()]),
    Case("parents-that-never-appear", [tar().file("p/q/r", b"x", uid=3).symlink("t/l", "x").bytes()],
         unnamed=(b"p", b"p/q", b"t"), reason="0755, root; the time is 0, that of unpacking elsewhere"),
    Case("parents-that-only-lower-layers-name", [BASE, tar().file("d/sub/new", b"n").bytes()], podman=DIFFERS, containerd=DIFFERS,
         reason="a directory that no entry names keeps the lower one's attributes; Podman: 0755, now"),
    Case("below-own-symlink", [tar().dir("usr").dir("usr/lib").symlink("lib", "usr/lib").file("lib/x", b"x")
                               .symlink("abs", "/usr").file("abs/y", b"y").bytes()]),
    Case("names-to-clean", [tar().dir("./a/").file("./a//b/./c", b"1").file("/abs", b"2").file("a/../x", b"3")
                            .file("dd", b"4").bytes()], instead={b"a": a_dir()}, unnamed=(b"a/b",),
         reason="umoci gives a directory the time at which one that no entry names was made in it"),
    # Formats
    Case("pax-names", [tar(long_names="pax").dir("p").file("p/" + "x" * 200, b"1").symlink("p/l", "y" * 300)
                       .hardlink("p/h", "p/" + "x" * 200).file("p/short", b"", pax={"path": "p/from-pax", "comment": "x"}).bytes()]),
    Case("gnu-names", [tar(long_names="gnu").dir("p").file("p/" + "x" * 200, b"1").symlink("p/l", "y" * 300)
                       .hardlink("p/h", "p/" + "x" * 200).file("/".join(["p"] + ["z" * 60] * 8), b"").bytes()],
         unnamed=tuple("/".join(["p"] + ["z" * 60] * count).encode() for count in range(1, 8)), instead={b"p": a_dir()},
         reason="the same"),
    Case("ustar-prefix", [tar().dir("q").raw(header(b"name", REGULAR, mtime=T, prefix=b"q/" + b"p" * 150)).bytes()],
         unnamed=(b"q/" + b"p" * 150,), instead={b"q": a_dir()}, reason="the same"),
    Case("pax-ids-and-times", [tar().file("ids", b"", pax={"uid": 2**31 + 5, "gid": 2**32 - 2}).file("part", b"", mtime=T + 0.75)
                               .file("exact", b"", pax={"mtime": "1234567890.999999999", "atime": "1.5"}).dir("d", mtime=T + 0.5)
                               .file("size", b"12345", pax={"size": 5}).file("named", b"", pax={"uname": "daemon"}).bytes()]),
    Case("pax-global", [tar().raw(header(b"g", b"g", size=len(GLOBAL)) + GLOBAL + padding(len(GLOBAL)))
                        .file("f", b"1").bytes()], expected={b"f": a_file(b"1")}, reason="umoci knows no global header"),
    Case("base-256-ids", [tar().file("u", b"", uid=2**31, gid=2**31 + 1).dir("d", uid=2**32 - 2).symlink("l", "u", uid=3 * 10**9)
                          .bytes()]),
    Case("times", [tar().file("before", b"", mtime=-5).file("first", b"", mtime=0).file("after", b"", mtime=2**31)
                   .file("late", b"", mtime=2**33).dir("d", mtime=-100000).symlink("l", "x", mtime=2**31 + 1).bytes()],
         podman=DIFFERS, containerd=DIFFERS, reason="Podman sets times before 1970 to 0"),
    Case("times-in-pax", [tar().file("before", b"", pax={"mtime": "-5"}).file("half", b"", pax={"mtime": "-4.5"})
                          .file("after", b"", pax={"mtime": "4102444800.25"}).bytes()], podman=DIFFERS,
         containerd=DIFFERS, reason="the same"),
    Case("sparse-pax-1", [tar().sparse("s", 1 << 20, [(0, b"a" * 512), (8192, b"x" * 512)]).sparse("hole", 5000, [])
                          .file("next", b"n").bytes()]),
    Case("sparse-pax-0", [tar().sparse("s", 100000, [(512, b"x" * 1024), (9000, b"yz")], style="pax0").file("next", b"n").bytes()]),
    Case("sparse-gnu", [tar().sparse("s", 100000, [(512, b"x" * 1024), (9000, b"yz")], style="gnu").file("next", b"n").bytes()],
         expected={b"s": a_file(b"\0" * 512 + b"x" * 1024 + b"\0" * 7464 + b"yz" + b"\0" * 90998), b"next": a_file(b"n")},
         podman=REFUSES, containerd=REFUSES, reason="umoci and Podman know no GNU sparse files; GNU tar, which writes them, does"),
    Case("star", [tar().raw(star(b"one", b"1", mode=0o640, uid=7) + star(b"two", b"22")).dir("d").bytes()]),
    Case("v7", [tar().raw(v7(b"d/", b"\0", mode=0o750) + v7(b"d/f", b"\0", b"1") + v7(b"d/h", b"1", link=b"d/f")
                          + v7(b"d/l", b"2", link=b"f", mode=0o777)).bytes()]),
    Case("no-end", [tar().file("f", b"1").bytes(end=False)]),
    Case("behind-the-end", [tar().file("f", b"1").bytes() + b"rubbish" * 99]),
    # Layers
    Case("empty-layers", [b"", BASE, bytes(1024), bytes(512), bytes(10240)], containerd=REFUSES,
         reason="containerd takes no manifest that names a blob of 0 bytes"),
    Case("only-empty-layers", [bytes(1024), bytes(1024)]),
    Case("only-directories", [tar().dir("a").dir("a/b", 0o700).bytes(), tar().dir("a", 0o711).dir("c").bytes()]),
    Case("the-same-layer-twice", [BASE, tar().whiteout("f").bytes(), BASE]),
    Case("many-layers", [tar().dir("d").file(f"d/{n % 7}", b"%d" % n).whiteout(f"d/{(n + 3) % 7}").bytes() for n in range(40)]),
    # Names
    Case("names-of-files", [odd_names(lambda made, name, n: made.file(name, b"%d" % n))]),
    Case("names-of-directories", [odd_names(lambda made, name, n: made.dir(name).file(name + b"/in", b"%d" % n))]),
    Case("names-of-links", [odd_names(lambda made, name, n: made.symlink(name, name + b"/x"))]),
    Case("names-of-hard-links", [odd_names(lambda made, name, n: made.file(b"n/t%d" % n, b"%d" % n).hardlink(name, b"n/t%d" % n))]),
    Case("names-in-pax", [odd_names(lambda made, name, n: made.entry(b"n/x%d" % n, REGULAR, b"1", pax={"path": name}))]),
    Case("names-deleted", [odd_names(lambda made, name, n: made.file(name, b"1")),
                           odd_names(lambda made, name, n: n % 2 and len(name) < 250 and made.whiteout(name))]),
    Case("deep", [tar().file("/".join(["d" * 100] * 30), b"x").bytes()],
         unnamed=tuple("/".join(["d" * 100] * count).encode() for count in range(1, 30))),
    # Kinds and modes
    Case("devices", [tar().dir("x").char("x/null", 1, 3, mode=0o666).block("x/loop", 7, 0, uid=6).fifo("x/fifo", mode=0o620)
                     .char("x/large", 300, 70000).bytes(), tar().dir("x").whiteout("x/null").bytes()]),
    Case("modes", [tar().file("suid", b"", 0o4755).file("sgid", b"", 0o2755).file("both", b"", 0o6711).dir("sticky", 0o1777)
                   .file("none", b"secret", 0).dir("shut", 0).file("shut/in", b"").file("write", b"", 0o222)
                   .file("type-bits", b"", 0o104755).file("suid-of-other", b"", 0o4750, uid=5, gid=6).bytes()]),
    Case("socket-bits", [tar().file("s", b"", 0o140755).file("f", b"").bytes()],
         reason="a tar has no sockets: GNU tar leaves them out; the type in a mode is not looked at"),
]

def expected_tree(case, layout, work):
    if case.expected is not None:
        return case.expected
    found = tree(umoci_unpack(layout, case.name, os.path.join(work, "umoci-" + case.name)))
    for path in case.unnamed:
        found[path] = found[path]._replace(mtime=0)
    for path, one in (case.instead or {}).items():
        found[path] = one
        if one is None:
            del found[path]
    return found


class Cases:
    """All images in a registry, published once."""

    def __init__(self):
        self.work = tempfile.mkdtemp(prefix="engine-")
        self.registry = Registry().start()
        self.images, self.trees = {}, {}
        layout = os.path.join(self.work, "layout")
        for case in CASES:
            image = Image(case.layers, config={"Labels": {"case": case.name}, "Cmd": ["/x"]}, compression="none")
            self.images[case.name] = self.registry.push("engine/odd", case.name, image)
            image.write_layout(layout, case.name)
            self.trees[case.name] = expected_tree(case, layout, self.work)
        self.repository = self.publish(os.path.join(self.work, "layers"))
        self.merged = self.publish(os.path.join(self.work, "merged"), "--podman", "merged")

    def name(self, case):
        return f"{self.registry.host}/engine/odd:{case}"

    def publish(self, repository, *options, ducc=None):
        with ducc or Ducc() as program:
            result = program.run("convert", "--repo", repository, *options, *("http://" + self.name(one.name) for one in CASES))
            assert result.status == 0, result.stdout + result.stderr
        return repository

    def close(self):
        self.registry.stop()
        unmount_below(self.work)
        shutil.rmtree(self.work, ignore_errors=True)
