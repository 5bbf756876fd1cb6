#!/usr/bin/env python3
"""Make the images that the benchmark publishes, as OCI layouts of one image each.

    make_image.py CACHE                   the real image: five layers of Debian packages, about 520 MB compressed
    make_image.py CACHE --update          the same image with another top layer (every file of it new)
    make_image.py CACHE --rebuild         the same image built again: every layer's digest new, one file in 20 changed
    make_image.py CACHE --synthetic N     one layer with N small files (the tar comes from `ducc_bench synthetic N`)

Prints the directory of the layout, and what is in it. An image that is there already is not made again. The same
packages give the same bytes: members come in the packages' own order, gzip writes no time, and nothing else is added.
The packages are those of Debian 12, from wherever apt is configured to get them.
"""

import argparse
import concurrent.futures
import glob
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "integration"))
from ocilayout import OCI_TYPES, digest_of    # noqa: E402

TAG = "bench"
LEVEL = 6       # of gzip: what docker build and buildah write
# Lowest first. The top one stands for what a nightly build changes: about 20,000 small files.
LAYERS = [
    ["gcc-12", "g++-12", "cpp-12", "libc6-dev", "libstdc++-12-dev", "binutils-x86-64-linux-gnu", "perl-modules-5.36",
     "libperl5.36"],
    ["libllvm14", "llvm-14-dev"],
    ["openjdk-17-jre-headless", "openjdk-17-jdk-headless", "fonts-noto-cjk", "fonts-noto-core"],
    ["python3.11", "libpython3.11-minimal", "libpython3.11-stdlib", "python3-numpy", "python3-scipy", "python3-pandas",
     "python3-pandas-lib", "python3-matplotlib", "python3-sympy", "python3-sklearn", "python3-sklearn-lib",
     "python3-statsmodels", "python3-astropy", "libboost1.74-dev"],
    ["LINUX-HEADERS", "python3-django", "libruby3.1", "python3-networkx"],
]
# Hidden by the top layer, so that the flat tree is not simply the sum.
WHITEOUTS = ["usr/share/doc/.wh.libboost1.74-dev", "usr/lib/jvm/java-17-openjdk-amd64/.wh.man"]
CONFIG = {"Cmd": ["/usr/bin/python3.11"], "Env": ["PATH=/usr/bin:/bin"], "Labels": {"org.example.use": "benchmark"}}


def linux_headers():
    """The kernel's headers have their version in the package's name: the newest that apt knows."""
    found = subprocess.run(["apt-cache", "--names-only", "search", r"^linux-headers-[0-9.]+-[0-9]+-common$"],
                           capture_output=True, check=True, text=True).stdout.split("\n")
    names = [line.split()[0] for line in found if line]
    return max(names, key=lambda name: [int(part) for part in re.findall(r"\d+", name)])


def download(names, directory):
    """Packages not there yet; returns their files in the order of the names."""
    os.makedirs(directory, exist_ok=True)
    files = {name: glob.glob(f"{directory}/{glob.escape(name)}_*.deb") for name in names}
    missing = [name for name in names if not files[name]]
    if missing:
        subprocess.run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *missing], cwd=directory,
                       stdout=subprocess.DEVNULL, check=True)
    return [sorted(glob.glob(f"{directory}/{glob.escape(name)}_*.deb"))[-1] for name in names]


class Layer:
    """A gzip-compressed tar under way: what is written is hashed on both sides of the compressor."""

    def __init__(self, path, level=LEVEL):
        self.path, self.size, self.entries, self._diff = path, 0, 0, hashlib.sha256()
        with open(path, "wb") as out:
            self._gzip = subprocess.Popen(["gzip", "-n", f"-{level}"], stdin=subprocess.PIPE, stdout=out)

    def write(self, data):
        self._diff.update(data)
        self.size += len(data)
        return self._gzip.stdin.write(data)

    def close(self):
        """Moves the blob to its name; returns its descriptor."""
        self._gzip.stdin.close()
        if self._gzip.wait():
            raise AssertionError("gzip failed")
        self.diff_id = "sha256:" + self._diff.hexdigest()
        with open(self.path, "rb") as blob:
            digest = hashlib.file_digest(blob, "sha256").hexdigest()
        descriptor = {"mediaType": OCI_TYPES["gzip"], "digest": "sha256:" + digest,
                      "size": os.path.getsize(self.path)}
        os.rename(self.path, os.path.join(os.path.dirname(self.path), digest))
        return descriptor


