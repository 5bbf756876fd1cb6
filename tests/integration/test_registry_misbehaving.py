"""Registries that misbehave, and registries that must be asked little. The program as a whole; details are in unit tests."""

import base64
import email.utils
import hashlib
import json
import os
import random
import sys
import time
import unittest

from harness import IntegrationTest, Image, TarBuilder
from published import assert_public_name, place
from secure import PASSWORD, USER, auth_file, config

sys.path.insert(0, os.environ.get("DUCC_TEST_STANDINS", os.path.join(os.path.dirname(__file__), "../standin")))
from registry_server import MisbehavingRegistry, sha256     # noqa: E402


def layer(text="some text", size=0):
    return TarBuilder().dir("d").file("d/file", text.encode() + random.Random(text).randbytes(size)).bytes()


class StandInTest(IntegrationTest):
    def setUp(self):
        super().setUp()
        self.server = self.enterContext(MisbehavingRegistry())

    def add(self, repository, tag, image, server=None):
        server = server or self.server
        for data in image.blobs.values():
            server.add_blob(data)
        server.add_manifest(repository, tag, image.manifest.decode(), image.types["manifest"])
        return image

    def add_index(self, repository, tag, images, extra=(), nested=False):
        for image in images:
            self.add(repository, None, image)
        index = {"schemaVersion": 2, "mediaType": Image([]).types["index"],
                 "manifests": [image.descriptor() for image in images] + list(extra)}
        if nested:
            data = json.dumps(index)
            self.server.add_manifest(repository, None, data, index["mediaType"])
            index = dict(index, manifests=[{"mediaType": index["mediaType"], "digest": sha256(data.encode()),
                                            "size": len(data)}])
        self.server.add_manifest(repository, tag, json.dumps(index), index["mediaType"])

    def convert(self, *options, image="a/b:1", status=0, ducc=None, repo="repo", **how):
        return (ducc or self.ducc()).run("convert", *options, "--repo", self.path(repo),
                                         f"http://{self.server.host}/{image}", check=status, **how)

    def assert_published(self, image, name="a/b:1"):
        assert_public_name(self, self.path("repo"), f"{self.server.host}/{name}", image.config_digest)

    def login(self):
        return ["--authfile", auth_file(self.path("auth.json"), **{self.server.host: (USER, PASSWORD)})]

    def insecure(self):
        return ["--config", config(self.path("insecure.yaml"), hosts={self.server.host: {"insecure": "http"}})]


