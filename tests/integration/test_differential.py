"""A differential fuzzer: random stacks of layers, merged by ducc and by umoci, compared entry by entry.

The published chain, and the published layers stacked by the kernel's overlayfs, must be what umoci unpacks.
DUCC_DIFFERENTIAL says how many stacks (1,000), DUCC_SEED which is the first; each stack is made of its own seed, and a
failure names it:

    DUCC_SEED=SEED DUCC_DIFFERENTIAL=1 DUCC_BINARY=… python3 test_differential.py
"""

import concurrent.futures
import os
import random
import shutil
import tempfile
import time
import unittest

from harness import IntegrationTest, Image, TarBuilder, overlay, tree, umoci_unpack
from published import layer_place, place, published_tree
from trees import differences

COUNT = int(os.environ.get("DUCC_DIFFERENTIAL", "1000"))
FIRST = int(os.environ.get("DUCC_SEED", "1"))
BATCH = 125
NAMES = [b"a", b"b", b"c", b"d", b"\xff", b"x y"]


class Stack:
    """The layers of one seed. What the tree holds is followed roughly, for the sake of entries that make sense: nothing
    stands below a file or a symlink, links have targets. Where umoci itself has no single answer, nothing is made."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.state = {}         # path: (kind, number of the layer that brought it)
        self.text = []          # for the message of a failure
        self.layers = [self.layer(number) for number in range(self.random.randint(1, 5))]

    def layer(self, number):
        self.number, self.gone, self.implied, self.tar = number, set(), set(), TarBuilder()
        self.text.append(f"layer {number}:")
        for _ in range(self.random.randint(0, 9)):
            self.random.choice([self.dir, self.dir, self.file, self.file, self.symlink, self.fifo, self.hardlink,
                                self.whiteout, self.whiteout, self.opaque])()
        return self.tar.bytes()

    def pick(self):
        """A path whose directories are directories or missing, and were not deleted by this layer; or None."""
        known = [path for path in self.state if self.random.random() < 0.5]
        if known and self.random.random() < 0.6:
            path = self.random.choice(known)
        else:
            path = b"/".join(self.random.choices(NAMES, k=self.random.randint(1, 3)))
        parts = path.split(b"/")
        for count in range(1, len(parts)):
            parent = b"/".join(parts[:count])
            kind = self.state.get(parent, ("dir", 0))[0]
            if kind != "dir" or parent in self.gone:
                return None
        return path

    def attributes(self):
        choose = self.random.choice
        return {"uid": choose([0, 0, 1, 70000]), "gid": choose([0, 2]), "mtime": choose([0, 10**9, 1_600_000_000])}

    def note(self, *words):
        self.text.append("  " + " ".join(str(word) for word in words))

    def put(self, path, kind):
        if kind != "dir" or self.state.get(path, ("",))[0] != "dir":
            self.remove_below(path)
        parts = path.split(b"/")
        for count in range(1, len(parts)):      # what this layer uses, it has
            parent = b"/".join(parts[:count])
            if self.state.get(parent, ("", -1))[1] < self.number:
                self.implied.add(parent)
            self.state[parent] = ("dir", self.number)
        self.implied.discard(path)
        self.state[path] = (kind, self.number)
        self.gone.discard(path)

    def remove_below(self, path, own=True):
        for other in list(self.state):
            if other.startswith(path + b"/") and (own or self.state[other][1] < self.number):
                del self.state[other]

    def dir(self):
        path = self.pick()
        if path:
            mode = self.random.choice([0o755, 0o700, 0o1777])
            self.note("dir", path, oct(mode))
            self.tar.dir(path, mode, **self.attributes())
            self.put(path, "dir")

    def file(self):
        path = self.pick()
        if path:
            mode, data = self.random.choice([0o644, 0o4755, 0]), b"%d" % self.random.randint(0, 99)
            self.note("file", path, data)
            self.tar.file(path, data, mode, **self.attributes())
            self.put(path, "file")

    def symlink(self):
        path = self.pick()
        if path:
            target = self.random.choice([*NAMES, b"/a", b"../b", b"nowhere"])
            self.note("symlink", path, target)
            self.tar.symlink(path, target, **self.attributes())
            self.put(path, "symlink")

    def fifo(self):
        path = self.pick()
        if path and self.random.random() < 0.3:
            self.note("fifo", path)
            self.tar.fifo(path, **self.attributes())
            self.put(path, "fifo")

    def hardlink(self):
        path = self.pick()
        targets = [other for other, (kind, _) in self.state.items() if kind != "dir" and other != path]
        if path and targets and self.state.get(path, ("",))[0] != "dir":
            target = self.random.choice(targets)
            if not target.startswith(path + b"/"):
                self.note("hardlink", path, target)
                self.tar.hardlink(path, target)
                self.put(path, "file" if self.state[target][0] == "file" else self.state[target][0])

    def whiteout(self):
        """Not of a directory that this layer uses without naming it: its attributes then depend on the order."""
        path = self.pick()
        if path and path not in self.implied and b"/".join(path.split(b"/")[:-1]) in [b"", *self.state]:
            self.note("whiteout", path)
            self.tar.whiteout(path)
            self.remove_below(path, own=False)
            if self.state.get(path, ("", self.number))[1] < self.number:
                del self.state[path]
                self.gone.add(path)
            elif path not in self.state:
                self.gone.add(path)

    def opaque(self):
        path = self.pick()
        if path and self.state.get(path, ("",))[0] == "dir":
            self.note("opaque", path)
            self.tar.opaque(path)
            self.remove_below(path, own=False)


class DifferentialTest(IntegrationTest):
    def setUp(self):
        super().setUp()
        self.hub = self.registry()

    def test_random_stacks(self):
        begin, seeds = time.monotonic(), range(FIRST, FIRST + COUNT)
        for start in range(0, COUNT, BATCH):
            self.batch(seeds[start:start + BATCH])
        print(f"{COUNT} stacks from seed {FIRST} on, compared in {time.monotonic() - begin:.0f} s")

    def batch(self, seeds):
        work = tempfile.mkdtemp(dir=self.scratch)
        stacks = {seed: Stack(seed) for seed in seeds}
        images = {}
        for seed, stack in stacks.items():
            images[seed] = Image(stack.layers, config={"Labels": {"seed": str(seed)}}, compression="none")
            images[seed].write_layout(os.path.join(work, f"layout{seed}"), "t")
            self.hub.push("fuzz/stack", str(seed), images[seed])
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            expected = dict(zip(seeds, pool.map(lambda seed: self.reference(work, seed), seeds)))
            repository = os.path.join(work, "repository")
            result = self.ducc().run("convert", "--repo", repository, "--skip-flat", "--podman", "none",
                                     *(f"http://{self.hub.host}/fuzz/stack:{seed}" for seed in seeds), timeout=600)
        for seed in seeds:
            with self.subTest(seed=seed):
                if isinstance(expected[seed], Exception):
                    self.fail(self.message(stacks[seed], seed, [f"umoci refuses it: {expected[seed]}"]))
                self.compare(stacks[seed], images[seed], seed, expected[seed], repository, result)
        shutil.rmtree(work)

    def reference(self, work, seed):
        """umoci's tree; the time of unpacking stands for directories that no entry names, and becomes None."""
        begin = int(time.time()) - 1
        target = os.path.join(work, f"umoci{seed}")
        try:
            found = tree(umoci_unpack(os.path.join(work, f"layout{seed}"), "t", target))
        except AssertionError as refused:
            return refused
        shutil.rmtree(target)
        return {path: one._replace(mtime=None) if one.mtime >= begin else one for path, one in found.items()}

    def compare(self, stack, image, seed, expected, repository, result):
        chain = os.path.join(repository, place("chains", image.chain_ids()[-1]))
        if not os.path.isdir(chain):
            self.fail(self.message(stack, seed, ["not published", result.stdout[-2000:]]))
        self.differ(stack, seed, expected, published_tree(chain, "."), "chain")
        layers = dict.fromkeys(reversed(image.layer_digests))       # a mount takes each directory once
        with overlay([os.path.join(repository, layer_place(digest)) for digest in reversed(layers)]) as merged:
            self.differ(stack, seed, expected, tree(merged, ignore=[".cvmfscatalog"]), "layers")

    def differ(self, stack, seed, expected, found, what):
        found = {path: one._replace(mtime=None) if path in expected and expected[path].mtime is None else one
                 for path, one in found.items()}
        lines = list(differences(expected, found))
        if lines:
            self.fail(self.message(stack, seed, [f"{what}:", *lines[:12]]))

    def message(self, stack, seed, lines):
        return "\n".join([f"seed {seed}: DUCC_SEED={seed} DUCC_DIFFERENTIAL=1", *lines, *stack.text])


if __name__ == "__main__":
    unittest.main()
