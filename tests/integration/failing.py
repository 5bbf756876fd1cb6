"""What tests of failures share: a registry that misbehaves, and what must hold after a run in which images failed."""

import json
import os
import sys

from harness import IntegrationTest, TarBuilder
from published import metadata, place

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "standin"))
from registry_server import MisbehavingRegistry                                                     # noqa: E402


def layer(text, size=2000):
    """A small layer of its own: random enough that a change of any of its compressed bytes matters."""
    return TarBuilder().dir(text).file(f"{text}/file", (text.encode() * size)[:size]).bytes()


def noise(text, size):
    """A layer that does not compress."""
    from hashlib import shake_256
    return TarBuilder().dir(text).file(f"{text}/noise", shake_256(text.encode()).digest(size)).bytes()


def add(registry, repository, tag, image):
    """Put an Image into a MisbehavingRegistry."""
    registry.blobs.update(image.blobs)
    registry.add_manifest(repository, tag, image.manifest, image.types["manifest"])
    return image


class FailureTest(IntegrationTest):
    def misbehaving(self, **options):
        return self.enterContext(MisbehavingRegistry(**options))

    def convert(self, backend, *images, options=(), status=0, env=None, ducc=None):
        """A run with JSON lines; the result with {image: error}, and {image: outcome} as `outcomes`."""
        ducc = ducc or self.ducc(backend)
        result = ducc.run("convert", "--json", *options, "--repo", backend.argument, *("http://" + one for one in images),
                          env=env)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        self.errors = {line["image"]: line["error"] for line in lines if line.get("outcome") == "failed"}
        self.outcomes = {line["image"]: line["outcome"] for line in lines if line["event"] == "result"}
        self.assertEqual(result.status, status, result.stdout + result.stderr)
        self.assertNotIn("Sanitizer", result.stderr)
        return result

    def assert_fails(self, image, *patterns):
        """The image failed, for a reason that holds all these words."""
        self.assertIn(image, self.errors)
        for pattern in patterns:
            self.assertRegex(self.errors[image], pattern)

    def assert_published(self, backend, name, image):
        self.assertEqual(self.outcomes.get(name), "published")
        self.assertTrue(os.path.isdir(os.path.join(backend.view, name)), name)
        self.assertEqual(metadata(backend.view, name), image.manifest)

    def assert_nothing_of(self, backend, name, image=None):
        """No public name, no metadata, and no layer, chain or flat image of it."""
        left = [name, f".metadata/{name}"]
        if image:
            left += [place("layers", one) for one in image.layer_digests] + [place("flat", image.config_digest)]
            left += [place("chains", one) for one in image.chain_ids()]
        self.assertEqual([path for path in left if os.path.lexists(os.path.join(backend.view, path))], [])
