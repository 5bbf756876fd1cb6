"""Images and registries that are broken: each has its own message, and the other images are published."""

import os
import subprocess
import unittest

from backends import Directory, StandIn, on_every_backend
from failing import FailureTest, add, layer, noise
from harness import Image, digest_of


class BrokenImageTest(FailureTest):
    """Against docker-registry, whose files are tampered with."""

    def push_broken(self, registry, **options):
        """An image of a good and a bad layer, in a repository of its own."""
        self.number = getattr(self, "number", 0) + 1
        name = f"bad/number{self.number}"
        image = registry.push_image(name, "t", [layer(f"good{self.number}"), layer(f"bad{self.number}")], **options)
        return f"{registry.host}/{name}:t", image

    @on_every_backend
    def test_damaged_images_fail_alone(self, backend):
        registry = self.registry()
        broken = {}

        def broken_blob(change, *patterns):
            name, image = self.push_broken(registry)
            path = registry.blob_path(image.layer_digests[1])
            change(path)
            broken[name] = (image, [image.layer_digests[1], *patterns])

        def tamper(path):
            with open(path, "r+b") as blob:
                blob.seek(-9, os.SEEK_END)
                blob.write(b"x")

        broken_blob(tamper, "digest", "push the image again")
        broken_blob(lambda path: os.truncate(path, os.path.getsize(path) - 7), "(ended|bytes)")
        broken_blob(lambda path: os.truncate(path, 0), "(ended|bytes)")
        broken_blob(os.unlink, "404|500")

        def wrong_diff_id(config):
            config["rootfs"]["diff_ids"][1] = digest_of(b"something else")

        name, image = self.push_broken(registry, edit_config=wrong_diff_id)
        broken[name] = (image, [image.layer_digests[1], "diff id", digest_of(b"something else"), image.diff_ids[1]])
        name, image = self.push_broken(registry, edit_config=lambda config: config["rootfs"]["diff_ids"].pop())
        broken[name] = (image, ["1 diff ids? for 2 layers"])
        name, image = self.push_broken(registry)
        os.unlink(registry.blob_path(image.config_digest))
        broken[name] = (image, [image.config_digest])
        broken[f"{registry.host}/bad/number1:missing"] = (None, ["404|not found|unknown"])
        broken[f"{registry.host}/no/repository:t"] = (None, ["404|not found|unknown"])
        good = registry.push_image("good/image", "t", [layer("good1"), layer("fine")])
        names = [*broken, f"{registry.host}/good/image:t"]

        self.convert(backend, *names, status=1)
        self.assertEqual(set(self.errors), set(broken))
        for name, (image, patterns) in broken.items():
            with self.subTest(name):
                self.assert_fails(name, *patterns)
                self.assertRegex(self.errors[name], f"{registry.host}|layer sha256:|config")
                self.assert_nothing_of(backend, name)
                if image:
                    own = [one for one in image.layer_digests if one not in good.layer_digests]
                    self.assertFalse([one for one in own if os.path.exists(
                        os.path.join(backend.view, ".layers", one[7:9], one[7:]))])
        self.assert_published(backend, f"{registry.host}/good/image:t", good)
        backend.assert_sound(self)

    def test_messages_for_people(self):
        """Without --json: the list at the end names the image and the reason, and so does the log."""
        registry = self.registry()
        name, image = self.push_broken(registry)
        os.unlink(registry.blob_path(image.layer_digests[1]))
        result = self.ducc().run("convert", "--repo", self.path("repo"), f"http://{name}", check=1)
        self.assertRegex(result.stdout, f"failed +{name}\n +.*{image.layer_digests[1]}")
        self.assertIn("1 failed", result.stdout)
        self.assertRegex(result.stderr, f"error {name}: ")