class MisbehavingTest(StandInTest):
    def setUp(self):
        super().setUp()
        self.image = self.add("a/b", "1", Image([layer("one", 200_000), layer("two")]))
        self.big = self.image.layer_digests[0]

    def test_things_that_pass(self):
        """Each of these goes wrong once or a few times, and the image is published all the same."""
        soon = email.utils.formatdate(time.time() + 2, usegmt=True)
        for name, where, what in (
                ("429, seconds", "manifests", {"status": 429, "retry_after": "1", "times": 1}),
                ("429, date", "manifests", {"status": 429, "retry_after": soon, "times": 1}),
                ("503", "blobs", {"status": 503, "times": 2}),
                ("reset", "manifests", {"reset": True, "times": 1}),
                ("cut", self.big, {"cut_after": 100_000, "times": 1}),
                ("too short a body", self.big, {"content_length": 300_000, "times": 1}),
                ("no length", self.big, {"no_length": True}),
                ("trickle", "manifests", {"trickle": (50, 0.01)})):
            with self.subTest(name):
                self.server.well_behaved()
                self.server.behave(where, **what)
                self.ducc().run("convert", "--repo", self.path(name.replace(" ", "")),
                                f"http://{self.server.host}/a/b:1", check=True)

    def test_cut_at_random_offsets(self):
        chance = random.Random(7)
        offsets = [chance.randrange(100_000) for _ in range(6)]
        real = self.server._misbehaviour

        def cut(method, path):
            what = real(method, path)
            return dict(what, cut_after=offsets.pop()) if self.big in path and offsets else what
        self.server._misbehaviour = cut
        self.convert()
        self.assert_published(self.image)
        ranges = [request.headers.get("range") for request in self.server.seen(self.big)]
        self.assertGreater(len([one for one in ranges if one]), 3)

    def test_things_that_do_not_pass(self):
        for name, where, what, words in (
                ("wrong digest", self.big, {"corrupt": True}, "expected digest"),
                ("too long", self.big, {"append": 1, "no_length": True}, "longer than the"),
                ("malformed manifest", "manifests", {"body": "{", "method": "GET",
                                                     "drop_headers": ["Docker-Content-Digest"]}, "digest"),
                ("header of 1 MB", "manifests", {"headers": {"X-Long": "x" * 1_000_000}}, "bytes of response headers"),
                ("redirect loop", "manifests", {"redirect": self.server.url}, "more than 10 redirects"),
                ("404", "blobs", {"status": 404}, "404 Not Found"),
                ("pause of an hour", "manifests", {"status": 429, "retry_after": "3600"}, "429")):
            with self.subTest(name):
                self.server.well_behaved()
                self.server.behave(where, **what)
                result = self.convert(status=1)
                self.assertIn(words, result.stdout)
                self.assertFalse(os.path.lexists(self.path("repo", self.server.host)), "something is public")

    def test_a_manifest_of_10_gigabytes(self):
        self.server.behave("manifests", method="GET", endless=10 << 30)
        start = time.monotonic()
        self.assertIn("longer than 4194304 bytes", self.convert(status=1).stdout)
        self.assertLess(self.server.sent, 100 << 20)
        self.assertLess(time.monotonic() - start, 30)

    def test_a_stall_is_noticed_by_speed(self):
        """Nothing for longer than the limit ends a transfer; a slow one that goes on does not."""
        self.server.behave(self.big, stall_after=1000, times=1)
        self.convert(timeout=90)
        self.assert_published(self.image)

    def test_a_registry_that_repeats_secrets(self):
        """What it says is shown, but what it was sent is not."""
        self.server.require_basic(USER, "other")
        real = self.server.answer

        def answer(path, headers, what):
            sent = headers.get("authorization", "")
            pair = base64.b64decode(sent.removeprefix("Basic ")).decode()
            return self.server.error(403, "DENIED", f"no entry with {sent} or {pair}") if sent else real(path, headers, what)
        self.server.answer = answer
        result = self.convert(*self.login(), *self.insecure(), "-v", "--json", status=1, image=f"a/b@{self.image.digest}")
        self.assertIn("no entry with Basic ***", result.stdout)
        self.assertNotIn(PASSWORD, result.stdout + result.stderr)
        self.assertNotIn(base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(), result.stdout + result.stderr)

    def test_no_credential_over_plain_http(self):
        """What a recipe writes is no leave to send a password in clear; the configuration file's mark is."""
        for auth in ("require_basic", "require_token"):
            with self.subTest(auth):
                self.server.no_auth()
                self.convert(*self.login(), repo=auth + "-open")
                getattr(self.server, auth)(user=USER, password=PASSWORD)
                result = self.convert(*self.login(), status=1, repo=auth)
                self.assertIn(f"credentials for {self.server.host} are known, but they are not sent over plain http; use "
                              f'https, or set "insecure: http" for {self.server.host} in the conf', result.stdout)
                self.assertTrue(self.server.requests)
                self.assertFalse([one for one in self.server.requests if "authorization" in one.headers])
                self.convert(*self.login(), *self.insecure(), repo=auth)
                self.assertTrue([one for one in self.server.requests if "authorization" in one.headers])
                self.server.forget_requests()

    def test_401_for_ever(self):
        self.server.require_token(user=USER, password=PASSWORD, reject=True)
        result = self.convert(*self.login(), *self.insecure(), status=1)
        self.assertIn("do not open a/b", result.stdout)
        self.assertLess(len(self.server.requests), 6)

    def test_tokens_that_expire_in_the_middle(self):
        """Every connection breaks, and every token is refused when it is used to go on."""
        self.server.require_token(user=USER, password=PASSWORD)
        real, answers = self.server.answer, []

        def answer(path, headers, what):
            if self.big in path:
                answers.append(path)
                if len(answers) in (2, 4):
                    self.server.expire_tokens()
            return real(path, headers, what)
        self.server.answer = answer
        self.server.behave(self.big, cut_after=60_000, times=4)
        self.convert(*self.login(), *self.insecure())
        self.assert_published(self.image)
        self.assertGreaterEqual(len(self.server.seen("^/token")), 2)

    def test_no_credential_arrives_behind_a_redirect(self):
        for auth in ("require_basic", "require_token"):
            other = self.enterContext(MisbehavingRegistry())
            other.blobs = self.server.blobs
            other.require_basic("nobody", "nothing")
            with self.subTest(auth):
                getattr(self.server, auth)(user=USER, password=PASSWORD)
                self.server.well_behaved()
                self.server.behave("blobs", redirect=other.url)
                result = self.convert(*self.login(), *self.insecure(), status=1, repo=auth)
                self.assertIn("401 Unauthorized", result.stdout)
                self.assertTrue(other.requests)
                self.assertFalse([one for one in other.requests if "authorization" in one.headers])
                other.no_auth()
                self.convert(*self.login(), *self.insecure(), repo=auth)
                self.assertFalse([one for one in other.requests if "authorization" in one.headers])
                self.assertTrue(os.path.isdir(self.path(auth, place("flat", self.image.config_digest))))

    def test_foreign_layers_are_asked_for_nowhere(self):
        """`urls` of a layer lead to hosts that an image's author chose: nothing goes there."""
        other = self.enterContext(MisbehavingRegistry())

        def point_elsewhere(manifest):
            for one in manifest["layers"]:
                one["urls"] = [f"{other.url}/v2/a/b/blobs/{one['digest']}"]
            manifest["layers"][1]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        self.add("a/b", "foreign", Image([layer("one"), layer("two")], edit_manifest=point_elsewhere))
        self.server.require_basic(USER, PASSWORD)
        result = self.convert(*self.login(), *self.insecure(), image="a/b:foreign")
        self.assertIn("non-distributable", result.stdout + result.stderr)
        self.assertEqual(other.requests, [])

    def test_manifest_and_index_are_not_confused(self):
        """An index that announces a manifest of one type, and gets something else under that digest."""
        wrong = dict(self.image.descriptor(), mediaType="application/vnd.docker.distribution.manifest.v2+json")
        index = {"schemaVersion": 2, "mediaType": self.image.types["index"], "manifests": [wrong]}
        self.server.add_manifest("a/b", "wrong", json.dumps(index), index["mediaType"])
        self.assertIn("announces a manifest of type", self.convert(image="a/b:wrong", status=1).stdout)
        self.server.add_manifest("a/b", "short", json.dumps(dict(index, manifests=[
            dict(self.image.descriptor(), size=len(self.image.manifest) - 1)])), index["mediaType"])
        self.assertIn("bytes, but it has", self.convert(image="a/b:short", status=1).stdout)

    def test_quota_at_its_floor(self):
        """At or below the floor nothing more is polled, and it is said until when."""
        for number in range(40):
            self.add("a/b", f"t{number}", self.image)
        self.server.behave("manifests", headers={"RateLimit-Remaining": "5;w=21600"})
        hosts = {self.server.host: {"insecure": "http", "ratelimit_floor": 10, "requests_at_a_time": 1}}
        option = ["--config", config(self.path("c.yaml"), hosts=hosts)]
        result = self.convert(*option, image="a/b:t*", status=1)
        self.assertRegex(result.stdout, r"5 requests left, floor 10\): not polled until 20\d\d-\d\d-\d\dT")
        self.assertEqual(len(self.server.seen("manifests")), 1)

    def limited(self, **limits):
        """Twelve tags under these limits: how many requests were under way at once, and how long it took."""
        for number in range(12):
            self.add("a/b", f"t{number}", self.image)
        under_way, most = [], [0]
        real = self.server.answer

        def answer(path, headers, what):
            under_way.append(path)
            most[0] = max(most[0], len(under_way))
            time.sleep(0.05)
            under_way.remove(path)
            return real(path, headers, what)
        self.server.answer = answer
        hosts = {self.server.host: {"insecure": "http", **limits}}
        start = time.monotonic()
        self.convert("--config", config(self.path("c.yaml"), hosts=hosts), image="a/b:t*")
        return most[0], time.monotonic() - start

    def test_requests_at_a_time(self):
        self.assertEqual(self.limited(requests_at_a_time=2)[0], 2)

    def test_more_requests_at_a_time_without_a_limit(self):
        self.assertGreater(self.limited()[0], 2)

    def test_requests_a_second(self):
        _, seconds = self.limited(requests_per_second=10)
        self.assertGreater(seconds, (len(self.server.requests) - 1) / 10)


