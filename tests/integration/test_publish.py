"""A real image, published end to end: every tree against umoci's and Podman's, every file of the layout."""

import functools
import json
import os
import shutil
import tempfile
import unittest

from backends import StandIn, backends, on_every_backend
from harness import (Ducc, IntegrationTest, Image, Registry, overlay, real_image, tree, umoci_unpack,
                     unmount_below)
from published import (LayoutImage, assert_flat, assert_public_name, catalogs, chain_trees, hexadecimal, layer_place,
                       layer_trees, metadata, place, published_tree, read)


class RealImage:
    """The real image with what umoci and Podman make of it, made once for all tests of this file."""

    def __init__(self):
        self.work = tempfile.mkdtemp(prefix="ducc-publish-")
        self.registry = Registry().start()
        layout, tag = real_image()
        self.image = LayoutImage(layout, tag)
        self.chains = chain_trees(self.image.raw_layers, self.work)
        self.layers = layer_trees(f"oci:{layout}:{tag}", self.chains)
        self.registry.push_layout(layout, tag, "lib/real", "oci", "oci")
        self.registry.push_layout(layout, tag, "lib/real", "docker", "v2s2")
        self.docker_config = json.loads(self.registry.manifest("lib/real", "docker"))["config"]["digest"]
        more_layout, more_tag = real_image(portable=False)
        self.more = LayoutImage(more_layout, more_tag)
        self.more_tree = tree(umoci_unpack(more_layout, more_tag, os.path.join(self.work, "more")))
        self.registry.push_layout(more_layout, more_tag, "lib/real", "more", "oci")
        self._published = []

    def published(self):
        """The back ends with the image's OCI and Docker form and all chains in them: published once, for reading."""
        for make in backends() if not self._published else []:
            backend = make(tempfile.mkdtemp(dir=self.work))
            with Ducc(backend.environment()) as ducc:
                ducc.run("convert", "--chains", "all", "--repo", backend.argument,
                         *("http://" + self.name(tag) for tag in ("oci", "docker")), check=True)
            self._published.append(backend)
        return self._published

    def close(self):
        for backend in self._published:
            backend.close()
        self.registry.stop()
        unmount_below(self.work)
        shutil.rmtree(self.work, ignore_errors=True)

    def name(self, tag):
        return f"{self.registry.host}/lib/real:{tag}"


def on_published(test):
    """Runs a test method on each back end that the image was published to."""
    @functools.wraps(test)
    def run_all(self):
        for backend in self.real.published():
            with self.subTest(backend.kind):
                test(self, backend)
    return run_all


