"""The places that images are published to, alike for a test: a directory, the stand-in's repository, a real one.

DUCC_REAL_CVMFS=1 in the environment adds the third: a repository that is made with the installed cvmfs_server for the
one test and removed after it. That takes root and seconds each, and nothing of it is needed in CI.
"""

import contextlib
import functools
import os
import subprocess
import tempfile

from cvmfs import StandInRepository
from references import run


class Directory:
    """A plain folder. Like the others: `argument` is for the command line, `view` where the published tree is read."""

    kind = "directory"

    def __init__(self, top):
        self.argument = os.path.join(top, "repository")
        self.view = self.argument

    @contextlib.contextmanager
    def change(self):
        """Somebody else changes what is published, below the path that this gives."""
        yield self.argument

    def environment(self):
        return dict(os.environ)

    def assert_sound(self, test):
        test.assertEqual([name for name in os.listdir(self.view) if name.startswith(".ducc")], [])

    def revisions(self):
        return None

    def collect(self):
        """CernVM-FS's own garbage collection, of all that the last revision does not hold."""

    def close(self):
        pass


class StandIn(StandInRepository):
    kind = "stand-in"

    def __init__(self, top, name="images.test.example"):
        super().__init__(os.path.join(top, "cvmfs-standin"), name)
        self.create("-z")
        self.argument = name
        self.view = self.client

    def assert_sound(self, test):
        test.assertEqual(self.damage(), [])
        test.assertFalse(self.in_transaction(), "the transaction is open")

    def revisions(self):
        return self.revision()

    def collect(self):
        self.server("gc", "-r", "0", "-f", self.name)

    def close(self):
        pass


class Real:
    """A repository of the CernVM-FS that is installed here."""

    kind = "real CernVM-FS"

    def __init__(self, _top):
        self.argument = next(tempfile._get_candidate_names()).strip("_").replace("_", "-") + ".test.example.org"
        run("cvmfs_server", "mkfs", "-z", "-g", "-o", "root", self.argument)
        self.view = f"/var/spool/cvmfs/{self.argument}/rdonly"

    @contextlib.contextmanager
    def change(self):
        run("cvmfs_server", "transaction", self.argument)
        yield f"/cvmfs/{self.argument}"
        run("cvmfs_server", "publish", self.argument)

    def environment(self):
        return dict(os.environ)

    def assert_sound(self, test):
        test.assertFalse(os.path.exists(f"/var/spool/cvmfs/{self.argument}/in_transaction.lock"))
        done = subprocess.run(["cvmfs_server", "check", "-i", self.argument], capture_output=True, check=False)
        test.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def revisions(self):
        return int(os.getxattr(self.view, "user.revision"))

    def collect(self):
        run("cvmfs_server", "gc", "-r", "0", "-f", self.argument)

    def close(self):
        run("cvmfs_server", "rmfs", "-f", self.argument)


def backends():
    return [Directory, StandIn] + ([Real] if os.environ.get("DUCC_REAL_CVMFS") == "1" else [])


def on_every_backend(test):
    """Runs a test method once for each back end, which it gets as its argument."""
    @functools.wraps(test)
    def run_all(self):
        for make in backends():
            with self.subTest(make.kind), tempfile.TemporaryDirectory(prefix="backend-", dir=self.scratch) as top:
                backend = make(top)
                try:
                    test(self, backend)
                finally:
                    backend.close()
    return run_all