class RegistryTest(FailureTest):
    """Against a registry that misbehaves."""

    def test_errors_and_broken_connections(self):
        registry, backend = self.misbehaving(), StandIn(self.scratch)
        images = {}
        for what, rule in {
                "head500": (r"/head500/manifests/t", {"status": 500}),
                "manifest500": (r"/manifest500/manifests/sha256", {"status": 500}),
                "manifest-corrupt": (r"/manifest-corrupt/manifests/sha256", {"corrupt": True}),
                "blob500": (r"/blob500/blobs", {"status": 503}),
                "reset": (r"/reset/blobs", {"reset": True}),
                "cut": (r"/cut/blobs", {"cut_after": 0}),
                "longer": (r"/longer/blobs", {"append": 5}),
                "denied": (r"/denied/", {"status": 403}),
                "good": None}.items():
            images[what] = add(registry, what, "t", Image([layer(what)]))
            if rule:
                registry.behave(rule[0], **rule[1])
        self.convert(backend, *(f"{registry.host}/{what}:t" for what in images), status=1)
        for what, patterns in {"head500": ["500"], "manifest500": ["500"], "manifest-corrupt": ["digest"],
                               "blob500": ["503"], "reset": ["after 4 attempts|closed|reset|Empty reply"],
                               "cut": ["ended|closed|outstanding|transfer"], "longer": ["longer|more|bytes"],
                               "denied": ["403 Forbidden"]}.items():
            with self.subTest(what):
                self.assert_fails(f"{registry.host}/{what}:t", *patterns)
                self.assert_nothing_of(backend, f"{registry.host}/{what}:t", images[what])
        self.assert_published(backend, f"{registry.host}/good:t", images["good"])
        registry.well_behaved()
        self.convert(backend, *(f"{registry.host}/{what}:t" for what in images))
        for what in set(images) - {"good"}:
            self.assert_published(backend, f"{registry.host}/{what}:t", images[what])

    def test_a_connection_cut_in_the_middle_is_resumed(self):
        registry, backend = self.misbehaving(), StandIn(self.scratch)
        image = add(registry, "a/b", "t", Image([noise("noise", 400_000)]))
        registry.behave(image.layer_digests[0], times=3, cut_after=100_000)
        self.convert(backend, f"{registry.host}/a/b:t")
        self.assert_published(backend, f"{registry.host}/a/b:t", image)
        asked = [request.headers.get("range") for request in registry.seen(image.layer_digests[0])]
        self.assertEqual(len(asked), 4)
        starts = [int(one.removeprefix("bytes=").rstrip("-")) for one in asked[1:]]
        self.assertEqual(starts, sorted(starts))
        self.assertGreater(starts[0], 0)

    def test_a_connection_cut_for_ever_is_a_failure_and_the_next_run_goes_on(self):
        registry, backend = self.misbehaving(), Directory(self.scratch)
        ducc = self.ducc()
        image = add(registry, "a/b", "t", Image([noise("noise", 3_000_000)]))
        digest = image.layer_digests[0]
        registry.behave(digest, cut_after=0)
        registry.behave(digest, times=1, cut_after=2_000_000)   # of several rules the last one counts
        self.convert(backend, f"{registry.host}/a/b:t", status=1, ducc=ducc)
        self.assert_fails(f"{registry.host}/a/b:t", digest, "attempts")
        self.assert_nothing_of(backend, f"{registry.host}/a/b:t", image)
        registry.well_behaved()
        registry.forget_requests()
        self.convert(backend, f"{registry.host}/a/b:t", ducc=ducc)
        self.assert_published(backend, f"{registry.host}/a/b:t", image)
        [request] = registry.seen(digest)
        start = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.assertGreater(start, 1_000_000, "what was there already was fetched again")

    @on_every_backend
    def test_manifests_that_are_no_images(self, backend):
        registry = self.misbehaving()
        good = add(registry, "good", "t", Image([layer("good")]))
        schema1 = {"schemaVersion": 1, "name": "schema1", "tag": "t", "architecture": "amd64",
                   "fsLayers": [{"blobSum": digest_of(b"x")}], "history": [{"v1Compatibility": "{}"}]}
        registry.add_manifest("schema1", "t", schema1, "application/vnd.docker.distribution.manifest.v1+prettyjws")
        empty = registry.add_blob(b"{}")

        def descriptor(media_type, digest=empty, size=2):
            return {"mediaType": media_type, "digest": digest, "size": size}

        manifest_type = "application/vnd.oci.image.manifest.v1+json"
        chart = {"schemaVersion": 2, "mediaType": manifest_type, "layers": [descriptor("application/vnd.cncf.helm.chart")],
                 "config": descriptor("application/vnd.cncf.helm.config.v1+json")}
        registry.add_manifest("artifact", "t", chart)
        signature = dict(chart, config=descriptor("application/vnd.oci.empty.v1+json"), artifactType="application/x-signature")
        registry.add_manifest("signature", "t", signature)
        registry.add_manifest("html", "t", "<html>log in first</html>", "text/html")
        registry.add_manifest("broken", "t", '{"schemaVersion": 2, "layers": [')
        registry.add_manifest("huge", "t", {"schemaVersion": 2, "annotations": {"x": "y" * (5 << 20)}})
        arm = add(registry, "arm", "arm", Image([layer("arm")], architecture="arm64"))
        registry.add_manifest("arm", "t", {"schemaVersion": 2, "manifests": [arm.descriptor()]},
                              "application/vnd.oci.image.index.v1+json")
        strange = Image([layer("strange")],
                        edit_manifest=lambda one: one["layers"][0].update(mediaType="application/x-strange"))
        add(registry, "strange", "t", strange)
        wanted = {"schema1": ["(?i)schema 1", "push it again"], "artifact": ["helm"], "signature": ["empty|signature"],
                  "html": ["text/html|JSON"], "broken": ["JSON|expected"], "huge": [r"4194304|4 MiB|longer|more than"],
                  "arm": ["linux/amd64", "linux/arm64"], "strange": ["x-strange"]}
        self.convert(backend, *(f"{registry.host}/{name}:t" for name in [*wanted, "good"]), status=1)
        for name, patterns in wanted.items():
            with self.subTest(name):
                self.assert_fails(f"{registry.host}/{name}:t", *patterns)
                self.assert_nothing_of(backend, f"{registry.host}/{name}:t")
        self.assert_published(backend, f"{registry.host}/good:t", good)
        backend.assert_sound(self)