class PublishTest(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        cls.real = RealImage()
        cls.addClassCleanup(cls.real.close)

    def publish(self, backend, *tags, options=()):
        ducc = self.ducc(backend)
        return ducc.run("convert", *options, "--repo", backend.argument,
                        *("http://" + self.real.name(tag) for tag in tags), check=True)

    def test_the_image_is_what_the_issue_wants(self):
        """Were the image without its oddities, the other tests would prove less than they say."""
        layers, final = self.real.layers, self.real.chains[-1]
        self.assertGreaterEqual(len(layers), 4)
        whiteouts = [path for layer in layers for path, node in layer.items() if node.rdev == (0, 0)]
        self.assertIn(b"etc/issue", whiteouts)
        self.assertTrue([path for path in whiteouts if path.startswith(b"usr/share/doc/")], "no opaque directory")
        self.assertIn("fifo", {node.type for layer in layers for node in layer.values()})
        self.assertEqual(final[b"odd/no-mode"].mode, 0)
        self.assertEqual(final[b"odd/setuid"].mode, 0o4755)
        self.assertIn(b"odd/caf\xe9 \xff", final)
        self.assertEqual(final[b"links/dangling"].target, b"/no/where")
        self.assertEqual(final[b"links/second"], final[b"links/first"])

    @on_published
    def test_layers_chains_and_flat_image(self, backend):
        image, root = self.real.image, backend.view
        for number, (digest, expected) in enumerate(zip(image.layer_digests, self.real.layers, strict=True)):
            self.assert_same_tree(expected, published_tree(root, layer_place(digest)), f"layer {number}")
        for number, (chain, expected) in enumerate(zip(image.chain_ids(), self.real.chains, strict=True)):
            self.assert_same_tree(expected, published_tree(root, place("chains", chain)), f"chain {number}")
        assert_flat(self, self.real.chains[-1], root, image.config_digest)
        backend.assert_sound(self)

    @on_published
    def test_the_published_layers_stack_on_both_overlays(self, backend):
        """What Podman and containerd show: the kernel's overlayfs and fuse-overlayfs over the `layerfs` folders."""
        layers = [os.path.join(backend.view, layer_place(digest)) for digest in self.real.image.layer_digests]
        for fuse in (False, True):
            with overlay(layers, fuse=fuse) as merged:
                self.assert_same_tree(self.real.chains[-1], tree(merged, ignore=[".cvmfscatalog"]), f"fuse: {fuse}")

    @on_every_backend
    def test_a_link_into_a_lower_layer(self, backend):
        self.publish(backend, "more")
        image, root = self.real.more, backend.view
        assert_flat(self, self.real.more_tree, root, image.config_digest)
        self.assert_same_tree(self.real.more_tree, published_tree(root, place("chains", image.chain_ids()[-1])))
        third = published_tree(root, layer_place(image.layer_digests[2]))
        self.assertEqual(third[b"links/lower"], self.real.more_tree[b"usr/bin/busybox"])
        backend.assert_sound(self)

    @on_published
    def test_files_of_the_layout(self, backend):
        root, oci, registry = backend.view, self.real.image, self.real.registry
        for tag in ("oci", "docker"):
            sent = registry.manifest("lib/real", tag)
            self.assertEqual(metadata(root, self.real.name(tag)), sent)
            assert_public_name(self, root, self.real.name(tag), json.loads(sent)["config"]["digest"])
        docker = json.loads(registry.manifest("lib/real", "docker"))
        self.assertIn("docker", docker["mediaType"])
        configs = {oci.config_digest, self.real.docker_config}
        blobs = zip(oci.layer_digests, oci.diff_ids, oci.raw_layers, docker["layers"], strict=True)
        for digest, diff_id, raw, descriptor in blobs:
            self.assertEqual(digest, descriptor["digest"], "skopeo compressed anew: the test compares nothing")
            folder = place("layers", digest) + "/.metadata"
            origin = json.loads(read(root, folder, "origin.json"))
            self.assertEqual(set(origin["origin"]), configs)
            self.assertEqual(len(origin["origin"]), len(configs))
            records = json.loads(read(root, folder, "layers.json"))
            self.assertEqual(len(records), 1)
            self.assertIsInstance(records[0].pop("created"), str)
            self.assertEqual(records[0], {
                "id": hexadecimal(diff_id), "diff-digest": diff_id, "diff-size": len(raw),
                "compressed-diff-digest": digest, "compressed-size": descriptor["size"]})

    @on_published
    def test_nested_catalogs(self, backend):
        image = self.real.image
        expected = {".layers", ".chains", ".flat", ".metadata", f".metadata/{self.real.registry.host}", "podmanStore"}
        expected |= {f"podmanStore/overlay{part}" for part in ("", "-images", "-layers")}
        trees = [layer_place(digest) for digest in image.layer_digests]
        trees += [place("chains", chain) for chain in image.chain_ids()]
        trees += [place("flat", config) for config in (image.config_digest, self.real.docker_config)]
        expected |= {"podmanStore", "podmanStore/overlay", "podmanStore/overlay-images", "podmanStore/overlay-layers"}
        expected |= set(trees) | {"/".join(one.split("/")[:2]) for one in trees}
        self.assertEqual(catalogs(backend.view) - {"."}, expected)

    @on_published
    def test_folders_have_an_owner_and_can_be_entered(self, backend):
        name = f"{self.real.registry.host}/lib"
        for path in (".layers", ".flat", ".chains", ".metadata", name, f".metadata/{name}"):
            while path:
                info = os.stat(os.path.join(backend.view, path))
                self.assertEqual((info.st_uid, info.st_gid, info.st_mode & 0o777), (0, 0, 0o755), path)
                path = os.path.dirname(path)

    def test_contents_travel_once(self):
        """One file content of a layer is one file in the stream; chains and the flat image are links."""
        backend = StandIn(self.scratch)
        self.publish(backend, "oci", options=["--chains", "all"])
        [call] = backend.log("ingest")
        files = sum(node.size for layer in self.real.layers for node in layer.values() if node.type == "file")
        self.assertLess(call["bytes"], files + 2_000_000)
        self.assertGreater(call["entries"]["link"], len(self.real.chains[-1]))


class CompressionTest(IntegrationTest):
    def test_zstd_and_plain_layers_of_the_real_image(self):
        """The same trees, whatever the layers are compressed with: compared with the gzip image through umoci."""
        layout, tag = real_image(portable=False)
        expected = tree(umoci_unpack(layout, tag, self.path("umoci")))
        image = LayoutImage(layout, tag)
        registry, ducc = self.registry(), self.ducc()
        for compression in ("none", ["zstd", "gzip", "none", "zstd"]):
            made = Image(image.raw_layers, compression=compression, config={"Labels": {"made": str(compression)}})
            registry.push("a/b", "t", made)
            ducc.run("convert", "--repo", self.path("repo"), f"http://{registry.host}/a/b:t", check=True)
            assert_flat(self, expected, self.path("repo"), made.config_digest)


if __name__ == "__main__":
    unittest.main()