class OtherFormsTest(StandInTest):
    def test_ipv6_literal(self):
        server = self.enterContext(MisbehavingRegistry(address="::1"))
        self.assertTrue(server.host.startswith("[::1]:"))
        image = self.add("a/b", "1", Image([layer()]), server)
        self.ducc().run("convert", "--repo", self.path("repo"), f"http://{server.host}/a/b:1", check=True)
        assert_public_name(self, self.path("repo"), f"{server.host}/a/b:1", image.config_digest)

    def sha512_image(self, spoil=b""):
        """Every digest in its manifest is sha512."""
        def edit(manifest):
            for one in [manifest["config"], *manifest["layers"]]:
                data = self.server.blobs[one["digest"]]
                one["digest"] = "sha512:" + hashlib.sha512(data).hexdigest()
                self.server.blobs[one["digest"]] = data + spoil
        plain = Image([layer("one")])
        for data in plain.blobs.values():
            self.server.add_blob(data)
        image = Image([layer("one")], edit_manifest=edit)
        digest = "sha512:" + hashlib.sha512(image.manifest).hexdigest()
        self.server.manifests["a/b", digest] = (image.types["manifest"], image.manifest)
        return digest, json.loads(image.manifest)

    def test_sha512(self):
        digest, manifest = self.sha512_image()
        self.ducc().run("convert", "--repo", self.path("repo"), f"http://{self.server.host}/a/b@{digest}", check=True)
        assert_public_name(self, self.path("repo"), f"{self.server.host}/a/b@{digest}",
                           manifest["config"]["digest"].replace("sha512:", "sha256:"))

    def test_sha512_that_is_wrong(self):
        digest, _ = self.sha512_image(spoil=b" ")
        result = self.ducc().run("convert", "--repo", self.path("repo"), f"http://{self.server.host}/a/b@{digest}", check=1)
        self.assertRegex(result.stdout, "longer than|expected digest sha512:")


