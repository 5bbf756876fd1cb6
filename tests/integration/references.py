"""What other programs make of an image: the references that published trees are compared with.

umoci unpacks all layers into one directory. Podman (native overlay driver) unpacks each layer alone and lets the
kernel stack them. Where images are odd, the two contradict one another; see docs of the experiments in the project.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile

from registry import need


def run(*command, **how):
    """Output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, check=False, **how)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}\nended with {done.returncode}: {os.fsdecode(done.stderr)}")
    return os.fsdecode(done.stdout)


def umoci_unpack(layout, tag, target):
    """Unpack an image of an OCI layout below `target`, a directory that must not exist; returns the root tree."""
    run(need("umoci"), "unpack", "--image", f"{layout}:{tag}", target)
    return os.path.join(target, "rootfs")


def mounts_below(directory):
    """Mount points below a directory, innermost first."""
    prefix = os.path.realpath(directory) + "/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as source:
        points = [line.split()[4].encode("latin-1", "surrogateescape").decode("unicode_escape") for line in source]
    return [point for point in reversed(points) if point.startswith(prefix)]


def unmount_below(directory):
    for point in mounts_below(directory):
        subprocess.run(["umount", "-l", point], capture_output=True, check=False)


class Podman:
    """A Podman with a storage of its own. Use as a context manager: it unmounts and removes everything."""

    def __init__(self, driver="overlay", fuse=False):
        """driver: 'overlay' or 'vfs'; fuse=True mounts with fuse-overlayfs instead of the kernel's overlayfs."""
        self.driver, self._fuse = driver, fuse
        self.directory = tempfile.mkdtemp(prefix="podman-")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        unmount_below(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def root(self):
        return os.path.join(self.directory, "root")

    def command(self, *arguments):
        options = ["--storage-opt", f"overlay.mount_program={need('fuse-overlayfs')}"] if self._fuse else []
        return [need("podman"), "--root", self.root, "--runroot", os.path.join(self.directory, "run"), "--storage-driver",
                self.driver, *options, *arguments]

    def run(self, *arguments):
        return run(*self.command(*arguments))

    def pull(self, source):
        """Pull 'docker://HOST/REPOSITORY:TAG' or 'oci:DIRECTORY:TAG'; returns the image's id."""
        options = ["--tls-verify=false"] if source.startswith("docker://") else []
        return self.run("pull", "-q", *options, source).split()[-1]

    @contextlib.contextmanager
    def mounted(self, source):
        """The merged root file system of an image, while the with block runs."""
        image = self.pull(source)
        try:
            yield self.run("image", "mount", image).strip()
        finally:
            subprocess.run(self.command("image", "umount", image), capture_output=True, check=False)

    def layers(self, image):
        """Directories of an image's single layers as Podman unpacked them, lowest first (overlay driver only).

        On the kernel's overlayfs a deletion is a character device 0:0, and an opaque directory has the extended
        attribute trusted.overlay.opaque.
        """
        if self.driver != "overlay":
            raise ValueError("only the overlay driver keeps layers apart")
        with open(os.path.join(self.root, "overlay-images", "images.json"), encoding="utf-8") as source:
            record = next(one for one in json.load(source) if one["id"].startswith(image))
        with open(os.path.join(self.root, "overlay-layers", "layers.json"), encoding="utf-8") as source:
            parents = {one["id"]: one.get("parent") for one in json.load(source)}
        found, layer = [], record["layer"]
        while layer:
            found.append(os.path.join(self.root, "overlay", layer, "diff"))
            layer = parents[layer]
        return found[::-1]


@contextlib.contextmanager
def overlay(layers, fuse=False):
    """Stack directories (lowest first) read-only, by the kernel's overlayfs or fuse-overlayfs, and give the merged
    tree: what containerd and Podman show of published layers."""
    directory = tempfile.mkdtemp(prefix="overlay-")
    merged = os.path.join(directory, "merged")
    os.makedirs(merged)
    try:
        links = []
        for number, layer in enumerate(layers):     # short relative names: mount options have a length limit
            os.symlink(os.path.realpath(layer), os.path.join(directory, str(number)))
            links.append(str(number))
        # overlayfs wants two without an upper directory; and over layers that all lie on a CernVM-FS client it takes
        # every name for too long, since that says that names have 0 bytes at most. Podman has an upper directory.
        os.mkdir(os.path.join(directory, "empty"))
        links.insert(0, "empty")
        options = "lowerdir=" + ":".join(reversed(links))
        if fuse:
            run(need("fuse-overlayfs"), "-o", options, merged, cwd=directory)
        else:
            run("mount", "-t", "overlay", "overlay", "-o", options, merged, cwd=directory)
        yield merged
    finally:
        unmount_below(directory)
        shutil.rmtree(directory, ignore_errors=True)
