"""A containerd of one's own, which starts containers of an image as it unpacked it itself, and of the published layers.

The CernVM-FS snapshotter is no Debian package. What it does is little: for each layer that is published it commits a
snapshot, named by the chain id as containerd expects it, without fetching anything, and mounts
.layers/xx/DIGEST/layerfs as the lower directory of that snapshot. The same is done here with containerd's own
overlayfs snapshotter: a snapshot's directory is the published one, by a bind mount. Everything from there on
(which directories are stacked in which order, mount options, the container) is containerd's.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid

from references import run, unmount_below
from registry import need, stop_process
from runtimes import COVERED, PLACE, image_only, parse_listing, probe, remove_groups

CONFIG = """
version = 2
root = "{top}/root"
state = "{top}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{top}/socket"
[plugins."io.containerd.internal.v1.opt"]
  path = "{top}/opt"
"""


def image_files(entries):
    """A tree without what containerd mounts over each container's root."""
    return {path: node for path, node in image_only(entries).items() if path.split(b"/")[0] != b"run"}


class Containerd:
    """Use as a context manager: containers, mounts and the daemon are gone behind it."""

    def __init__(self):
        self.top = tempfile.mkdtemp(prefix="containerd-")
        self._count, self._spaces = 0, f"ducc-test-{uuid.uuid4().hex}"
        self.original = self._spaces + "-0"     # the namespace of what it pulled; images of one are not seen in another
        config = os.path.join(self.top, "config.toml")
        with open(config, "w", encoding="utf-8") as out:
            out.write(CONFIG.format(top=self.top))
        need("runc"), need("containerd-shim-runc-v2")
        self._log = open(os.path.join(self.top, "log"), "wb")
        self._daemon = subprocess.Popen([need("containerd"), "-c", config], stdout=self._log, stderr=self._log)
        self._wait()

    def _wait(self):
        end = time.monotonic() + 30
        while self._try("default", "version").returncode:
            if time.monotonic() > end or self._daemon.poll() is not None:
                with open(self._log.name, encoding="utf-8") as log:
                    raise AssertionError("containerd does not answer:\n" + log.read()[-3000:])
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        stop_process(self._daemon)
        self._log.close()
        remove_groups(self._spaces + "*")
        unmount_below(self.top)
        shutil.rmtree(self.top, ignore_errors=True)

    def _try(self, namespace, *arguments):
        return subprocess.run([need("ctr"), "-a", os.path.join(self.top, "socket"), "-n", namespace, *arguments],
                              capture_output=True, check=False)

    def ctr(self, namespace, *arguments):
        """The output of a ctr command that must succeed."""
        done = self._try(namespace, *arguments)
        if done.returncode:
            raise AssertionError(f"ctr {' '.join(map(os.fsdecode, arguments))}\n{os.fsdecode(done.stderr)}")
        return done.stdout

    def pull(self, name):
        """Fetched and unpacked by containerd. False: it refuses the image."""
        return self._try(self.original, "images", "pull", "--plain-http", "--snapshotter", "overlayfs", name).returncode == 0

    def publish(self, name, layers):
        """The image's documents (no layers), and published directories in the place of its layers: (chain id,
        directory), lowest first. Of a directory that occurs twice the topmost decides, and the kernel takes it once
        only. Returns the namespace that knows the image so."""
        self._count += 1
        namespace, parent = f"{self._spaces}-{self._count}", ()
        self.ctr(namespace, "content", "fetch", "--plain-http", "--metadata-only", name)
        for number, (chain, directory) in enumerate(layers):
            self.ctr(namespace, "snapshots", "prepare", "new", *parent)
            mount = os.fsdecode(self.ctr(namespace, "snapshots", "mounts", "/x", "new"))
            if directory not in (above for _, above in layers[number + 1:]):
                run("mount", "--bind", directory, re.search(r"upperdir=([^, ]+)|-t bind (\S+)", mount).expand(r"\1\2"))
            self.ctr(namespace, "snapshots", "commit", chain, "new")
            parent = (chain,)
        return namespace

    @contextlib.contextmanager
    def mounted(self, name):
        """The root file system of an image that was pulled, while the with block runs."""
        target = os.path.join(self.top, "mounted")
        os.makedirs(target, exist_ok=True)
        self.ctr(self.original, "images", "mount", "--snapshotter", "overlayfs", name, target)
        try:
            yield target
        finally:
            self.ctr(self.original, "images", "unmount", "--rm", "--snapshotter", "overlayfs", target)

    def run(self, namespace, name, *command, options=()):
        """What a command prints in a new container."""
        self._count += 1
        return self.ctr(namespace, "run", "--rm", "--snapshotter", "overlayfs", *options, name, f"c{self._count}", *command)

    def listing(self, namespace, name):
        """The root file system that is seen inside a container: see image_files()."""
        output = self.run(namespace, name, PLACE, "--list", *COVERED, "run",
                          options=["--mount", f"type=bind,src={probe()},dst={PLACE},options=rbind:ro"])
        return image_files(parse_listing(output))
