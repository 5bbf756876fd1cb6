"""Other processes that read a repository do not stand in the way of those who publish to it."""

import contextlib
import glob
import os
import signal
import subprocess
import threading
import time
import unittest

from backends import StandIn
from deletion import DeletionTest, layer
from harness import TarBuilder
from published import place

COMMITS = 12
FILES = 300
READERS = (("verify", "--content"), ("gc", "--dry-run"), ("verify", "--layers"))


class Readers(DeletionTest):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("top"))
        self.begin(StandIn(self.path("top")))
        self.stop = threading.Event()
        self.read = {}      # how often each command ended
        self.broken = []    # the results of those that failed

    def environment(self):
        return dict(self.backend.environment(), CVMFS_STANDIN_BUSY="1")

    def publish_large(self):
        """Two images that take a while to read; the one's layer has no index, so that its tree is walked."""
        for tag in ("indexed", "walked"):
            tar = TarBuilder().dir("many")
            for number in range(FILES):
                tar.file(f"many/{number}", os.urandom(64 << 10))
            image = self.server.push_image("t/large", tag, [tar.bytes()])
            self.publish(f"t/large:{tag}")
        with self.backend.change() as top:
            os.unlink(os.path.join(top, place("layers", image.layer_digests[0]), ".metadata/index"))

    def read_for_ever(self, *arguments):
        while not self.stop.is_set():
            said = self.ducc.run(*arguments, self.backend.argument, env=self.environment())
            self.read[arguments] = self.read.get(arguments, 0) + 1
            # 1: something that is published right now is not whole yet
            if said.status not in (0, 1) or "Sanitizer" in said.stderr:
                self.broken.append(said)

    def test_publishing_while_others_look_at_everything(self):
        self.publish_large()
        for number in range(COMMITS):
            self.server.push_image("t/small", str(number), [layer(f"small{number}")])
        threads = [threading.Thread(target=self.read_for_ever, args=arguments) for arguments in READERS]
        for thread in threads:
            thread.start()
        self.addCleanup(lambda: [self.stop.set(), *(thread.join() for thread in threads)])
        self.backend.clear_log()
        for number in range(COMMITS):
            started = time.monotonic()
            said = self.ducc.run("convert", "--repo", self.backend.argument, f"http://{self.name('t/small')}:{number}",
                                 env=self.environment())
            self.assertEqual(0, said.status, said.stderr)
            self.assertLess(time.monotonic() - started, 30, "readers held a commit up")
        self.stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual([], self.broken)
        self.assertEqual(set(READERS), set(self.read), "each of them was at work")
        calls = self.backend.log("ingest")
        self.assertEqual([0] * COMMITS, [call["status"] for call in calls], "none failed, none was tried again")
        self.backend.assert_sound(self)

    def test_an_ingest_that_hangs_is_said_once(self):
        self.server.push_image("t/small", "1", [layer("small")])
        process = self.ducc.start("convert", "--repo", self.backend.argument, f"http://{self.name('t/small')}:1",
                                  env=dict(self.backend.environment(fail="ingest-hang"), DUCC_STALL_SECONDS="1"),
                                  stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end_all, process)
        for line in process.stderr:
            if "has taken nothing" in line:
                break
        self.assertIn(f"{self.backend.name}: cvmfs_server ingest has taken nothing for 1 seconds", line)
        self.assertIn("mountinfo", line)
        more = []
        reader = threading.Thread(target=lambda: more.extend(process.stderr))
        reader.start()
        time.sleep(3)
        self.end_all(process)
        reader.join()
        process.stderr.close()
        self.assertNotIn("has taken nothing", "".join(more))

    def end_all(self, process):
        """ducc, and the ingest in a process group of its own."""
        journals = glob.glob(os.path.join(self.ducc.state_dir, "*", "commit"))
        for journal in journals:
            with open(journal, encoding="ascii") as source, contextlib.suppress(ProcessLookupError):
                os.killpg(int(source.read().split()[0]), signal.SIGKILL)
        process.kill()
        process.wait()


if __name__ == "__main__":
    unittest.main()
