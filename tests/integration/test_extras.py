"""What ingest cannot carry: extended attributes and chunks, by one ordinary transaction when the recipe asks for them."""

import os
import unittest

from backends import on_every_backend
from harness import IntegrationTest, TarBuilder
from published import layer_place, place

VALUE = bytes.fromhex("0100000202000000000000000000000000000000")      # cap_net_raw=ep


class ExtrasTest(IntegrationTest):
    def setUp(self):
        super().setUp()
        self.hub = self.registry()
        layer = TarBuilder().file("ping", b"x", 0o755, pax={"SCHILY.xattr.security.capability": VALUE})
        layer.file("large", os.urandom(1 << 20) * 17).file("small", b"x")
        self.image = self.hub.push_image("a/b", "t", [layer.bytes()])

    def convert(self, backend, *options, include):
        """(revisions made, the run's result). `include`: does the repository take extended attributes?"""
        etc = self.path("etc") if backend.kind == "stand-in" else "/etc/cvmfs"
        conf = os.path.join(etc, "repositories.d", backend.argument)
        os.makedirs(conf, exist_ok=True)
        with open(os.path.join(conf, "server.conf"), "a", encoding="ascii") as out:
            out.write(f"CVMFS_INCLUDE_XATTRS={'true' if include else 'false'}\n")
        before = backend.revisions()
        result = self.ducc(backend).run("convert", "--repo", backend.argument, *options, f"http://{self.hub.host}/a/b:t", check=True,
                                        env={"DUCC_CVMFS_ETC": etc})
        made = backend.revisions() - before
        backend.assert_sound(self)
        return made, result

    def places(self, backend, name):
        return [os.path.join(backend.view, top, name) for top in (
            layer_place(self.image.layer_digests[0]), place("chains", self.image.chain_ids()[0]),
            place("flat", self.image.config_digest))]

    @on_every_backend
    def test_attributes_are_kept(self, backend):
        """In the layer, the chain and the flat image; mode and time stay. (Of a directory: test_engine.py.)"""
        if backend.kind == "directory":
            return
        made, result = self.convert(backend, "--xattrs", "keep", include=True)
        self.assertEqual(made, 2)
        self.assertNotIn("not published", result.stderr)
        for path in self.places(backend, "ping"):
            self.assertEqual(os.getxattr(path, "security.capability"), VALUE)
            self.assertEqual((os.stat(path).st_mode & 0o7777, int(os.stat(path).st_mtime)), (0o755, 1_600_000_000))

    @on_every_backend
    def test_a_repository_without_attributes(self, backend):
        """They are counted and reported although they were asked for."""
        if backend.kind == "directory":
            return
        made, result = self.convert(backend, "--xattrs", "keep", include=False)
        self.assertEqual(made, 1)
        self.assertRegex(result.stderr, r"3 entries have extended attributes .* not published")

    @on_every_backend
    def test_a_repository_that_could_keep_them_but_is_not_asked(self, backend):
        if backend.kind == "directory":
            return
        made, result = self.convert(backend, include=True)
        self.assertEqual(made, 1)
        self.assertIn("--xattrs keep", result.stderr)
        for path in self.places(backend, "large"):      # nor are there chunks, which none asked for
            self.assertEqual(os.getxattr(path, "user.chunks"), b"1")

    @on_every_backend
    def test_large_files_in_chunks(self, backend):
        """CernVM-FS splits at 16 MiB at the latest, but what ingest brings never; times stay."""
        if backend.kind == "directory":
            return
        made, _ = self.convert(backend, "--chunk-above", "2000000", include=False)
        self.assertEqual(made, 2)
        for path in self.places(backend, "large"):
            self.assertGreaterEqual(int(os.getxattr(path, "user.chunks")), 2, path)
            self.assertEqual(int(os.stat(path).st_mtime), 1_600_000_000)
        for path in self.places(backend, "small"):
            self.assertEqual(os.getxattr(path, "user.chunks"), b"1", path)


if __name__ == "__main__":
    unittest.main()
