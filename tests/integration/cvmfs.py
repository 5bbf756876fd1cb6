"""A repository of the stand-in for cvmfs_server, as tests see it."""

import contextlib
import json
import os
import subprocess

from trees import tree

STANDIN = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "standin")


class StandInRepository:
    """One repository below `root`, the stand-in's directory of state, which several repositories may share."""

    def __init__(self, root, name="images.test.example"):
        self.root, self.name = os.path.realpath(root), name
        self.log_file = os.path.join(self.root, "calls.log")
        os.makedirs(self.root, exist_ok=True)

    def create(self, *options):
        """Make it; options are those of `cvmfs_server mkfs` (-z: garbage collection, -o OWNER)."""
        self.server("mkfs", *options, self.name)
        self.clear_log()
        return self

    def environment(self, fail=None, match=None, **more):
        """The variables for the program under test: this cvmfs_server first, and where the mounts are."""
        variables = dict(os.environ, CVMFS_STANDIN_ROOT=self.root, CVMFS_STANDIN_LOG=self.log_file,
                         DUCC_CVMFS_MOUNT=os.path.join(self.root, "cvmfs"),
                         DUCC_CVMFS_SPOOL=os.path.join(self.root, "spool"),
                         PATH=STANDIN + os.pathsep + os.environ.get("PATH", os.defpath))
        if fail:
            variables["CVMFS_STANDIN_FAIL"] = fail
        if match:
            variables["CVMFS_STANDIN_FAIL_MATCH"] = match
        return {**variables, **{key: str(value) for key, value in more.items()}}

    def call(self, *arguments, stdin=b"", fail=None, match=None, cwd=None):
        """Run one cvmfs_server command; the result has returncode, stdout and stderr as bytes."""
        return subprocess.run([os.path.join(STANDIN, "cvmfs_server"), *arguments], input=stdin, capture_output=True,
                              env=self.environment(fail, match), cwd=cwd, timeout=120, check=False)

    def server(self, *arguments, stdin=b""):
        """The same, where anything but success is an error of the test."""
        done = self.call(*arguments, stdin=stdin)
        if done.returncode:
            raise AssertionError(f"cvmfs_server {arguments} ended with {done.returncode}: {done.stderr.decode()}")
        return done.stdout.decode()

    def ingest(self, tar, *options, base="/", **how):
        """Ingest the bytes of a tar, keeping owners."""
        return self.call("ingest", "-k", *options, "-b", base, "-t", "-", self.name, stdin=tar, **how)

    # What is published ------------------------------------------------------------------------------------------

    @property
    def path(self):
        """The publisher's view, /cvmfs/R: 0:0 devices are hidden here."""
        return os.path.join(self.root, "cvmfs", self.name)

    @property
    def client(self):
        """What every client sees, 0:0 devices included (also S/rdonly on the publisher)."""
        return os.path.join(self.spool, "rdonly")

    @property
    def spool(self):
        return os.path.join(self.root, "spool", self.name)

    def tree(self, **options):
        return tree(self.client, **options)

    def _state(self):
        self.call("list")   # finishes what a killed command had decided
        with open(os.path.join(self.root, "state", self.name + ".json"), encoding="utf-8") as source:
            return json.load(source)

    def revision(self):
        return self._state()["revision"]

    def revisions(self):
        """One dict a revision after the first: revision, tag, time, by, and for ingests entries and bytes."""
        return self._state()["revisions"]

    def damage(self):
        """What `cvmfs_server check` would complain about."""
        return self._state()["damage"]

    # Transactions -----------------------------------------------------------------------------------------------

    def in_transaction(self):
        return os.path.exists(os.path.join(self.spool, "in_transaction.lock"))

    @contextlib.contextmanager
    def open_transaction_of_somebody(self):
        """Somebody else works on the repository meanwhile."""
        self.server("transaction", self.name)
        try:
            yield self
        finally:
            if self.in_transaction():
                self.server("abort", "-f", self.name)

    @contextlib.contextmanager
    def change(self):
        """An ordinary transaction: change files below `path`, then it is published."""
        with self.open_transaction_of_somebody():
            yield self.path
            self.server("publish", self.name)

    def chunk(self, path, count=3):
        """Mark a published file as one that an ordinary publish has split: links to it are damage."""
        self.server("standin-chunk", self.name, path, str(count))

    # The log of calls -------------------------------------------------------------------------------------------

    def log(self, command=None):
        """All calls (of one command) since the last clear_log(): argv, status, seconds, entries, bytes, revision."""
        with contextlib.suppress(FileNotFoundError), open(self.log_file, encoding="utf-8") as source:
            calls = [json.loads(line) for line in source]
            return [call for call in calls if command is None or call["argv"][:1] == [command]]
        return []

    def clear_log(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.log_file)
