"""A layer that several images stand on, with other layers below it."""

import os
import unittest

from harness import IntegrationTest, TarBuilder, overlay, tree, umoci_unpack, Image


class Reuse(IntegrationTest):
    """One upper layer with a deletion and an opaque directory, on two bases that hold different things in it."""

    def layers(self):
        first = TarBuilder().dir("d").file("d/one", b"1").dir("o").file("o/first", b"f").bytes()
        second = TarBuilder().dir("d").file("d/two", b"2").dir("o").file("o/second", b"s").dir("o/deep") \
            .file("o/deep/x", b"x").bytes()
        upper = TarBuilder().dir("d").whiteout("d/one").whiteout("d/two").dir("o").opaque("o").file("o/new", b"n").bytes()
        return first, second, upper

    def expected(self, layers):
        layout = self.path("layout-%d" % len(os.listdir(self.scratch)))
        Image(layers).write_layout(layout, "x")
        return tree(umoci_unpack(layout, "x", layout + "-root"))

    def stacked(self, repository_root, image):
        """What the kernel's overlayfs makes of the published layers."""
        layers = [os.path.join(repository_root, ".layers", d[7:9], d[7:], "layerfs") for d in image.layer_digests]
        with overlay(layers) as merged:
            found = tree(merged)
        found.pop(b".cvmfscatalog", None)
        return found

    def check(self, target, root, **how):
        registry = self.registry()
        first, second, upper = self.layers()
        one = registry.push_image("t/one", "1", [first, upper])
        two = registry.push_image("t/two", "1", [second, upper])
        ducc = self.ducc(**how)
        for name in ("one", "two"):
            ducc.run("convert", "--repo", target, f"http://{registry.host}/t/{name}:1", check=0)
        for image, layers in ((one, [first, upper]), (two, [second, upper])):
            self.assert_same_tree(self.expected(layers), self.stacked(root, image), loose=[b""])

    def test_directory(self):
        self.check(self.path("repo"), self.path("repo"))

    def test_directory_in_one_commit(self):
        registry = self.registry()
        first, second, upper = self.layers()
        images = [(registry.push_image(f"t/{i}", "1", [base, upper]), [base, upper])
                  for i, base in enumerate((first, second))]
        self.ducc().run("convert", "--repo", self.path("repo"), *(f"http://{registry.host}/t/{i}:1" for i in (0, 1)),
                        check=0)
        for image, layers in images:
            self.assert_same_tree(self.expected(layers), self.stacked(self.path("repo"), image), loose=[b""])

    def test_cvmfs(self):
        repository = self.repository()
        self.check(repository.name, repository.client, repository=repository)
        self.assertEqual([], repository.damage())


if __name__ == "__main__":
    unittest.main()
