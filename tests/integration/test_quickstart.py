"""deploy/quickstart, as a new user runs it."""

import glob
import os
import subprocess
import tempfile
import unittest

from harness import Image, IntegrationTest, TarBuilder

QUICKSTART = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../deploy/quickstart")


class Quickstart(IntegrationTest):
    def run_it(self, *arguments):
        leftovers = os.path.join(tempfile.gettempdir(), "ducc-quickstart.*")
        before = set(glob.glob(leftovers))
        done = subprocess.run([QUICKSTART, *arguments], capture_output=True, text=True, timeout=600, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(set(glob.glob(leftovers)) - before, set())
        return done.stdout

    def test_without_arguments(self):
        kept = self.path("kept")
        output = self.run_it("--keep", kept)
        for text in ("1 published in 1 revision", "nothing to publish: 0 published in 0 revisions, 1 up to date",
                     "Hello from perl", "argument: <two words>", "argument: <a 'quote'>", "argument: <$HOME>"):
            self.assertIn(text, output)
        self.assertTrue(glob.glob(os.path.join(kept, "127.0.0.1:*", "demo", "hello:1.0", "bin", "busybox")))
        registries = subprocess.run(["pgrep", "-af", "docker-registry serve .*ducc-quickstart"], capture_output=True,
                                    text=True, check=False)
        self.assertEqual(registries.stdout, "")

    def test_with_an_image(self):
        registry = self.registry()
        with open("/bin/busybox", "rb") as program:
            layer = TarBuilder().dir("bin").file("bin/sh", program.read(), mode=0o755).hardlink("bin/head", "bin/sh")
        registry.push("mine/tool", "7", Image([layer.bytes()]))
        output = self.run_it(f"http://{registry.host}/mine/tool:7")
        self.assertIn(f"published  {registry.host}/mine/tool:7", output)
        self.assertIn("it runs", output)

    def test_unknown_option(self):
        done = subprocess.run([QUICKSTART, "--nonsense"], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (2, "quickstart: unknown option --nonsense\n"))


if __name__ == "__main__":
    unittest.main()
