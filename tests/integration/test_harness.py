"""The harness itself: what the other tests rely on."""

import json
import os
import unittest

from harness import (IntegrationTest, Image, Registry, TarBuilder, chroot_shell, digest_of, overlay, real_image, tree,
                     umoci_unpack)

HELLO = TarBuilder().dir("d").file("d/hello", b"hello\n").bytes()


class RegistryTest(IntegrationTest):
    def test_hand_made_images_of_all_kinds_come_back(self):
        registry = self.registry()
        for media in ("oci", "docker"):
            for compression in ("gzip", "zstd", "none"):
                for index in (False, True):
                    tag = f"{media}-{compression}-{index}"
                    with self.subTest(tag):
                        image = registry.push_image("some/image", tag, [HELLO], media=media, compression=compression,
                                                    index=index, config={"Cmd": ["x"]})
                        found = json.loads(registry.manifest("some/image", tag))
                        self.assertEqual("manifests" in found, index)
                        self.assertEqual(registry.manifest("some/image", image.digest), image.manifest)

    def test_requests_are_counted(self):
        registry = self.registry()
        image = registry.push_image("a", "t", [HELLO])
        registry.forget_requests()
        registry.request("HEAD", "/v2/a/manifests/t")
        registry.request("GET", f"/v2/a/blobs/{image.layer_digests[0]}")
        registry.request("GET", "/v2/a/tags/list")
        self.assertEqual(registry.count_requests(),
                         {("HEAD", "manifests"): 1, ("GET", "blobs"): 1, ("GET", "tags"): 1})
        self.assertEqual(registry.requests("HEAD")[0].reference, "t")

    def test_a_blob_can_be_tampered_with(self):
        registry = self.registry()
        digest = registry.push_image("a", "t", [HELLO]).layer_digests[0]
        with open(registry.blob_path(digest), "r+b") as blob:
            blob.write(b"x")
        self.assertNotEqual(digest_of(registry.request("GET", f"/v2/a/blobs/{digest}").body), digest)

    def test_nothing_stays(self):
        with Registry() as registry:
            directory = registry.directory
        self.assertFalse(os.path.exists(directory))

    def test_skopeo_pushes_a_layout_in_both_formats(self):
        registry = self.registry()
        layout = Image([HELLO]).write_layout(self.path("layout"), "t")
        for name, kind in (("oci", "oci"), ("v2s2", "docker")):
            registry.push_layout(layout, "t", "img", name, image_format=name)
            self.assertIn(kind, json.loads(registry.manifest("img", name))["config"]["mediaType"])


class ReferenceTest(IntegrationTest):
    def test_umoci_and_podman_agree_on_the_real_image(self):
        layout, tag = real_image()
        expected = tree(umoci_unpack(layout, tag, self.path("umoci")))
        podman = self.podman()
        with podman.mounted(f"oci:{layout}:{tag}") as merged:
            self.assert_same_tree(expected, merged)
            layers = podman.layers(podman.pull(f"oci:{layout}:{tag}"))
        self.assertEqual(len(layers), 4)
        self.assertEqual(tree(layers[3])[b"odd/fifo"].rdev, (0, 0))
        with overlay(layers) as merged:
            self.assert_same_tree(expected, merged)

    def test_a_link_to_a_lower_layer(self):
        layout, tag = real_image(portable=False)
        rootfs = umoci_unpack(layout, tag, self.path("umoci"))
        found = tree(rootfs)
        self.assertEqual(found[b"links/lower"], found[b"usr/bin/busybox"])
        self.assertEqual(chroot_shell(rootfs, "cat /etc/motd; ls /odd/no-mode"), b"changed\n/odd/no-mode\n")

    def test_podman_pulls_from_the_registry(self):
        registry = self.registry()
        registry.push_image("a", "t", [HELLO])
        with self.podman(driver="vfs").mounted(f"docker://{registry.host}/a:t") as merged:
            self.assertEqual(tree(merged)[b"d/hello"].size, 6)

    def test_fuse_overlayfs(self):
        for name, tar in (("low", b"l"), ("up", b"u")):
            os.mkdir(self.path(name))
            with open(self.path(name, "f"), "wb") as out:
                out.write(tar)
        for fuse in (False, True):
            with overlay([self.path("low"), self.path("up")], fuse=fuse) as merged:
                with open(os.path.join(merged, "f"), "rb") as source:
                    self.assertEqual(source.read(), b"u")


class TreeTest(IntegrationTest):
    def test_differences_are_named(self):
        for top in ("a", "b"):
            os.makedirs(self.path(top, "d"))
        os.mkdir(self.path("b", "d", "new"))
        os.chmod(self.path("b", "d"), 0o700)
        with self.assertRaises(AssertionError) as caught:
            self.assert_same_tree(self.path("a"), self.path("b"), ignore_fields=("mtime",))
        self.assertIn("mode        d  expected '0o755', found '0o700'", str(caught.exception))
        self.assertIn("unexpected  d/new", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
