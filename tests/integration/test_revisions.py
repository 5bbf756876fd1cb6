"""How many revisions a run makes, and how little it asks the registry for."""

import json
import os
import unittest

from backends import StandIn, on_every_backend
from harness import IntegrationTest, Image, TarBuilder
from published import assert_public_name, layer_place, metadata, place, read


def layer(text):
    return TarBuilder().dir(text).file(f"{text}/file", text.encode() * 1000).bytes()


class RevisionTest(IntegrationTest):
    def setUp(self):
        super().setUp()
        self.registry_ = self.registry()
        self.blobs = None

    def convert(self, backend, *images, options=(), status=0, ducc=None):
        """One run; the result, and what it asked the registry for as {(method, kind): count}."""
        self.registry_.forget_requests()
        ducc = ducc or self.ducc(backend)
        names = [f"http://{self.registry_.host}/{image}" for image in images]
        result = ducc.run("convert", *options, "--repo", backend.argument, *names, check=status)
        return result, self.registry_.count_requests()

    def assert_published(self, backend, image, *names):
        for name in names:
            name = f"{self.registry_.host}/{name}"
            assert_public_name(self, backend.view, name, image.config_digest)
            self.assertEqual(metadata(backend.view, name), image.manifest)

    def assert_revisions(self, backend, before, count):
        """The directory has no revisions: there the program's own words must do, in the tests that look at them."""
        if before is not None:
            self.assertEqual(backend.revisions() - before, count)

    @on_every_backend
    def test_one_image_is_one_revision(self, backend):
        image = self.registry_.push_image("a/b", "1", [layer("one"), layer("two"), layer("three")])
        before = backend.revisions()
        result, requests = self.convert(backend, "a/b:1", options=["--chains", "all"])
        self.assert_revisions(backend, before, 1)
        self.assert_published(backend, image, "a/b:1")
        self.assertIn("1 published in 1 revision", result.stdout)
        self.assertEqual(requests, {("HEAD", "manifests"): 1, ("GET", "manifests"): 1, ("GET", "blobs"): 4})
        backend.assert_sound(self)

    @on_every_backend
    def test_twenty_tags_of_one_image_are_one_revision(self, backend):
        tags = [f"{number}.0" for number in range(20)]
        for tag in tags:
            image = self.registry_.push_image("a/b", tag, [layer("one"), layer("two")])
        before = backend.revisions()
        result, requests = self.convert(backend, "a/b:*")
        self.assert_revisions(backend, before, 1)
        self.assert_published(backend, image, *(f"a/b:{tag}" for tag in tags))
        self.assertIn("20 published in 1 revision", result.stdout)
        self.assertEqual(requests, {("GET", "tags"): 1, ("HEAD", "manifests"): 20, ("GET", "manifests"): 1,
                                    ("GET", "blobs"): 3})

    @on_every_backend
    def test_twenty_images_are_published_together(self, backend):
        """Group commit: what is ready goes into the next revision; never one revision an image."""
        for number in range(20):
            self.registry_.push_image("a/b", str(number), [layer("base"), layer(f"own{number}")])
        before = backend.revisions()
        self.convert(backend, *(f"a/b:{number}" for number in range(20)))
        if before is not None:
            self.assertLess(backend.revisions() - before, 20)
        self.assertEqual(len(os.listdir(os.path.join(backend.view, self.registry_.host, "a"))), 20)
        backend.assert_sound(self)

    @on_every_backend
    def test_nothing_changed(self, backend):
        self.registry_.push_image("a/b", "1", [layer("one")])
        self.registry_.push_image("a/b", "2", [layer("one"), layer("two")])
        self.convert(backend, "a/b:1", "a/b:2")
        before, files = backend.revisions(), sorted(os.walk(backend.view))
        for ducc in (None, self.ducc(backend)):     # with and without what it kept in its state directory
            result, requests = self.convert(backend, "a/b:1", "a/b:2", ducc=ducc)
            self.assertEqual(requests, {("HEAD", "manifests"): 2})
            self.assertIn("nothing to publish", result.stdout)
            self.assertIn("2 up to date", result.stdout)
        self.assert_revisions(backend, before, 0)
        self.assertEqual(sorted(os.walk(backend.view)), files)

    @on_every_backend
    def test_index_tags_unchanged(self, backend):
        """A tag that names an index is known by the index's digest: no GET either."""
        image = Image([layer("one")])
        arm = Image([layer("arm")], architecture="arm64")
        index = self.registry_.push_index("a/b", "1", [arm, image])
        _, first = self.convert(backend, "a/b:1")
        self.assert_published(backend, image, "a/b:1")
        self.assertEqual(first[("GET", "manifests")], 2)
        before = backend.revisions()
        result, requests = self.convert(backend, "a/b:1")
        self.assertEqual(requests, {("HEAD", "manifests"): 1})
        self.assertIn("nothing to publish", result.stdout)
        self.assert_revisions(backend, before, 0)
        self.assertEqual(read(backend.view, ".metadata", f"{self.registry_.host}/a/b:1", "index.json"), index)

    @on_every_backend
    def test_a_moved_tag(self, backend):
        old = self.registry_.push_image("a/b", "latest", [layer("base"), layer("old")])
        self.convert(backend, "a/b:latest")
        new = self.registry_.push_image("a/b", "latest", [layer("base"), layer("new")])
        before = backend.revisions()
        _, requests = self.convert(backend, "a/b:latest")
        self.assert_revisions(backend, before, 1)
        self.assert_published(backend, new, "a/b:latest")
        self.assertTrue(os.path.isdir(os.path.join(backend.view, place("flat", old.config_digest))), "still in use")
        self.assertEqual(requests, {("HEAD", "manifests"): 1, ("GET", "manifests"): 1, ("GET", "blobs"): 2})
        origin = json.loads(read(backend.view, place("layers", new.layer_digests[0]), ".metadata/origin.json"))
        self.assertEqual(set(origin["origin"]), {old.config_digest, new.config_digest})
        backend.assert_sound(self)

    @on_every_backend
    def test_a_tag_that_moves_from_an_index_to_an_image_and_back(self, backend):
        one, other = Image([layer("one")]), Image([layer("other")])
        for image in (one, other, one, other):
            if image is one:
                self.registry_.push_index("a/b", "t", [image])
            else:
                self.registry_.push("a/b", "t", image)
            self.convert(backend, "a/b:t")
            self.assert_published(backend, image, "a/b:t")
            result, requests = self.convert(backend, "a/b:t")
            self.assertEqual(requests, {("HEAD", "manifests"): 1})

    @on_every_backend
    def test_a_new_tag_of_a_published_image(self, backend):
        image = self.registry_.push_image("a/b", "1", [layer("one"), layer("two")])
        self.convert(backend, "a/b:1")
        self.registry_.push("a/b", "latest", image)
        before = backend.revisions()
        _, requests = self.convert(backend, "a/b:1", "a/b:latest")
        self.assert_revisions(backend, before, 1)
        self.assert_published(backend, image, "a/b:1", "a/b:latest")
        fetched = [one.reference for one in self.registry_.requests("GET", "blobs")]
        self.assertFalse(set(fetched) & set(image.layer_digests), "layers were fetched again")
        self.assertLessEqual(requests.get(("GET", "manifests"), 0), 1)

    @on_every_backend
    def test_shared_layers_are_fetched_once(self, backend):
        shared = [layer("base"), layer("more")]
        images = [self.registry_.push_image(f"a/b{number}", "t", [*shared, layer(f"own{number}")], config={"Cmd": [str(number)]})
                  for number in range(4)]
        _, requests = self.convert(backend, *(f"a/b{number}:t" for number in range(4)))
        fetched = [one.reference for one in self.registry_.requests("GET", "blobs")]
        self.assertEqual(len(fetched), len(set(fetched)), "something was fetched twice")
        self.assertEqual(requests[("GET", "blobs")], 4 + 2 + 4)
        for number, image in enumerate(images):
            self.assert_published(backend, image, f"a/b{number}:t")
        origin = json.loads(read(backend.view, place("layers", images[0].layer_digests[0]), ".metadata/origin.json"))
        self.assertEqual(set(origin["origin"]), {image.config_digest for image in images})
        later = self.registry_.push_image("a/later", "t", [*shared, layer("late")])
        self.convert(backend, "a/later:t")
        fetched = [one.reference for one in self.registry_.requests("GET", "blobs")]
        self.assertEqual(set(fetched), {later.layer_digests[-1], later.config_digest})
        backend.assert_sound(self)

    def test_an_image_wanted_twice(self):
        backend = StandIn(self.scratch)
        image = self.registry_.push_image("a/b", "1", [layer("one")])
        before = backend.revisions()
        _, requests = self.convert(backend, "a/b:1", "a/b:1", "a/b:*")
        self.assert_revisions(backend, before, 1)
        self.assertEqual(requests[("HEAD", "manifests")], 1)
        self.assert_published(backend, image, "a/b:1")

    def test_convert_again_adds_what_is_missing(self):
        image = self.registry_.push_image("a/b", "1", [layer("one"), layer("two")])
        backend = StandIn(self.scratch)
        self.convert(backend, "a/b:1", options=["--chains", "none", "--skip-layers"])
        view = backend.view
        self.assertFalse(os.path.exists(os.path.join(view, ".layers")) or os.path.exists(os.path.join(view, ".chains")))
        before = backend.revisions()
        self.convert(backend, "a/b:1", options=["--chains", "all", "--convert-again"])
        for path in (*map(layer_place, image.layer_digests), *(place("chains", one) for one in image.chain_ids())):
            self.assertTrue(os.path.isdir(os.path.join(view, path)), path)
        self.assertEqual(backend.revisions() - before, 1)
        backend.assert_sound(self)


if __name__ == "__main__":
    unittest.main()
