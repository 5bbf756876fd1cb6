"""OCI image layouts on disk, made without any image library: what goes in is exactly what a test says."""

import gzip
import hashlib
import json
import os
import subprocess

OCI_TYPES = {
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "index": "application/vnd.oci.image.index.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "none": "application/vnd.oci.image.layer.v1.tar",
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}
DOCKER_TYPES = {
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "none": "application/vnd.docker.image.rootfs.diff.tar",
    "gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "zstd": "application/vnd.docker.image.rootfs.diff.tar.zstd",
}
MEDIA = {"oci": OCI_TYPES, "docker": DOCKER_TYPES}


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compress(data, how):
    """The same input gives the same bytes, so that digests are stable from run to run."""
    if how == "gzip":
        return gzip.compress(data, compresslevel=1, mtime=0)
    if how == "zstd":
        return subprocess.run(["zstd", "-q", "-c", "-1"], input=data, stdout=subprocess.PIPE, check=True).stdout
    if how == "none":
        return data
    raise ValueError(f"unknown compression {how!r}")


class Image:
    """One image: raw layer tars, and what its manifest and config say about them.

    `blobs` maps digests to bytes; `manifest` holds the manifest's bytes. Everything that a test wants to be wrong can
    be changed with `edit_config`/`edit_manifest`, functions that get the JSON object before it is written.
    """

    def __init__(self, layers, config=None, media="oci", compression="gzip", architecture="amd64", variant=None,
                 edit_config=None, edit_manifest=None, annotations=None):
        types = MEDIA[media]
        self.media, self.types, self.architecture, self.variant = media, types, architecture, variant
        self.blobs, self.layer_digests, self.diff_ids, descriptors = {}, [], [], []
        how = [compression] * len(layers) if isinstance(compression, str) else list(compression)
        for raw, one in zip(layers, how, strict=True):
            blob = compress(raw, one)
            descriptors.append(self._add(types[one], blob))
            self.layer_digests.append(descriptors[-1]["digest"])
            self.diff_ids.append(digest_of(raw))
        document = {"architecture": architecture, "os": "linux", "config": config or {},
                    "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
                    "history": [{"created_by": f"layer {n}"} for n in range(len(layers))]}
        if variant:
            document["variant"] = variant
        if edit_config:
            edit_config(document)
        self.config = json.dumps(document, sort_keys=True).encode()
        manifest = {"schemaVersion": 2, "mediaType": types["manifest"],
                    "config": self._add(types["config"], self.config), "layers": descriptors}
        if annotations:
            manifest["annotations"] = annotations
        if edit_manifest:
            edit_manifest(manifest)
        self.manifest = json.dumps(manifest, sort_keys=True).encode()
        self.config_digest, self.digest = digest_of(self.config), digest_of(self.manifest)

    def _add(self, media_type, data):
        self.blobs[digest_of(data)] = data
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    def descriptor(self, platform=True):
        """How an index or a layout's index.json names this image."""
        value = {"mediaType": self.types["manifest"], "digest": self.digest, "size": len(self.manifest)}
        if platform:
            value["platform"] = {"architecture": self.architecture, "os": "linux"}
            if self.variant:
                value["platform"]["variant"] = self.variant
        return value

    def chain_ids(self):
        """Chain ids of layers 0..k, as the OCI image specification defines them."""
        chain = []
        for diff_id in self.diff_ids:
            chain.append(digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
        return chain

    def write_layout(self, directory, tag):
        """Add this image to the OCI layout in `directory` (made if missing) and return the directory."""
        return write_layout(directory, tag, self)


def index_of(images, media="oci", extra=()):
    """The bytes of an index (manifest list) over images; `extra` are more descriptors, such as attestations."""
    value = {"schemaVersion": 2, "mediaType": MEDIA[media]["index"],
             "manifests": [image.descriptor() for image in images] + list(extra)}
    return json.dumps(value, sort_keys=True).encode()


def write_layout(directory, tag, image):
    blobs = os.path.join(directory, "blobs", "sha256")
    os.makedirs(blobs, exist_ok=True)
    for digest, data in {**image.blobs, image.digest: image.manifest}.items():
        with open(os.path.join(blobs, digest.removeprefix("sha256:")), "wb") as out:
            out.write(data)
    with open(os.path.join(directory, "oci-layout"), "w") as out:
        out.write('{"imageLayoutVersion": "1.0.0"}')
    path = os.path.join(directory, "index.json")
    index = {"schemaVersion": 2, "manifests": []}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as source:
            index = json.load(source)
    name = "org.opencontainers.image.ref.name"
    others = [one for one in index["manifests"] if one.get("annotations", {}).get(name) != tag]
    index["manifests"] = others + [{**image.descriptor(False), "annotations": {name: tag}}]
    with open(path, "w", encoding="utf-8") as out:
        json.dump(index, out)
    return directory
