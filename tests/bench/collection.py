#!/usr/bin/env python3
"""What taking away costs in a repository of 10, 1,000 and 5,000 images.

    DUCC_BINARY=… tests/bench/collection.py [--cvmfs] [NUMBER...]

The images are made by a generator: four small layers each, of which the lowest is one of ten, in the layout of docs/layout.md with
Podman's store. The repository is a directory; with --cvmfs one of the installed CernVM-FS, made with -z, removed afterwards.

Printed are: looking (`gc --dry-run`: the mark, and what is unreached), removing one name, sweeping that one image, sweeping
a tenth of all; with time, revisions, the longest turn (others wait for as long) and peak memory.
"""

import argparse
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../integration"))

from harness import Ducc                            # noqa: E402

LEVELS, BASES, DAY = 4, 10, 86400
TYPE = "application/vnd.oci.image."


def digest(*words):
    return hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()


def text(value):
    return json.dumps(value, separators=(",", ":")).encode()


def write(path, content=b""):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(content)


class Layer:
    def __init__(self, *words):
        self.blob, self.diff, self.words = digest("blob", *words), digest("diff", *words), words

    def place(self):
        return f".layers/{self.blob[:2]}/{self.blob}"


class Generator:
    """Writes images into a directory; Podman's lists at the end."""

    def __init__(self, top):
        self.top, self.images, self.layers = top, [], {}

    def path(self, *parts):
        return os.path.join(self.top, *parts)

    def layer(self, layer):
        write(self.path(layer.place(), "layerfs/.cvmfscatalog"))
        write(self.path(layer.place(), "layerfs/data/file"), text(layer.words) * 20)
        write(self.path(layer.place(), ".metadata/layers.json"), text([{
            "id": layer.diff, "created": "2024-01-01T00:00:00Z", "compressed-diff-digest": f"sha256:{layer.blob}",
            "compressed-size": 1000, "diff-digest": f"sha256:{layer.diff}", "diff-size": 4096}]))
        write(self.path(layer.place(), ".metadata/origin.json"), text({"origin": []}))

    def podman_layer(self, layer, chain, parent):
        folder = f"podmanStore/overlay/{chain}"
        link = base64.b32encode(bytes.fromhex(chain)).decode()[:26]
        for name in ("merged", "work"):
            os.makedirs(self.path(folder, name))
        write(self.path(folder, "link"), link.encode())
        os.symlink(f"../../../{layer.place()}/layerfs", self.path(folder, "diff"))
        os.makedirs(self.path("podmanStore/overlay/l"), exist_ok=True)
        os.symlink(f"../../../{layer.place()}/layerfs", self.path("podmanStore/overlay/l", link))
        record = {"id": chain, "created": "2024-01-01T00:00:00Z", "compressed-diff-digest": f"sha256:{layer.blob}",
                  "compressed-size": 1000, "diff-digest": f"sha256:{layer.diff}", "diff-size": 4096, "compression": 2,
                  "uidset": [0], "gidset": [0]}
        return {**record, "parent": parent} if parent else record

    def tree(self, kind, name, number):
        folder = self.path(kind, name[:2], name)
        write(os.path.join(folder, ".cvmfscatalog"))
        write(os.path.join(folder, "data/file"), text(number) * 20)

    def image(self, number):
        name = f"registry.example.org/group/project-{number % 500}:{number}"
        layers = [Layer("base", number % BASES), *(Layer(number, level) for level in range(1, LEVELS))]
        config = text({"os": "linux", "architecture": "amd64", "config": {"Labels": {"n": number}},
                       "rootfs": {"type": "layers", "diff_ids": [f"sha256:{one.diff}" for one in layers]}})
        image = hashlib.sha256(config).hexdigest()
        manifest = text({"schemaVersion": 2, "mediaType": TYPE + "manifest.v1+json",
                         "config": {"mediaType": TYPE + "config.v1+json", "digest": f"sha256:{image}", "size": len(config)},
                         "layers": [{"mediaType": TYPE + "layer.v1.tar+gzip", "digest": f"sha256:{one.blob}", "size": 1000}
                                    for one in layers]})
        chain = None
        for layer in layers:
            parent, chain = chain, digest(f"sha256:{chain}", f"sha256:{layer.diff}") if chain else layer.diff
            if chain not in self.layers:
                self.layer(layer)
                self.layers[chain] = self.podman_layer(layer, chain, parent)
        self.tree(".chains", chain, number)
        self.tree(".flat", image, number)
        write(self.path(".metadata", name, "manifest.json"), manifest)
        write(self.path(".metadata", name, "config.json"), config)
        os.makedirs(self.path(os.path.dirname(name)), exist_ok=True)
        os.symlink(f"../../.flat/{image[:2]}/{image}", self.path(name))
        write(self.path("podmanStore/overlay-images", image, "manifest"), manifest)
        self.images.append({"id": image, "digest": "sha256:" + hashlib.sha256(manifest).hexdigest(), "names": [name],
                            "layer": chain, "metadata": "{}", "big-data-names": ["manifest"],
                            "big-data-sizes": {"manifest": len(manifest)}, "created": "2024-01-01T00:00:00Z"})
        return name

    def finish(self):
        for kind, records in (("images", self.images), ("layers", list(self.layers.values()))):
            write(self.path(f"podmanStore/overlay-{kind}/{kind}.json"), text(records))
            write(self.path(f"podmanStore/overlay-{kind}/{kind}.lock"))
        for kind in (".layers", ".chains", ".flat"):        # as the program does
            for folder in (kind, *(f"{kind}/{one}" for one in os.listdir(self.path(kind)))):
                write(self.path(folder, ".cvmfscatalog"))
        for folder in ("podmanStore", "podmanStore/overlay", ".metadata"):
            write(self.path(folder, ".cvmfscatalog"))