class SpoolTest(FailureTest):
    def publish_with_small_spool(self, options):
        """An image that does not fit the spool fails, smaller ones before and after it do not."""
        registry, backend = self.registry(), Directory(self.scratch)
        images = {name: registry.push_image(name, "t", [noise(name, size)])
                  for name, size in (("small", 50_000), ("large", 3_000_000), ("other", 60_000))}
        self.convert(backend, *(f"{registry.host}/{name}:t" for name in images), options=options, status=1)
        self.assert_fails(f"{registry.host}/large:t", images["large"].layer_digests[0], "spool")
        self.assert_nothing_of(backend, f"{registry.host}/large:t", images["large"])
        for name in ("small", "other"):
            self.assert_published(backend, f"{registry.host}/{name}:t", images[name])
        return self.errors[f"{registry.host}/large:t"]

    def test_spool_limit(self):
        for limit in ("1M", "3010K", "4000000"):     # while fetching, just not, and while unpacking
            with self.subTest(limit):
                self.assertRegex(self.publish_with_small_spool(["--spool-limit", limit]), "--spool-limit|larger")
                self.setUp()

    def test_spool_on_a_full_disk(self):
        for size in ("1m", "4m"):
            with self.subTest(size):
                os.mkdir(self.path("tmpfs"))
                subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.path("tmpfs")], check=True)
                try:
                    self.assertRegex(self.publish_with_small_spool(["--spool", self.path("tmpfs")]), "full|No space")
                finally:
                    subprocess.run(["umount", self.path("tmpfs")], check=True)
                self.setUp()


if __name__ == "__main__":
    unittest.main()