class PollTest(StandInTest):
    def poll(self, ducc, image, *options, **expected):
        self.server.forget_requests()
        self.server.connections.clear()
        self.convert(*options, image=image, ducc=ducc)
        counts = {}
        for request in self.server.requests:
            kind = request.method + " " + request.path.split("/")[4]
            counts[kind] = counts.get(kind, 0) + 1
        self.assertEqual(counts, expected)

    def test_a_thousand_unchanged_tags(self):
        """One HEAD a tag, one list a page, no manifest; over no more connections than are allowed."""
        images = [self.add("a/b", f"i{number}", Image([layer(str(number))])) for number in range(10)]
        for number in range(990):
            self.add("a/b", f"t{number}", images[number % 10])
        self.server.page_size = 100
        random.Random(1).shuffle(self.server.tags["a/b"])
        self.server.tags["a/b"][5:5] = self.server.tags["a/b"][:3]      # some come twice
        hosts = {self.server.host: {"insecure": "http", "requests_at_a_time": 6}}
        option = ["--config", config(self.path("c.yaml"), hosts=hosts)]
        ducc = self.ducc()
        self.convert(*option, image="a/b:*", ducc=ducc)
        for _ in range(2):
            self.poll(ducc, "a/b:*", *option, **{"HEAD manifests": 1000, "GET tags": 11})
            self.assertLessEqual(len(self.server.connections), 6)

    def test_registries_without_head_or_digest(self):
        image = self.add("a/b", "1", Image([layer("one")]))
        ducc = self.ducc()
        self.convert(ducc=ducc)
        get, head = {"GET manifests": 1}, {"HEAD manifests": 1}
        for what in ({"method": "HEAD", "status": 405}, {"method": "HEAD", "status": 501},
                     {"drop_headers": ["Docker-Content-Digest"]}):
            with self.subTest(what):
                self.server.well_behaved()
                self.server.behave("manifests", **what)
                self.poll(ducc, "a/b:1", **head, **get)
                request = self.server.seen("manifests", "GET")[0]
                self.assertEqual(request.headers["if-none-match"], f'"{image.digest}"')
        changed = self.add("a/b", "1", Image([layer("changed")]))
        self.poll(ducc, "a/b:1", **head, **get, **{"GET blobs": 2})
        self.assert_published(changed)

    def test_five_thousand_tags_in_pages(self):
        self.add("a/b", "first", Image([layer()]))
        self.server.tags["a/b"] = [f"v{number}" for number in range(5000)]
        for page, links in ((100, "relative"), (1000, "absolute")):
            self.server.page_size, self.server.links = page, links
            self.server.forget_requests()
            result = self.ducc().run("tags", f"http://{self.server.host}/a/b:*", state=False, check=True)
            self.assertEqual(len(result.stdout.splitlines()), 5000)
            self.assertEqual(len(self.server.requests), 5000 / page)