def generate(top, count):
    generator = Generator(top)
    names = [generator.image(number) for number in range(count)]
    generator.finish()
    return names


class Repository:
    """A directory."""

    def __init__(self, top, count):
        self.argument = os.path.join(top, "repository")
        self.names = generate(self.argument, count)

    def close(self):
        pass


class CvmfsRepository(Repository):
    def __init__(self, top, count):
        super().__init__(top, count)
        folder, self.argument = self.argument, f"collection{os.getpid()}.example.org"
        subprocess.run(["cvmfs_server", "mkfs", "-z", "-o", "root", self.argument], check=True, stdout=subprocess.DEVNULL)
        tar = subprocess.Popen(["tar", "-C", folder, "-cf", "-", *sorted(os.listdir(folder))], stdout=subprocess.PIPE)
        subprocess.run(["cvmfs_server", "ingest", "-k", "-b", "/", "-t", "-", self.argument], stdin=tar.stdout, check=True,
                       stdout=subprocess.DEVNULL, cwd="/")
        tar.wait()
        shutil.rmtree(folder)

    def close(self):
        subprocess.run(["cvmfs_server", "rmfs", "-f", self.argument], check=True, stdout=subprocess.DEVNULL)


class Measurement:
    def __init__(self, ducc, repository):
        self.ducc, self.repository = ducc, repository

    def run(self, command, *arguments, days=0):
        """(seconds, of a processor, peak MB, the last JSON line)."""
        begin = time.monotonic()
        process = self.ducc.start(command, "--json", *arguments, env={"DUCC_CLOCK_OFFSET": str(days * DAY)}, cwd="/",
                                  stdout=subprocess.PIPE)
        lines = process.stdout.read().decode().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, lines[-5:]
        processor = usage.ru_utime + usage.ru_stime
        return time.monotonic() - begin, processor, usage.ru_maxrss / 1024, json.loads(lines[-1])

    def row(self, what, done):
        seconds, processor, memory, end = done
        trees = sum(end[key] for key in ("flat", "chains", "layers", "podman_images", "podman_layers"))
        cells = [f"{len(self.repository.names):,}", what, f"{seconds:.2f} s", f"{processor:.2f} s", f"{end['longest_seconds']:.2f} s",
                 f"{trees:,}", str(end["revisions"]), f"{memory:.0f} MB"]
        print("| " + " | ".join(cells) + " |", flush=True)

    def all(self):
        where, names = self.repository.argument, self.repository.names
        self.run("gc", where)       # the state is there, and the caches are warm
        self.row("looking at everything", self.run("gc", "--dry-run", where))
        self.row("removing one name", self.run("remove", "--repo", where, names[-1]))
        self.row("sweeping one image", self.run("gc", where, days=8))
        tenth = names[:max(1, len(names) // 10)]
        self.row("removing a tenth", self.run("remove", "--repo", where, *tenth))
        self.row("sweeping a tenth", self.run("gc", where, days=8))


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    options.add_argument("--cvmfs", action="store_true")
    options.add_argument("number", type=int, nargs="*", default=[10, 1000, 5000])
    options = options.parse_args()
    print("| images | work | time | CPU | longest turn | trees | revisions | memory |\n|---|---|---|---|---|---|---|---|")
    for count in options.number:
        with tempfile.TemporaryDirectory(prefix="collection-") as top, Ducc() as ducc:
            repository = (CvmfsRepository if options.cvmfs else Repository)(top, count)
            try:
                Measurement(ducc, repository).all()
            finally:
                repository.close()


if __name__ == "__main__":
    main()
