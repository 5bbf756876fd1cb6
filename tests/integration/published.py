"""What a published repository must look like (the contract of the layout), and trees to hold it against."""

import gzip
import hashlib
import json
import os

from references import Podman, umoci_unpack
from ocilayout import Image
from trees import Node, tree

CATALOG = ".cvmfscatalog"
LARGEST_CATALOG, SMALLEST_CATALOG = 100_000, 1_000      # entries; layout.md
WHITEOUT = Node("char", None, None, None, None, None, None, None, (0, 0))
# What Apptainer needs and a flat image has more than the image itself, files and directories.
APPTAINER = {os.fsencode(path) for path in (
    ".singularity.d .singularity.d/actions .singularity.d/env .singularity.d/libs "
    ".singularity.d/actions/exec .singularity.d/actions/run .singularity.d/actions/shell "
    ".singularity.d/actions/start .singularity.d/actions/test .singularity.d/env/01-base.sh "
    ".singularity.d/env/10-docker2singularity.sh .singularity.d/env/90-environment.sh .singularity.d/env/95-apps.sh "
    ".singularity.d/env/99-base.sh .singularity.d/env/99-runtimevars.sh .singularity.d/runscript "
    ".singularity.d/startscript .singularity.d/labels.json singularity .run .exec .test .shell environment").split()}
APPTAINER_IF_MISSING = {os.fsencode(path) for path in
                        "dev proc root sys tmp var var/tmp etc home etc/hosts etc/resolv.conf".split()}


def hexadecimal(digest):
    return digest.removeprefix("sha256:")


def place(kind, digest):
    """Where a layer, chain or flat image lies: .layers/xx/DIGEST and so on."""
    digest = hexadecimal(digest)
    return f".{kind}/{digest[:2]}/{digest}"


def layer_place(digest):
    return place("layers", digest) + "/layerfs"


class LayoutImage:
    """An image that lies in an OCI layout, with its raw layers; the same attributes as ocilayout.Image."""

    def __init__(self, layout, tag):
        self._layout = layout
        with open(os.path.join(layout, "index.json"), encoding="utf-8") as source:
            names = {one["annotations"]["org.opencontainers.image.ref.name"]: one["digest"]
                     for one in json.load(source)["manifests"]}
        self.manifest = self._blob(names[tag])
        manifest = json.loads(self.manifest)
        self.config_digest = manifest["config"]["digest"]
        self.layer_digests = [one["digest"] for one in manifest["layers"]]
        self.config = json.loads(self._blob(self.config_digest))
        self.diff_ids = self.config["rootfs"]["diff_ids"]
        self.raw_layers = [gzip.decompress(self._blob(digest)) for digest in self.layer_digests]

    def _blob(self, digest):
        with open(os.path.join(self._layout, "blobs/sha256", hexadecimal(digest)), "rb") as source:
            data = source.read()
        assert hashlib.sha256(data).hexdigest() == hexadecimal(digest)
        return data

    chain_ids = Image.chain_ids


def chain_trees(raw_layers, work):
    """What umoci makes of an image cut to its first 1, 2, … layers: a list of trees."""
    found = []
    for count in range(1, len(raw_layers) + 1):
        top = os.path.join(work, f"cut{count}")
        Image(raw_layers[:count]).write_layout(os.path.join(top, "layout"), "t")
        found.append(tree(umoci_unpack(os.path.join(top, "layout"), "t", os.path.join(top, "bundle"))))
    return found


def layer_trees(source, lower):
    """What Podman's overlay driver unpacks for each layer, with explicit whiteouts for opaque directories.

    `lower` are the chains' trees: what lies below layer k is lower[k - 1].
    """
    with Podman() as podman:
        found = []
        for number, directory in enumerate(podman.layers(podman.pull(source))):
            entries = tree(directory)
            below = lower[number - 1] if number else {}
            for path, node in list(entries.items()):
                if node.type == "dir" and is_opaque(os.path.join(os.fsencode(directory), path)):
                    expand_opaque(entries, below, path)
            found.append(plain_whiteouts(entries))
        return found


def is_opaque(directory):
    try:
        return os.getxattr(directory, "trusted.overlay.opaque") == b"y"
    except OSError:
        return False


def expand_opaque(entries, below, directory):
    """A whiteout for each entry that `below` holds in the directory, descending where both have a directory."""
    for path, node in below.items():
        if os.path.dirname(path) != directory:
            continue
        if path not in entries:
            entries[path] = WHITEOUT
        elif node.type == "dir" and entries[path].type == "dir":
            expand_opaque(entries, below, path)


def plain_whiteouts(entries):
    """A whiteout's owner, mode and time mean nothing."""
    return {path: WHITEOUT if node.type == "char" and node.rdev == (0, 0) else node for path, node in entries.items()}


def published_tree(root, path):
    """A layer, chain or flat image as published, without the catalog's marker at its top."""
    return plain_whiteouts(tree(os.path.join(root, path), ignore=[CATALOG]))


def catalogs(root):
    """All directories that are marked as nested catalogs."""
    return {os.path.relpath(top, root) for top, _, files in os.walk(root) if CATALOG in files}


def catalog_parts(top):
    """{directory that begins a catalog: its entries, nested ones left out}."""
    found = {}

    def walk(path, part):
        with os.scandir(os.path.join(top, path)) as entries:
            names = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
        if names.pop(CATALOG, None) is not None:
            part = path
        found[part] = found.get(part, 0) + 1
        for name, is_dir in names.items():
            if is_dir:
                walk(os.path.join(path, name), part)
            else:
                found[part] += 1

    walk("", "")
    return found


def assert_flat(test, image_tree, root, config_digest):
    """The flat image is the image, entry by entry, plus Apptainer's files and nothing else."""
    found = published_tree(root, place("flat", config_digest))
    extra = APPTAINER | {path for path in APPTAINER_IF_MISSING if path not in image_tree}
    test.assertEqual(extra - found.keys(), set(), "Apptainer's files that are missing")
    test.assert_same_tree(image_tree, {path: node for path, node in found.items() if path not in extra})


def assert_public_name(test, root, name, config_digest):
    """The public name is a relative symlink to the flat image."""
    link = os.path.join(root, name)
    target = os.readlink(link)
    test.assertEqual(target, "../" * name.count("/") + place("flat", config_digest))
    test.assertTrue(os.path.isdir(link), "it leads nowhere")


def read(root, *parts):
    with open(os.path.join(root, *parts), "rb") as source:
        return source.read()


def metadata(root, name):
    return read(root, ".metadata", name, "manifest.json")
