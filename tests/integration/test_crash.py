"""Killed at any instant: no public name is ever half made, and the next run brings everything to its end."""

import os
import random
import shutil
import signal
import subprocess
import threading
import time
import unittest

from backends import Directory, StandIn
from failing import FailureTest, add
from gate import Gate
from harness import Image, TarBuilder, tree, umoci_unpack
from published import assert_flat, assert_public_name, layer_place, place, published_tree

SEED = 20240607
KILLS = 15


def many_files(name, count, size):
    """Empty files are headers only: every cut at a multiple of 512 bytes is one between two entries."""
    tar = TarBuilder().dir(name)
    for number in range(count):
        tar.file(f"{name}/{number:05}", os.fsencode(f"{name}{number} ") * (size // 10))
    return tar.bytes()


class CrashTest(FailureTest):
    def setUp(self):
        super().setUp()
        self.source = self.misbehaving()
        self.random = random.Random(SEED)

    def expected(self, name, layers):
        Image(layers).write_layout(self.path(name), "t")
        return tree(umoci_unpack(self.path(name), "t", self.path(name + "-bundle")))


class DirectoryCrashTest(CrashTest):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("fast"))     # where waiting for the disk takes no time
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.path("fast")], check=True)
        layers = [many_files(name, 300, 200) for name in ("base", "old", "new", "more")]
        self.trees = {}     # what each unit must be, if it is there at all
        self.images = {}
        for tag, parts in (("old", layers[:2]), ("new", [layers[0], *layers[2:]])):
            image = self.images[tag] = Image(parts, config={"Cmd": [tag]})
            whole = self.expected(tag, parts)
            self.trees[place("flat", image.config_digest)] = whole
            self.trees[place("chains", image.chain_ids()[-1])] = whole
            for number, (digest, part) in enumerate(zip(image.layer_digests, parts, strict=True)):
                self.trees[layer_place(digest)] = self.expected(f"{tag}{number}", [part])

    def assert_whole(self, view):
        """Every unit that can be seen is complete, and every public name leads to one."""
        for path, expected in self.trees.items():
            if path.startswith(".flat") and os.path.isdir(os.path.join(view, path)):
                assert_flat(self, expected, view, path.rpartition("/")[2])
            elif os.path.lexists(os.path.join(view, os.path.dirname(path) if "layerfs" in path else path)):
                self.assert_same_tree(expected, published_tree(view, path), path)
        names = os.path.join(view, self.source.host)
        for name in os.listdir(names):
            target = os.path.relpath(os.path.realpath(os.path.join(names, name)), os.path.realpath(view))
            self.assertIn(target, self.trees)
            self.assertTrue(os.path.isdir(os.path.join(view, target)), f"{name} leads nowhere")

    def kill_at(self, process, moment, view):
        """`moment` from 0 to 1 is spread over the run, from 1 to 2 over its commit, where the time is short."""
        if moment >= 1:
            while process.poll() is None and not os.path.exists(os.path.join(view, ".ducc-staging")):
                time.sleep(0.0005)
            time.sleep((moment - 1) * self.commit_seconds)
        else:
            time.sleep(moment * self.run_seconds)
        process.kill()
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            return True
        self.run_seconds, self.commit_seconds = self.run_seconds * 0.8, self.commit_seconds * 0.8
        return False

    def measure(self, backend, ducc, names):
        """How long the run takes here, and its commit."""
        start = time.monotonic()
        self.convert(backend, *names, ducc=ducc)
        self.run_seconds = time.monotonic() - start
        shutil.rmtree(backend.view)
        process = ducc.start("convert", "--repo", backend.argument, *("http://" + one for one in names), stdout=-1, stderr=-1)
        while process.poll() is None and not os.path.exists(os.path.join(backend.view, ".ducc-staging")):
            time.sleep(0.0005)
        start = time.monotonic()
        process.communicate()
        self.commit_seconds = time.monotonic() - start

    def test_kills(self):
        backend, ducc = Directory(self.path("fast")), self.ducc()
        add(self.source, "image", "t", self.images["new"])
        add(self.source, "image", "other", self.images["new"])
        names = [f"{self.source.host}/image:{tag}" for tag in ("t", "other")]
        self.measure(backend, ducc, names)
        shutil.rmtree(backend.view)
        add(self.source, "image", "t", self.images["old"])
        self.convert(backend, names[0])
        shutil.copytree(backend.view, self.path("fast/before"), symlinks=True, copy_function=os.link)
        add(self.source, "image", "t", self.images["new"])
        killed = 0
        for number in range(4 * KILLS):
            moment = self.random.random() + (0 if number % 3 == 0 else 1)
            shutil.rmtree(backend.view)
            subprocess.run(["cp", "-a", self.path("fast/before"), backend.view], check=True)
            process = ducc.start("convert", "--repo", backend.argument, *("http://" + one for one in names), stdout=-1,
                                 stderr=-1)
            if not self.kill_at(process, moment, backend.view):
                continue
            killed += 1
            with self.subTest(moment=moment):
                self.assert_repaired(backend, ducc, names)
            if killed == KILLS:
                break
        self.assertEqual(killed, KILLS, "too many runs ended before they could be killed")

    def assert_repaired(self, backend, ducc, names):
        """All is whole right after the kill; and after the next run all is there, and nothing else."""
        self.assert_whole(backend.view)
        self.convert(backend, *names, ducc=ducc)
        self.assert_whole(backend.view)
        for name in names:
            assert_public_name(self, backend.view, name, self.images["new"].config_digest)
        self.assertEqual([path for path in self.trees if not os.path.isdir(os.path.join(backend.view, path))], [])
        backend.assert_sound(self)
        self.assertEqual(self.left_in(ducc.state_dir), [])

    @staticmethod
    def left_in(state):
        """Blobs and layers that a finished run has left in the spool."""
        return [os.path.join(top, name) for top, directories, files in os.walk(state) for name in [*directories, *files]
                if os.path.basename(top) in ("blobs", "layers")]


