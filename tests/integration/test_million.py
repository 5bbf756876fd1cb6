"""A layer of a million entries, and a second one that deletes and replaces some of them."""

import os
import time
import unittest

from harness import IntegrationTest, overlay
from oddimages import T, tar
from published import CATALOG, LARGEST_CATALOG, SMALLEST_CATALOG, catalog_parts, layer_place, place
from references import run
from tarbuilder import DIRECTORY, REGULAR, header

COUNT = int(os.environ.get("DUCC_MANY_ENTRIES", "1000000"))
FOLDERS = COUNT // 1000


def million():
    """The tar of FOLDERS directories with 999 empty files each; every header is made from the one before."""
    block = bytearray(header(b"d000/f0000000", REGULAR, mode=0o600, mtime=T))
    low = int(block[148:154], 8) - sum(b"0000000") - sum(b"000")
    entries = []
    for n in range(FOLDERS):
        entries.append(header(b"d%03d/" % n, DIRECTORY, mode=0o755, mtime=T))
        for k in range(999):
            name = b"d%03d/f%07d" % (n, k)
            block[:13] = name
            block[148:154] = b"%06o" % (low + sum(name[1:4]) + sum(name[6:]))
            entries.append(bytes(block))
    return b"".join(entries) + bytes(1024)


def names(top):
    """{directory: the names in it}, without the markers of catalogs, which are counted elsewhere."""
    return {os.path.relpath(path, top): sorted({*folders, *files} - {CATALOG}) for path, folders, files in os.walk(top)}


class MillionTest(IntegrationTest):
    def setUp(self):
        super().setUp()
        registry = self.registry()
        top = tar().dir("d001", 0o700).opaque("d001").whiteout("d002").dir("d003").whiteout("d003/f0000007").file("d003/new", b"")
        self.image = registry.push_image("engine/million", "t", [million(), top.bytes()], compression="none")
        self.name = f"http://{registry.host}/engine/million:t"
        files = [f"f{k:07}" for k in range(999)]
        self.expected = {f"d{n:03}": files for n in range(FOLDERS) if n != 2}
        self.expected["."] = sorted(self.expected)
        self.expected["d001"] = []
        self.expected["d003"] = sorted({*files, "new"} - {"f0000007"})

    def test_a_million_entries(self):
        # In memory: a million files take a disk a minute to make, and half of one to remove.
        os.mkdir(self.path("memory"))
        run("mount", "-t", "tmpfs", "-o", "size=4g,nr_inodes=4m", "tmpfs", self.path("memory"))
        repository = self.path("memory", "repo")
        begin = time.monotonic()
        self.ducc().run("convert", "--repo", repository, "--skip-flat", self.name, check=True, timeout=600)
        print(f"{COUNT} entries published in {time.monotonic() - begin:.1f} s")
        chain = os.path.join(repository, place("chains", self.image.chain_ids()[-1]))
        self.assertEqual(names(chain), self.expected)
        found = os.stat(os.path.join(chain, f"d{FOLDERS - 1:03}", "f0000998"))
        self.assertEqual((found.st_mode & 0o7777, int(found.st_mtime)), (0o600, T))
        with overlay([os.path.join(repository, layer_place(digest)) for digest in self.image.layer_digests]) as merged:
            self.assertEqual(names(merged), self.expected)
        self.assert_catalogs(chain)

    def assert_catalogs(self, chain):
        """The markers that the comparison left out stand where they should, and nowhere else."""
        parts = catalog_parts(chain)
        self.assertEqual(sum(parts.values()), len(self.expected) + sum(map(len, self.expected.values())) - len(self.expected["."]))
        self.assertLessEqual(max(parts.values()), LARGEST_CATALOG)
        self.assertGreater(len(parts), COUNT // LARGEST_CATALOG)
        for path, size in parts.items():
            self.assertGreaterEqual(size, 1 if path == "" else SMALLEST_CATALOG, path)
            self.assertEqual(os.path.getsize(os.path.join(chain, path, CATALOG)), 0)


if __name__ == "__main__":
    unittest.main()
