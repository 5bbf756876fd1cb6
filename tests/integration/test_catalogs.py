"""A large tree is published in nested catalogs of bounded size, outer ones first, the same ones each time."""

import os
import subprocess
import unittest

from backends import on_every_backend
from failing import FailureTest
from harness import TarBuilder
from published import LARGEST_CATALOG, catalog_parts, layer_place

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


class CatalogsTest(FailureTest):
    @on_every_backend
    def test_a_large_layer(self, backend):
        if backend.kind == "stand-in":
            return      # it takes minutes for so many entries, and knows nothing of sizes
        registry = self.registry()
        image = registry.push_image("large/layer", "t", [large_layer()])
        self.convert(backend, f"{registry.host}/large/layer:t", options=("--skip-flat", "--chains", "none", "--podman", "none"))
        place = layer_place(image.layer_digests[0])
        found = catalog_parts(os.path.join(backend.view, place))
        self.assertEqual(sorted(found), ["", *CUT])
        self.assertLessEqual(max(found.values()), LARGEST_CATALOG)
        self.assertEqual(sum(found.values()), 1 + TOPS * (1 + SUBS * (1 + FILES)))
        backend.assert_sound(self)
        if backend.kind == "real CernVM-FS":
            listed = subprocess.run(["cvmfs_server", "list-catalogs", "-x", backend.argument], capture_output=True, check=True,
                                    text=True).stdout.split()
            for path in ("", *(f"/{name}" for name in CUT)):
                self.assertIn(f"/{place}{path}", listed)


if __name__ == "__main__":
    unittest.main()