class PlatformTest(StandInTest):
    def setUp(self):
        super().setUp()
        self.images = {arch: Image([layer(arch)], architecture=arch, variant=variant)
                       for arch, variant in (("amd64", None), ("arm64", "v8"), ("arm", "v7"))}
        self.attestation = {**Image([layer("not an image")]).descriptor(),
                            "platform": {"os": "unknown", "architecture": "unknown"}}
        self.add_index("a/b", "1", self.images.values(), extra=[self.attestation])

    def link(self, *path):
        return os.readlink(self.path("repo", *path))

    def flat(self, arch, depth):
        return "../" * depth + place("flat", self.images[arch].config_digest)

    def assert_multiarch(self, *archs):
        for arch in archs:
            name = f".multiarch/{arch}/{self.server.host}/a/b:1"
            self.assertEqual(self.link(name), self.flat(arch.split(":")[0], 4))

    def test_several_platforms(self):
        options = ["--platform", "linux/arm64", "--platform", "linux/amd64", "--platform", "linux/arm/v7"]
        result = self.convert(*options)
        self.assert_multiarch("amd64", "arm64", "arm:v7")
        self.assert_published(self.images["amd64"])     # a directory resolves no variables
        self.assertEqual(self.link(".multiarch/x86_64"), "amd64")
        self.assertEqual(self.link(".multiarch/aarch64"), "arm64")
        self.assertIn("a/b:1 (arm64)", result.stdout)
        self.server.forget_requests()
        self.assertIn("nothing to publish", self.convert(*options).stdout)
        self.assertEqual([request.method for request in self.server.requests], ["HEAD"])

    def test_the_variant_link_of_a_repository(self):
        repository = self.repository()
        run = ["convert", "--platform", "linux/amd64", "--platform", "linux/arm64", "--repo", repository.name,
               f"http://{self.server.host}/a/b:1"]
        ducc = self.ducc(repository)
        ducc.run(*run, check=True)
        name = f"{self.server.host}/a/b:1"
        link = os.readlink(os.path.join(repository.client, name))
        self.assertEqual(link, f"../../.multiarch/$(CVMFS_ARCH:-amd64)/{name}")
        top = os.path.dirname(os.path.join(repository.client, name))
        self.assertTrue(os.path.isdir(os.path.join(top, link.replace("$(CVMFS_ARCH:-amd64)", "x86_64"))))
        self.assertEqual(repository.damage(), [])
        before = repository.revision()
        self.assertIn("nothing to publish", ducc.run(*run, check=True).stdout)
        self.assertEqual(repository.revision(), before)

    def test_a_recipe_names_platforms(self):
        recipe = self.path("r.yaml")
        with open(recipe, "w", encoding="utf-8") as out:
            out.write(f"version: 1\ncvmfs_repo: {self.path('repo')}\nplatforms: [linux/amd64, linux/arm64/v8]\n"
                      f"input: ['http://{self.server.host}/a/b:1']\n")
        self.ducc().run("convert", recipe, check=True)
        self.assert_multiarch("amd64", "arm64")

    def test_one_of_the_platforms_is_a_plain_link(self):
        result = self.convert("--platform", "linux/arm64", "--platform", "linux/s390x")
        self.assert_published(self.images["arm64"])
        self.assertFalse(os.path.exists(self.path("repo", ".multiarch")))
        self.assertIn("no image for platform linux/s390x; there is:", result.stdout + result.stderr)

    def test_none_of_the_platforms(self):
        result = self.convert("--platform", "linux/s390x", "--platform", "linux/riscv64", status=1)
        self.assertIn("there is: linux/amd64, linux/arm64/v8, linux/arm/v7", result.stdout)

    def test_attestations_are_said(self):
        result = self.convert("-v")
        self.assertIn("1 attestations in the index are no images", result.stdout + result.stderr)

    def test_index_with_one_manifest(self):
        self.add_index("a/b", "1", [self.images["arm64"]])
        self.assertIn("no image for platform linux/amd64", self.convert(status=1).stdout)
        self.convert("--platform", "linux/arm64")
        self.assert_published(self.images["arm64"])

    def test_nested_indexes(self):
        self.add_index("a/b", "1", self.images.values(), nested=True)
        options = ["--platform", "linux/amd64", "--platform", "linux/arm64"]
        self.convert(*options)
        self.assert_multiarch("amd64", "arm64")
        self.server.forget_requests()
        self.assertIn("nothing to publish", self.convert(*options).stdout)
        self.assertEqual([request.method for request in self.server.requests], ["HEAD"])

    def test_another_architecture_without_an_index(self):
        self.add("a/b", "1", self.images["arm64"])
        result = self.convert()
        self.assertIn("the image is for linux/arm64", result.stdout + result.stderr)
        self.assert_published(self.images["arm64"])


if __name__ == "__main__":
    unittest.main()
