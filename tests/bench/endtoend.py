"""Whole runs of `ducc convert` from a registry on loopback, beside bare CernVM-FS and beside other programs that do
parts of the work. In each round everything runs once, so that ratios are those of one round."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

from figures import Samples, table
from make_image import TAG

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "integration"))
from harness import Podman, Registry, StandInRepository     # noqa: E402

BARE = "bare cvmfs_server ingest of the ready stream"
PIPED = "the same through a pipe"


class CvmfsRepository:
    """A repository of a real CernVM-FS, made for one run and removed after it."""

    def __init__(self, what="bench"):
        self.name = f"ducc-{what}-{os.getpid()}.example.org"

    def __enter__(self):
        made = subprocess.run(["cvmfs_server", "mkfs", "-o", "root", self.name], capture_output=True, check=False)
        if made.returncode:
            raise OSError(f"cvmfs_server mkfs: {(made.stderr or made.stdout).decode(errors='replace')[-300:]}")
        return self

    def __exit__(self, *_):
        subprocess.run(["cvmfs_server", "rmfs", "-f", self.name], capture_output=True, check=False)


def why_no_cvmfs():
    """None if a CernVM-FS repository can be made and removed here."""
    if not shutil.which("cvmfs_server"):
        return "cvmfs_server is not installed"
    try:
        with CvmfsRepository():
            return None
    except OSError as why:
        return str(why)


class Rounds:
    """Runs of everything, and their measurements by name."""

    def __init__(self, bench, ducc, layouts, scratch, cvmfs):
        """layouts: {'image': directory, 'image-update': directory}; cvmfs: whether to use a real one."""
        self.bench, self.ducc, self.layouts, self.scratch, self.cvmfs = bench, ducc, layouts, scratch, cvmfs
        self.found = {}

    def _child(self, name, *command, **how):
        subprocess.run(["sync"], check=True)
        found, said = self.bench.child(*command, **how)
        print(f"    {name}: {found['wall']:.2f} s", file=sys.stderr, flush=True)
        for line in said.splitlines():
            if line.startswith('{"') and '"commit"' in line:
                found["commit"] = found.get("commit", 0) + json.loads(line)["seconds"]
        self.found.setdefault(name, []).append(found)

    def round(self, registry, ready):
        if self.cvmfs:
            with CvmfsRepository() as repository:
                self._child(BARE, "cvmfs_server", "ingest", "-k", "-b", "/", "-t", ready, repository.name)
            with CvmfsRepository() as repository:
                self._child(PIPED, "sh", "-c", f"cat {ready} | cvmfs_server ingest -k -b / -t - {repository.name}")
            with CvmfsRepository() as repository:
                self._convert("CernVM-FS", registry, repository.name, dict(os.environ))
        with self._directory() as top:
            self._convert("a directory", registry, os.path.join(top, "repository"), dict(os.environ))
        with self._directory() as top:
            repository = StandInRepository(top).create()
            self._convert("the stand-in", registry, repository.name, repository.environment(), more=False)
        self._peers(registry)

    @contextlib.contextmanager
    def _directory(self):
        with tempfile.TemporaryDirectory(dir=self.scratch) as top:
            yield top

    def _convert(self, where, registry, repository, environment, more=True):
        with self._directory() as state:
            if repository.startswith("/"):
                os.makedirs(repository)

            def convert(what, *tags):
                self._child(f"ducc convert into {where}: {what}", self.ducc, "convert", "--json", "--state-dir", state,
                            "--repo", repository, *(f"http://{registry.host}/bench/image:{tag}" for tag in tags),
                            env=environment, cwd="/")

            convert("new", TAG)
            if more:
                convert("nothing changed", TAG)
                convert("20 more tags", *(f"{TAG}-{n}" for n in range(20)))
                convert("new top layer", f"{TAG}-update")

    def _peers(self, registry):
        source = f"docker://{registry.host}/bench/image:{TAG}"
        with self._directory() as top:
            if shutil.which("umoci"):
                self._child("umoci unpack (local layout, one tree)", "umoci", "unpack", "--image",
                            f"{self.layouts['image']}:{TAG}", os.path.join(top, "bundle"))
            if shutil.which("skopeo"):
                self._child("skopeo copy (fetch only)", "skopeo", "copy", "--quiet", "--insecure-policy",
                            "--src-tls-verify=false", source, f"dir:{top}/copy")
        if shutil.which("podman"):
            with Podman() as podman:
                self._child("podman pull (fetch, unpack layers)",
                            *podman.command("pull", "-q", "--tls-verify=false", source))


def push(registry, layouts):
    """The image under its tag and 20 more, and its update."""
    registry.push_layout(layouts["image"], TAG, "bench/image", TAG)
    registry.push_layout(layouts["image-update"], TAG, "bench/image", f"{TAG}-update")
    manifest = registry.manifest("bench/image", TAG)
    media = json.loads(manifest)["mediaType"]
    for n in range(20):
        registry.push_manifest("bench/image", f"{TAG}-{n}", manifest, media)


def measure(bench, ducc, layouts, spool, scratch, rounds, cvmfs):
    """{name: [measurement, one a round]}. `spool` holds the prepared layers of the image."""
    runs = Rounds(bench, ducc, layouts, scratch, cvmfs)
    ready = os.path.join(scratch, "ready.tar")
    with Registry() as registry:
        push(registry, layouts)
        bench.run("stream", layouts["image"], spool, ready)
        for number in range(rounds):
            print(f"  round {number + 1} of {rounds}", file=sys.stderr)
            runs.round(registry, ready)
    os.unlink(ready)
    return runs.found


def report(found):
    bare = Samples(run["wall"] for run in found.get(BARE, []))
    rows = []
    for name, runs in found.items():
        walls = Samples(run["wall"] for run in runs)
        commit = Samples(run["commit"] for run in runs if "commit" in run)
        ratio = walls.over(bare).text() if bare else "-"
        own, others = (Samples(run[key] for run in runs) for key in ("cpu", "children_cpu"))
        rows.append([name, walls.text(), commit.text(), ratio, f"{own.median:.2f}", f"{others.median:.2f}",
                     f"{max(run['peak'] for run in runs) / 2**20:.0f}"])
    head = ["work", "wall s", "of that commit s", "wall / bare ingest", "own CPU s", "children's CPU s", "peak MiB"]
    return table(head, rows) + "\n"
