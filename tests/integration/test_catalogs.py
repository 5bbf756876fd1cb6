"""A large tree is published in nested catalogs of bounded size, outer ones first, the same ones each time."""

import os
import subprocess
import unittest

from backends import on_every_backend
from failing import FailureTest
from harness import TarBuilder
from published import CATALOG, layer_place

LARGEST = 100_000
TOPS, SUBS, FILES = 12, 10, 1000       # 120,133 entries with the root
CUT = ["d00", "d01", "d02"]            # of equals the first ones: 120,133 - 3 * 10,010 entries fit


def large_layer():
    tar = TarBuilder()
    for top in range(TOPS):
        tar.dir(f"d{top:02}")
        for sub in range(SUBS):
            tar.dir(f"d{top:02}/{sub}")
            first = f"d{top:02}/{sub}/0"
            tar.file(first, b"")
            for number in range(1, FILES):
                tar.hardlink(f"d{top:02}/{sub}/{number}", first)
    return tar.bytes()


def parts(top):
    """{directory that begins a catalog: its entries, nested ones left out}."""
    found = {}

    def walk(path, part):
        with os.scandir(os.path.join(top, path)) as entries:
            names = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
        if names.pop(CATALOG, None) is not None:
            part = path
        found[part] = found.get(part, 0) + 1
        for name, is_dir in names.items():
            if is_dir:
                walk(os.path.join(path, name), part)
            else:
                found[part] += 1

    walk("", "")
    return found


class CatalogsTest(FailureTest):
    @on_every_backend
    def test_a_large_layer(self, backend):
        if backend.kind == "stand-in":
            return      # it takes minutes for so many entries, and knows nothing of sizes
        registry = self.registry()
        image = registry.push_image("large/layer", "t", [large_layer()])
        self.convert(backend, f"{registry.host}/large/layer:t", options=("--skip-flat", "--chains", "none", "--podman", "none"))
        place = layer_place(image.layer_digests[0])
        found = parts(os.path.join(backend.view, place))
        self.assertEqual(sorted(found), ["", *CUT])
        self.assertLessEqual(max(found.values()), LARGEST)
        self.assertEqual(sum(found.values()), 1 + TOPS * (1 + SUBS * (1 + FILES)))
        backend.assert_sound(self)
        if backend.kind == "real CernVM-FS":
            listed = subprocess.run(["cvmfs_server", "list-catalogs", "-x", backend.argument], capture_output=True, check=True,
                                    text=True).stdout.split()
            for path in ("", *(f"/{name}" for name in CUT)):
                self.assertIn(f"/{place}{path}", listed)


if __name__ == "__main__":
    unittest.main()
