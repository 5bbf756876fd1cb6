"""`ducc plan`: what convert would do, and does then."""

import hashlib
import json
import os
import stat
import time
import unittest

import recipes     # as a module: its class is no test of this file
from backends import StandIn
from harness import Image
from test_registry_misbehaving import layer

RECIPE = """version: 2
repository: DIR/repo
limits: {image_size: 400K}
images:
"""


def everything_below(folder):
    """Each file's path, with its time, mode, and content."""
    found = {}
    for top, _, names in os.walk(folder):
        for name in names + [""]:
            path = os.path.join(top, name)
            status = os.lstat(path)
            data = b""
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    data = file.read()
            found[path] = (status.st_mtime_ns, status.st_mode, hashlib.sha256(data).hexdigest())
    return found


class PlanTest(recipes.RecipeTest):
    def plan(self, text, *options, status=0):
        """The one repository of the plan, its images by their names without the registry, and what is wrong."""
        path = self.recipe(text)
        before = everything_below(self.scratch)
        said = self.program.run("plan", "--json", *options, path, check=status, state=False)
        self.assertEqual(before, everything_below(self.scratch))
        said = json.loads(said.stdout)
        [repository] = said["repositories"]
        images = {item["image"].replace(f"{self.server.host}/", ""): item for item in repository["images"]}
        self.assertEqual(len(images), len(repository["images"]))
        return repository, images, said["wrong"]

    def fates(self, images):
        return {name: item["fate"] for name, item in images.items()}

    def test_every_fate(self):
        shared, own = layer("shared", 100_000), layer("own", 50_000)
        self.add("a/b", "stays", Image([shared]))
        self.add("a/b", "moves", Image([shared, layer("old")]))
        first = RECIPE + "- HOST/a/b:stays\n- HOST/a/b:moves\n"
        self.run_recipe(first)
        moved, new = Image([shared, own]), Image([shared, own, layer("new", 25_000)])
        old_digest = self.server.manifests["a/b", "moves"][1]
        self.add("a/b", "moves", moved)
        for tag in ("new", "newest"):
            self.add("a/b", tag, new)
        large = self.add("a/b", "large", Image([layer("large", 500_000)]))
        text = first + ("- HOST/a/b:new*\n- HOST/a/b:large\n- HOST/a/b:missing\n"
                        "- {image: HOST/a/b:stop, suspend: yes}\n- {image: HOST/a/b, glob: 'x['}\n")
        repository, images, wrong = self.plan(text, status=1)
        self.assertEqual({"a/b:stays": "unchanged", "a/b:moves": "moved", "a/b:new": "new", "a/b:newest": "new",
                          "a/b:large": "refused", "a/b:missing": "refused", "a/b:stop": "suspended"}, self.fates(images))
        self.assertEqual({"new": 2, "moved": 1, "incomplete": 0, "refused": 2, "suspended": 1, "unchanged": 1},
                         repository["count"])
        self.assertIn("limits: image_size", images["a/b:large"]["error"]["message"])
        self.assertEqual("limit", images["a/b:large"]["error"]["kind"])
        self.assertEqual("not-found", images["a/b:missing"]["error"]["kind"])
        self.assertIn(":11:", wrong[0]["entry"])
        # Sizes: what the registry's manifests say, less the layer that is published.
        sizes = [entry["size"] for entry in json.loads(new.manifest)["layers"]]
        self.assertEqual((sum(sizes), 3, sum(sizes[1:]), 2), self.sizes(images["a/b:newest"]))
        self.assertEqual((sum(sizes[:2]), 2, sizes[1], 1), self.sizes(images["a/b:moves"]))
        self.assertEqual((sizes[0], 1, 0, 0), self.sizes(images["a/b:stays"]))
        self.assertEqual((sum(sizes), 3, sum(sizes[1:]), 2), self.sizes(repository), "each layer once")
        self.assertEqual("sha256:" + hashlib.sha256(old_digest).hexdigest(), images["a/b:moves"]["digest_before"])
        self.assertEqual(moved.digest, images["a/b:moves"]["digest"])
        # As it was said, it happens.
        self.server.forget_requests()
        self.run_recipe(text, status=1)
        fetched = {request.path.rsplit("/", 1)[1] for request in self.server.seen("/blobs/")}
        self.assertEqual(set(new.layer_digests[1:]), fetched & {*new.layer_digests, *large.layer_digests})
        self.assertEqual(["moves", "new", "newest", "stays"], self.tags("a/b"))

    def sizes(self, item):
        return item["bytes"], item["layers"], item["bytes_to_fetch"], item["layers_to_fetch"]

    def test_no_layer_is_asked_for_and_nothing_written(self):
        self.image("a/b", "1")
        _, images, _ = self.plan(RECIPE + "- HOST/a/b:1\n")
        self.assertEqual("new", images["a/b:1"]["fate"])
        layers = self.server.seen("/blobs/")
        self.assertEqual(1, len(layers), "the configuration alone")
        self.assertFalse(os.path.exists(self.path("repo")))

    def test_another_policy_and_platforms(self):
        images = [Image([layer(arch)], architecture=arch) for arch in ("amd64", "arm64")]
        self.add_index("a/b", "1", images)
        text = RECIPE + "- HOST/a/b:1\n"
        self.run_recipe(text)
        _, found, _ = self.plan(text, "--chains", "all", "--podman", "merged")
        self.assertEqual({"a/b:1": "incomplete"}, self.fates(found))
        self.assertEqual((1, 0), (found["a/b:1"]["layers"], found["a/b:1"]["layers_to_fetch"]))
        _, found, _ = self.plan(text, "--platform", "linux/amd64", "--platform", "linux/arm64")
        self.assertEqual({"a/b:1 (amd64)", "a/b:1 (arm64)"}, set(found))
        self.assertEqual(["linux/amd64", "linux/arm64"], sorted(item["platform"] for item in found.values()))
        self.assertEqual((0, 1), tuple(found[f"a/b:1 ({arch})"]["layers_to_fetch"] for arch in ("amd64", "arm64")))

    def test_while_another_process_has_the_repository(self):
        image = self.image("a/b", "1")
        self.server.behave(image.layer_digests[0], stall_after=10)
        path = self.recipe(RECIPE + "- HOST/a/b:1\n")
        with open(self.path("log"), "wb") as log:
            process = self.program.start("convert", path, stdout=log, stderr=log)
        try:
            end = time.monotonic() + 30
            while not self.server.seen(image.layer_digests[0]) and time.monotonic() < end:
                time.sleep(0.02)
            self.program.run("convert", path, check=3)
            said = self.program.run("plan", path, state=False, check=True).stdout
        finally:
            process.kill()
            process.wait()
        self.assertIn("1 new, 0 moved, 0 incomplete, 0 refused, 0 suspended, 0 unchanged; ", said)

    def test_a_cernvm_fs_repository_with_a_transaction_open(self):
        repository = StandIn(self.scratch)
        self.program = self.ducc(repository)
        image = self.image("a/b", "1")
        text = f"version: 2\nrepository: {repository.argument}\nimages: [HOST/a/b:1]\n"
        _, found, _ = self.plan(text)
        self.assertEqual(("new", 1), (found["a/b:1"]["fate"], found["a/b:1"]["layers_to_fetch"]))
        self.run_recipe(text)
        self.add("a/b", "1", Image([layer("1a/b"), layer("more")]))
        self.assertEqual(0, repository.call("transaction", repository.name).returncode)
        self.addCleanup(repository.call, "abort", "-f", repository.name)
        revision = repository.revisions()
        _, found, _ = self.plan(text)
        self.assertEqual(("moved", 2, 1), tuple(found["a/b:1"][key] for key in ("fate", "layers", "layers_to_fetch")))
        self.assertEqual(image.digest, found["a/b:1"]["digest_before"])
        self.assertEqual(revision, repository.revisions())

    def test_two_repositories_and_text(self):
        self.image("a/b", "1")
        said = self.program.run("plan", self.recipe(
            "version: 2\nlists:\n  - {repository: DIR/one, images: [HOST/a/b:1]}\n"
            "  - {repository: DIR/two, prefix: vo, images: [HOST/a/b:1, HOST/a/b:2]}\n"), check=1, state=False).stdout
        self.assertRegex(said, rf"in .*/one\nnew +{self.server.host}/a/b:1  \(.* to fetch of .*: 1 of 1 layers\)\n")
        self.assertRegex(said, rf"in .*/two\nnew +vo/{self.server.host}/a/b:1 .*\nrefused +vo/{self.server.host}/a/b:2\n")

    def test_what_cannot_be_planned(self):
        for text, status, message in (
                ("version: 2\nimages: [HOST/a/b:1]\n", 2, "repository"),
                ("version: 2\nrepository: not.mounted.here\nimages: [HOST/a/b:1]\n", 3, "is it mounted?")):
            with self.subTest(text):
                self.assertIn(message, self.program.run("plan", self.recipe(text), check=status, state=False).stderr)


if __name__ == "__main__":
    unittest.main()
