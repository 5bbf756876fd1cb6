"""What tests of taking away share: two images in a repository, the commands, and what must be whole or gone."""

import json
import os

from harness import Ducc, IntegrationTest, TarBuilder
from published import assert_public_name, metadata, place

DAY = 86400


def layer(name, content=b"x"):
    return TarBuilder().dir("d").file(f"d/{name}", content).bytes()


def units(root):
    """All layers, chains and flat images, as paths."""
    found = set()
    for kind in ("layers", "chains", "flat"):
        for top in os.listdir(os.path.join(root, "." + kind)) if os.path.isdir(os.path.join(root, "." + kind)) else ():
            folder = os.path.join(root, "." + kind, top)
            if os.path.isdir(folder):
                found |= {f".{kind}/{top}/{one}" for one in os.listdir(folder) if one != ".cvmfscatalog"}
    return found


def units_of(*images):
    found = set()
    for image in images:
        found |= {place("layers", digest) for digest in image.layer_digests}
        found |= {place("chains", image.chain_ids()[-1]), place("flat", image.config_digest)}
    return found


def podman_lists(root):
    """Ids of images with their names, and ids of layers."""
    with open(os.path.join(root, "podmanStore/overlay-images/images.json"), encoding="utf-8") as source:
        images = {one["id"]: sorted(one["names"]) for one in json.load(source)}
    with open(os.path.join(root, "podmanStore/overlay-layers/layers.json"), encoding="utf-8") as source:
        return images, {one["id"] for one in json.load(source)}


def podman_folders(root):
    store = os.path.join(root, "podmanStore")
    images = {one for one in os.listdir(store + "/overlay-images") if len(one) == 64}
    layers = {one for one in os.listdir(store + "/overlay") if len(one) == 64}
    links = set(os.listdir(store + "/overlay/l"))
    return images, layers, links


class DeletionTest(IntegrationTest):
    def begin(self, backend):
        """Two images that share a layer, and a third of which one tag has two names."""
        self.backend, self.root = backend, backend.view
        self.ducc = self.enterContext(Ducc(environment=backend.environment()))
        self.server = self.registry()
        self.images = {
            "one": self.server.push_image("t/one", "1", [layer("base"), layer("one")]),
            "two": self.server.push_image("t/two", "1", [layer("base"), layer("two")])}
        self.server.push_image("t/one", "again", [layer("base"), layer("one")])
        self.publish("t/one:1", "t/one:again", "t/two:1")

    def name(self, image):
        return f"{self.server.host}/{image}"

    def publish(self, *images):
        self.ducc.run("convert", "--repo", self.backend.argument, *(f"http://{self.name(one)}" for one in images),
                      check=0)

    def gc(self, *options, days=0, check=0):
        """A collection so many days from now."""
        return self.ducc.run("gc", *options, self.backend.argument, check=check,
                             env={"DUCC_CLOCK_OFFSET": str(days * DAY)})

    def remove(self, *images, options=(), check=0):
        return self.ducc.run("remove", "--repo", self.backend.argument, *options, *map(self.name, images), check=check)

    def restore(self, *images, check=0):
        return self.ducc.run("restore", "--repo", self.backend.argument, *map(self.name, images), check=check)

    def assert_whole(self, tag, image):
        """The name leads to its image, with all parts, for every kind of user."""
        name = self.name(tag)
        assert_public_name(self, self.root, name, image.config_digest)
        self.assertEqual(metadata(self.root, name), image.manifest)
        self.assertLessEqual(units_of(image), units(self.root))
        images, layers = podman_lists(self.root)
        self.assertIn(name, images[image.config_digest[7:]])
        folders = podman_folders(self.root)
        self.assertEqual((set(images), layers), folders[:2])
        self.assertEqual(len(layers), len(folders[2]))

    def assert_gone(self, tag):
        name = self.name(tag)
        self.assertFalse(os.path.lexists(os.path.join(self.root, name)))
        self.assertFalse(os.path.lexists(os.path.join(self.root, ".metadata", name)))
        self.assertNotIn(name, sum(podman_lists(self.root)[0].values(), []))