def add_package(tar, deb, seen, change, every=1):
    """Copy the members of one package; directories that an earlier package of the layer brought are left out. The bytes
    `change` are put behind the content of each file, or of one in `every`."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as source:
        with tarfile.open(fileobj=source.stdout, mode="r|") as members:
            for member in members:
                name = member.name.removeprefix("./")
                if name in seen or name == ".":
                    continue
                seen.add(name)
                member.name = name
                if member.islnk():
                    member.linkname = member.linkname.removeprefix("./")
                content = members.extractfile(member) if member.isreg() else None
                if content and change and len(seen) % every == 0:
                    data = content.read() + change
                    member.size, content = len(data), io.BytesIO(data)
                tar.addfile(member, content)
        source.stdout.read()
    if source.returncode:
        raise AssertionError(f"dpkg-deb: {deb}")


def packages_layer(path, debs, whiteouts=(), change=b"", every=1):
    layer = Layer(path)
    with tarfile.open(fileobj=layer, mode="w|", format=tarfile.GNU_FORMAT, bufsize=1 << 20) as tar:
        seen = set()
        for deb in debs:
            add_package(tar, deb, seen, change, every)
        for name in whiteouts:
            tar.addfile(tarfile.TarInfo(name))
        layer.entries = len(seen) + len(whiteouts)
    return layer, layer.close()


def synthetic_layer(path, program, count, size):
    layer = Layer(path, level=1)
    with subprocess.Popen([program, "synthetic", str(count), str(size)], stdout=subprocess.PIPE) as source:
        shutil.copyfileobj(source.stdout, layer, 1 << 20)
    if source.returncode:
        raise AssertionError(f"{program} synthetic ended with {source.returncode}")
    layer.entries = count
    return layer, layer.close()


def write_layout(directory, layers, facts):
    """The documents around the layers' blobs, which lie in blobs/sha256 already."""
    blobs = os.path.join(directory, "blobs", "sha256")

    def add(value, media):
        data = json.dumps(value, sort_keys=True).encode()
        digest = digest_of(data)
        with open(os.path.join(blobs, digest.removeprefix("sha256:")), "wb") as out:
            out.write(data)
        return {"mediaType": media, "digest": digest, "size": len(data)}

    config = add({"architecture": "amd64", "os": "linux", "config": CONFIG,
                  "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer, _ in layers]},
                  "history": [{"created_by": f"layer {n}"} for n in range(len(layers))]}, OCI_TYPES["config"])
    manifest = add({"schemaVersion": 2, "mediaType": OCI_TYPES["manifest"], "config": config,
                    "layers": [descriptor for _, descriptor in layers]}, OCI_TYPES["manifest"])
    manifest["annotations"] = {"org.opencontainers.image.ref.name": TAG}
    for name, value in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("facts.json", facts),
                        ("index.json", {"schemaVersion": 2, "manifests": [manifest]})):
        with open(os.path.join(directory, name), "w", encoding="utf-8") as out:
            json.dump(value, out)


def make(directory, builders):
    """builders: functions of a path, each of which returns (Layer, descriptor). Run two at a time."""
    partial = directory + ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    blobs = os.path.join(partial, "blobs", "sha256")
    os.makedirs(blobs)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(build, os.path.join(blobs, f"{n}.partial")) for n, build in enumerate(builders)]
        layers = [job.result() for job in jobs]
    facts = {"compressed": sum(d["size"] for _, d in layers), "tar_bytes": sum(one.size for one, _ in layers),
             "entries": sum(one.entries for one, _ in layers),
             "layers": [{"compressed": d["size"], "tar_bytes": one.size, "entries": one.entries, "digest": d["digest"]}
                        for one, d in layers]}
    write_layout(partial, layers, facts)
    os.rename(partial, directory)


def real_image(cache, variant=None):
    """The directory of the layout; made if it is not there. `variant`: None, "update", "rebuild"."""
    directory = os.path.join(cache, f"image-{variant}" if variant else "image")
    if not os.path.exists(directory):
        builders = []
        for n, names in enumerate(LAYERS):
            top = n == len(LAYERS) - 1
            debs = download([linux_headers() if name == "LINUX-HEADERS" else name for name in names],
                            os.path.join(cache, "packages"))
            change = b"\n" if variant == "rebuild" or (top and variant == "update") else b""
            builders.append(lambda path, debs=debs, top=top, change=change: packages_layer(
                path, debs, WHITEOUTS if top else (), change, 20 if variant == "rebuild" else 1))
        make(directory, builders)
    return directory


def synthetic_image(cache, program, count, size=0):
    """One layer of so many entries, its files of at least so many bytes."""
    directory = os.path.join(cache, f"synthetic-{count}-{size}" if size else f"synthetic-{count}")
    if not os.path.exists(directory):
        make(directory, [lambda path: synthetic_layer(path, program, count, size)])
    return directory


def read_facts(directory):
    with open(os.path.join(directory, "facts.json"), encoding="utf-8") as source:
        return json.load(source)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cache")
    parser.add_argument("--update", dest="variant", action="store_const", const="update")
    parser.add_argument("--rebuild", dest="variant", action="store_const", const="rebuild")
    parser.add_argument("--synthetic", type=int, metavar="N")
    parser.add_argument("--program", default="ducc_bench", help="for --synthetic")
    options = parser.parse_args()
    os.makedirs(options.cache, exist_ok=True)
    if options.synthetic:
        directory = synthetic_image(options.cache, options.program, options.synthetic)
    else:
        directory = real_image(options.cache, options.variant)
    facts = read_facts(directory)
    print(directory)
    for n, one in enumerate(facts["layers"] + [facts], 1):
        name = f"layer {n}" if one is not facts else "in sum"
        print(f"  {name}: {one['compressed'] / 1e6:7.1f} MB compressed, {one['tar_bytes'] / 1e6:7.1f} MB of tar, "
              f"{one['entries']:6} entries")


if __name__ == "__main__":
    main()
