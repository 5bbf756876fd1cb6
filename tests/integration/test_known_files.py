"""Files of a new version that the repository holds are links: sent once, whole, and alive without what they came from."""

import contextlib
import json
import os
import shutil
import subprocess
import unittest

from backends import on_every_backend
from failing import FailureTest
from harness import Image, TarBuilder, tree, umoci_unpack
from published import layer_place, place

BIG = os.urandom(3 << 20)


def base(note):
    """A layer whose files are always the same, but for the note."""
    tar = TarBuilder().dir("usr", mtime=5).dir("usr/lib", 0o750, uid=3, mtime=6)
    for number in range(40):
        tar.file(f"usr/lib/{number}", b"content %d" % number, 0o644 | number % 8, uid=number % 3, mtime=1000 + number)
    tar.file("usr/lib/big", BIG, mtime=7).hardlink("usr/lib/big2", "usr/lib/big").symlink("usr/l", "lib")
    return tar.file("etc/note", b"base " + note, mtime=8).bytes()


def app(note):
    tar = TarBuilder().dir("app", mtime=9).file("app/a", b"the same " * 50, mtime=10)
    tar.file("app/copy-of-a", b"the same " * 50, mtime=10).file("app/moved-in", b"content 7", 0o644 | 7, uid=1, mtime=1007)
    return tar.file("app/time", b"time" * 30, mtime=int(note)).file("app/note", note, mtime=12).bytes()


LAYERS = {note: [base(note), app(note)] for note in (b"1", b"2")}


class KnownFilesTest(FailureTest):
    def publish(self, backend, registry, note, name="known/image:t"):
        repository, tag = name.split(":")
        image = registry.push_image(repository, tag, LAYERS[note])
        result = self.convert(backend, f"{registry.host}/{name}")
        commit, = (json.loads(line) for line in result.stdout.splitlines() if '"event":"commit"' in line)
        return image, commit

    def assert_whole(self, backend, image, note):
        layout = self.path(f"layout-{backend.kind[0]}-{note.decode()}")
        if not os.path.exists(layout):
            Image(LAYERS[note]).write_layout(layout, "x")
            umoci_unpack(layout, "x", layout + "-root")
        expected = tree(os.path.join(layout + "-root", "rootfs"))
        chain = tree(os.path.join(backend.view, place("chains", image.chain_ids()[-1])), ignore=[".cvmfscatalog"])
        self.assert_same_tree(expected, chain, loose=["etc"])

    @contextlib.contextmanager
    def change(self, backend):
        """Change the repository as somebody else would."""
        if backend.kind == "directory":
            yield backend.view
        elif backend.kind == "stand-in":
            with backend.change() as top:
                yield top
        else:
            subprocess.run(["cvmfs_server", "transaction", backend.argument], check=True, capture_output=True)
            yield f"/cvmfs/{backend.argument}"
            subprocess.run(["cvmfs_server", "publish", backend.argument], check=True, capture_output=True)

    @on_every_backend
    def test_a_rebuilt_image(self, backend):
        registry = self.registry()
        old, first = self.publish(backend, registry, b"1")
        self.assertEqual(first["known_files"], 2)       # copy-of-a, and moved-in is one of the base's
        new, second = self.publish(backend, registry, b"2")
        self.assertFalse(set(old.layer_digests) & set(new.layer_digests))
        self.assertEqual(second["known_files"], 40 + 1 + 3)
        self.assertEqual((second["differing_files"], second["differing_bytes"]), (1, len(b"time" * 30)))
        self.assertLess(second["content_bytes"], 100_000)      # its own, the index and the documents
        self.assert_whole(backend, new, b"2")
        backend.assert_sound(self)
        self.without_the_old_version(backend, old)
        self.assert_whole(backend, new, b"2")
        backend.assert_sound(self)

    def without_the_old_version(self, backend, image):
        with self.change(backend) as top:
            for digest in image.layer_digests:
                shutil.rmtree(os.path.join(top, place("layers", digest)))
            for chain in image.chain_ids()[-1:]:
                shutil.rmtree(os.path.join(top, place("chains", chain)))
            shutil.rmtree(os.path.join(top, place("flat", image.config_digest)))

    @on_every_backend
    def test_what_the_links_were_made_from_is_collected(self, backend):
        """`ducc gc` takes the old version away, CernVM-FS every object of the old revisions: contents live on."""
        registry = self.registry()
        old, _ = self.publish(backend, registry, b"1")
        new, second = self.publish(backend, registry, b"2")
        self.assertEqual(second["known_files"], 40 + 1 + 3)
        self.ducc(backend).run("gc", "--grace-period", "0", backend.argument, check=0)
        for digest in old.layer_digests:
            self.assertFalse(os.path.exists(os.path.join(backend.view, place("layers", digest))))
        backend.collect()
        self.assert_whole(backend, new, b"2")
        backend.assert_sound(self)

    @on_every_backend
    def test_another_tag_of_the_repository(self, backend):
        registry = self.registry()
        self.publish(backend, registry, b"1", "known/image:1")
        image, second = self.publish(backend, registry, b"2", "known/image:2")
        self.assertEqual(second["known_files"], 40 + 1 + 3)
        self.assert_whole(backend, image, b"2")

    @on_every_backend
    def test_what_was_changed_is_no_target(self, backend):
        """A published file that is not what the index says, or is gone."""
        registry = self.registry()
        old, _ = self.publish(backend, registry, b"1")
        with self.change(backend) as top:
            layer = os.path.join(top, layer_place(old.layer_digests[0]))
            os.unlink(os.path.join(layer, "usr/lib/3"))
            os.chmod(os.path.join(layer, "usr/lib/4"), 0o600)
            if backend.kind != "directory":
                os.utime(os.path.join(layer, "usr/lib/5"), (0, 0))
        new, second = self.publish(backend, registry, b"2")
        lost = 2 if backend.kind == "directory" else 3
        self.assertIn(second["known_files"], (44 - lost, 44 - lost + 1))
        self.assert_whole(backend, new, b"2")
        backend.assert_sound(self)

    def test_files_in_chunks_are_no_targets(self):
        repository = self.repository()
        registry = self.registry()
        image = registry.push_image("known/image", "1", LAYERS[b"1"])
        ducc = self.ducc(repository=repository)
        ducc.run("convert", "--repo", repository.name, f"http://{registry.host}/known/image:1", check=0)
        repository.chunk(os.path.join(layer_place(image.layer_digests[0]), "usr/lib/big"))
        registry.push_image("known/image", "1", LAYERS[b"2"])
        result = ducc.run("convert", "--json", "--repo", repository.name, f"http://{registry.host}/known/image:1", check=0)
        commit, = (json.loads(line) for line in result.stdout.splitlines() if '"event":"commit"' in line)
        self.assertEqual(commit["known_files"], 40 + 3)
        self.assertEqual(repository.damage(), [])


if __name__ == "__main__":
    unittest.main()