class StreamCrashTest(CrashTest):
    """The program is killed while the tar flows into cvmfs_server ingest."""

    LAYER = many_files("files", 3000, 0)

    def setUp(self):
        super().setUp()
        self.backend = StandIn(self.scratch)
        self.image = add(self.source, "image", "t", Image([self.LAYER]))
        self.name = f"{self.source.host}/image:t"
        self.before = self.backend.revision()
        self.state = self.ducc(self.backend)
        self.gate = None

    def start(self, stop_after):
        """A run whose stream stands behind so many bytes, or has ended before."""
        self.gate = Gate(self.path(f"gate{stop_after}"), stop_after)
        process = self.state.start("convert", "--repo", self.backend.argument, "http://" + self.name, stdout=-1,
                                   stderr=-1, env=self.gate.environment())
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.assertTrue(self.gate.wait(process), "the stream ended before the gate")
        return process

    def ingest_group(self):
        """The process group of the ingest, as its processes are found by the gate's variable."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as source:
                    if os.fsencode(f"GATE={self.gate.directory}") not in source.read().split(b"\0"):
                        continue
                with open(f"/proc/{pid}/cmdline", "rb") as source:
                    if b"ingest" in source.read().split(b"\0"):
                        return os.getpgid(int(pid))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                pass
        raise AssertionError("no ingest runs")

    def assert_unpublished(self):
        self.assertEqual(self.backend.revision(), self.before)
        self.assert_nothing_of(self.backend, self.name, self.image)
        self.assertEqual(self.backend.damage(), [])

    def assert_next_run_publishes(self):
        said = self.convert(self.backend, self.name, ducc=self.state)
        self.assertEqual(self.backend.revision(), self.before + 1)
        assert_flat(self, self.expected("image", [self.LAYER]), self.backend.view, self.image.config_digest)
        self.backend.assert_sound(self)
        return said

    def test_killed_while_the_pipe_is_full(self):
        """Wherever the stream is cut, it is never taken for a whole one."""
        moments = [0, 511, 512, 513, 10240, 1 << 20, *(self.random.randrange(3_000_000) for _ in range(3))]
        for stop_after in moments:
            with self.subTest(stop_after=stop_after):
                process = self.start(stop_after)
                process.kill()
                process.communicate()
                self.gate.open()
                self.assertNotEqual(self.gate.ended(), 0, f"a stream of {self.gate.total()} bytes was taken for whole")
                self.assert_unpublished()
                self.assertFalse(self.backend.in_transaction())
        self.assert_next_run_publishes()

    def test_the_machine_goes_down(self):
        """Everything is killed at once: the transaction stays open, it is ours, and the next run aborts it."""
        process = self.start(1 << 20)
        group = self.ingest_group()
        process.kill()
        os.killpg(group, signal.SIGKILL)
        process.communicate()
        self.assertTrue(self.backend.in_transaction(), "the test leaves no transaction open")
        self.assert_unpublished()
        self.backend.clear_log()
        said = self.assert_next_run_publishes()
        self.assertEqual(len(self.backend.log("abort")), 1)
        self.assertRegex(said.stderr, rf"process {process.pid} was cut off while it was publishing .*"
                                      r"\(since 20.*Z\): it did not become a revision")

    def test_the_next_run_waits_for_an_ingest_that_ends(self):
        """The ingest of a killed run finds out by itself that its input was cut."""
        self.start(1 << 20).kill()
        opener = threading.Timer(1.5, self.gate.open)
        opener.start()
        self.assertTrue(self.backend.in_transaction())
        self.assert_next_run_publishes()
        opener.join()

    def test_the_next_run_ends_an_ingest_that_hangs(self):
        """Slow, since the program is patient."""
        self.start(1 << 20).kill()
        self.assertTrue(self.backend.in_transaction())
        self.assert_next_run_publishes()
        self.gate.open()
        self.backend.assert_sound(self)

    def test_terminated_in_the_stream(self):
        for number, sent in enumerate((signal.SIGTERM, signal.SIGINT)):
            with self.subTest(sent):
                process = self.start((1 << 20) + number)
                process.send_signal(sent)
                time.sleep(0.2)
                self.gate.open()
                output, errors = process.communicate(timeout=30)
                self.assertEqual(process.returncode, 1, (output, errors))
                self.assertIn(os.fsencode(f"failed     {self.name}"), output)
                self.assertRegex(output, b"(?i)stopped|cancel")
                self.assert_unpublished()
                self.assertFalse(self.backend.in_transaction())
        self.assert_next_run_publishes()

    def test_terminated_while_fetching(self):
        for backend in (Directory(self.scratch), self.backend):
            with self.subTest(backend.kind):
                self.source.forget_requests()
                self.source.behave("/blobs/", trickle=(100, 0.1))
                ducc = self.ducc(backend)
                process = ducc.start("convert", "--repo", backend.argument, "http://" + self.name, stdout=-1, stderr=-1)
                while not self.source.seen(self.image.layer_digests[0]):
                    time.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                output, errors = process.communicate(timeout=15)
                self.assertEqual(process.returncode, 1, (output, errors))
                self.assertRegex(output, b"failed     .*\\n.*(stopped|cancel)")
                self.assert_nothing_of(backend, self.name, self.image)
                self.source.well_behaved()
                self.convert(backend, self.name, ducc=ducc)
                backend.assert_sound(self)


if __name__ == "__main__":
    unittest.main()
