"""Disks and clocks that fail: clear errors, nothing half-done, and the next run goes on."""

import json
import os
import subprocess
import time
import unittest

from backends import on_every_backend
from failing import FailureTest, add, layer, noise
from harness import Image, tree

DAY = 86400


def fill(path, but):
    """Take all space but so many bytes."""
    with open(path, "wb", buffering=0) as out:
        try:
            while True:
                out.write(b"x" * 4096)
        except OSError:
            out.truncate(max(0, out.tell() - but))


class DiskTest(FailureTest):
    def setUp(self):
        super().setUp()
        self.source = self.misbehaving()
        self.image = add(self.source, "a", "1", Image([layer("base"), noise("own", 200_000)]))
        self.name = f"{self.source.host}/a:1"

    def mount(self, where, size):
        os.makedirs(where, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", where], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", where], check=False)
        return where

    def run_ducc(self, backend, command, *arguments, state, env=None):
        program = self.ducc(backend, state_dir=state)
        return program.run(command, *arguments, env=env)

    def convert_with(self, backend, state, **how):
        return self.run_ducc(backend, "convert", "--repo", backend.argument, f"http://{self.name}", state=state, **how)

    def assert_untouched(self, backend, before):
        self.assertEqual(before, tree(backend.view))
        backend.assert_sound(self)

    @on_every_backend
    def test_a_full_state_directory(self, backend):
        """With more and more room, so that it is full at different moments; the spool lies elsewhere."""
        os.makedirs(backend.view, exist_ok=True)
        before, spool = tree(backend.view), self.path("spool")
        for room in (0, 24, 100, 180, 260):
            with self.subTest(room=room):
                state = self.mount(self.path(f"state-{backend.kind}-{room}"), "1m")
                fill(os.path.join(state, "ballast"), but=room << 10)
                done = self.run_ducc(backend, "convert", "--spool", spool, "--repo", backend.argument,
                                     f"http://{self.name}", state=state)
                self.assertNotIn("Sanitizer", done.stderr)
                if done.status == 0:    # there was enough
                    break
                self.assertIn(done.status, (1, 3), done.stderr)
                self.assertRegex(done.stdout + done.stderr, "No space left|full|make room")
                self.assert_untouched(backend, before)
        done = self.convert_with(backend, self.path("state"))
        self.assertEqual(0, done.status, done.stderr)

    @on_every_backend
    def test_a_read_only_state_directory(self, backend):
        os.makedirs(backend.view, exist_ok=True)
        before, state = tree(backend.view), self.mount(self.path(f"state-{backend.kind}"), "8m")
        subprocess.run(["mount", "-o", "remount,ro", state], check=True)
        for command in (["convert", "--repo", backend.argument, f"http://{self.name}"], ["gc", backend.argument],
                        ["remove", "--repo", backend.argument, self.name]):
            done = self.run_ducc(backend, *command, state=state)
            self.assertEqual(3, done.status, done.stderr)
            self.assertIn("Read-only file system", done.stderr)
            self.assert_untouched(backend, before)
        subprocess.run(["mount", "-o", "remount,rw", state], check=True)
        done = self.convert_with(backend, state)
        self.assertEqual(0, done.status, done.stderr)

    @on_every_backend
    def test_a_state_directory_that_becomes_read_only(self, backend):
        """gc and remove change nothing that they could not note."""
        state = self.mount(self.path(f"state-{backend.kind}"), "8m")
        self.assertEqual(0, self.convert_with(backend, state).status)
        before = tree(backend.view)
        subprocess.run(["mount", "-o", "remount,ro", state], check=True)
        for command in (["gc", "--grace-period", "0", backend.argument],
                        ["remove", "--repo", backend.argument, self.name]):
            done = self.run_ducc(backend, *command, state=state)
            self.assertEqual(3, done.status, done.stderr)
            self.assertIn("ead-only", done.stderr)
            self.assert_untouched(backend, before)
        done = self.run_ducc(backend, "gc", "--dry-run", backend.argument, state=state)
        self.assertEqual(0, done.status, done.stderr)

    @on_every_backend
    def test_a_spool_that_vanishes(self, backend):
        os.makedirs(backend.view, exist_ok=True)
        before, state, spool = tree(backend.view), self.path(f"state-{backend.kind}"), self.path(f"spool-{backend.kind}")
        self.source.behave("/blobs/" + self.image.layer_digests[1], times=1, delay=1.5)
        program = self.ducc(backend, state_dir=state)
        self.source.forget_requests()
        running = program.start("convert", "--spool", spool, "--repo", backend.argument, f"http://{self.name}",
                                stdout=-1, stderr=-1)
        while not self.source.seen("/blobs/" + self.image.layer_digests[1]):
            time.sleep(0.02)
        os.rename(spool, spool + ".gone")       # at once: what is being prepared there may move while a tree is removed
        out, err = running.communicate(timeout=60)
        self.source.well_behaved()
        self.assertEqual(1, running.returncode, out + err)
        self.assertRegex((out + err).decode(), "No such file or directory")
        self.assertNotIn(b"Sanitizer", err)
        self.assert_untouched(backend, before)
        done = self.convert_with(backend, state)
        self.assertEqual(0, done.status, done.stderr)
        backend.assert_sound(self)

    @on_every_backend
    def test_a_clock_that_jumps(self, backend):
        """Times to come prove nothing: they are those of a clock that was wrong then."""
        state = self.path(f"state-{backend.kind}")
        config = self.path("ducc.yaml")
        with open(config, "w", encoding="utf-8") as out:
            json.dump({"deletion": {"retain": "1d", "grace_period": "1d"}}, out)

        def at(days, command, *arguments):
            done = self.run_ducc(backend, command, *arguments, state=state, env={"DUCC_CLOCK_OFFSET": str(days * DAY)})
            self.assertEqual(0, done.status, done.stderr)

        self.assertEqual(0, self.convert_with(backend, state, env={"DUCC_CLOCK_OFFSET": str(1000 * DAY)}).status)
        at(1000, "gc", "--config", config, backend.argument)
        at(1000, "remove", "--config", config, "--repo", backend.argument, self.name)
        whole = tree(backend.view)
        at(0, "gc", "--config", config, backend.argument)
        at(500, "gc", "--config", config, backend.argument)
        self.assertEqual(whole, tree(backend.view))
        at(0, "restore", "--config", config, "--repo", backend.argument, self.name)
        at(0, "gc", "--config", config, backend.argument)
        done = self.convert_with(backend, state)
        self.assertEqual(0, done.status, done.stderr)
        self.assertTrue(os.path.isdir(os.path.join(backend.view, self.name)))
        backend.assert_sound(self)


if __name__ == "__main__":
    unittest.main()
