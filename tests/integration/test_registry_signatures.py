"""Signature policy: what `cosign sign --key` would have pushed, made with the openssl program."""

import base64
import json
import os
import unittest

from harness import Image
from published import place
from secure import config, openssl
from test_registry_misbehaving import StandInTest, layer
from registry_server import sha256

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"
KEYS = {
    "ecdsa": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "ed25519": ["genpkey", "-algorithm", "ED25519"],
}


class SignatureTest(StandInTest):
    def setUp(self):
        super().setUp()
        self.image = self.add("a/b", "1", Image([layer("one")]))

    def key(self, kind, name="key"):
        """(private, public) paths."""
        private, public = self.path(f"{name}.pem"), self.path(f"{name}.pub")
        if not os.path.exists(private):
            openssl(*KEYS[kind], "-out", private)
            openssl("pkey", "-in", private, "-pubout", "-out", public)
        return private, public

    def signature(self, kind, private, payload):
        if kind == "ed25519":
            message = self.path("message")
            with open(message, "wb") as out:
                out.write(payload)
            return openssl("pkeyutl", "-sign", "-rawin", "-inkey", private, "-in", message)
        return openssl("dgst", "-sha256", "-sign", private, input=payload)

    def manifest(self, kind, private, digest, claim=None, spoil=b"", payload_kind="cosign container image signature"):
        """A signature's manifest, its payload stored."""
        payload = json.dumps({"critical": {"identity": {"docker-reference": "q.io/a"},
                                           "image": {"docker-manifest-digest": claim or digest},
                                           "type": payload_kind}, "optional": None}).encode()
        signed = self.signature(kind, private, payload + spoil)
        one = {"mediaType": PAYLOAD, "digest": self.server.add_blob(payload), "size": len(payload),
               "annotations": {ANNOTATION: base64.b64encode(signed).decode()}}
        empty = b"{}"
        return {"schemaVersion": 2, "mediaType": Image([]).types["manifest"],
                "config": {"mediaType": Image([]).types["config"], "digest": self.server.add_blob(empty), "size": 2},
                "layers": [one]}

    def sign(self, kind, private, digest, **how):
        """Under the tag, as cosign does."""
        self.server.add_manifest("a/b", digest.replace(":", "-") + ".sig", self.manifest(kind, private, digest, **how))

    def rule(self, *publics, match=None):
        return ["--config", config(self.path("c.yaml"), signatures=[
            {"name": "ours only", "match": match or self.server.host, "keys": list(publics)}])]

    def assert_refused(self, words, *options, repo="repo"):
        result = self.convert(*options, status=1, repo=repo)
        self.assertIn('the rule "ours only"', result.stdout)
        self.assertIn(words, result.stdout)
        self.assertFalse(os.path.lexists(self.path(repo, self.server.host)), "it is public")

    def test_signed_by_each_kind_of_key(self):
        for kind in KEYS:
            with self.subTest(kind):
                private, public = self.key(kind, kind)
                self.assert_refused("wants a signature: ", *self.rule(public), repo=kind)
                self.sign(kind, private, self.image.digest)
                self.convert(*self.rule(public), repo=kind)
                self.assertTrue(os.path.isdir(self.path(kind, place("flat", self.image.config_digest))))

    def test_not_signed(self):
        _, public = self.key("ecdsa")
        self.assert_refused("it is not signed", *self.rule(public))

    def test_signed_wrongly(self):
        private, public = self.key("ecdsa")
        other, _ = self.key("ecdsa", "other")
        for words, key, how in (("not by a key of the rule", other, {}),
                                ("not by a key of the rule", private, {"spoil": b"x"}),
                                ("about another image", private, {"claim": sha256(b"another")}),
                                ("of another kind", private, {"payload_kind": "atomic container signature"})):
            with self.subTest(words):
                self.sign("ecdsa", key, self.image.digest, **how)
                self.assert_refused(words, *self.rule(public))

    def test_a_payload_changed_behind_the_signature(self):
        private, public = self.key("ecdsa")
        self.sign("ecdsa", private, self.image.digest, claim=sha256(b"another"))
        manifest = self.manifest("ecdsa", private, self.image.digest)
        old = json.loads(self.server.manifests["a/b", self.image.digest.replace(":", "-") + ".sig"][1])
        manifest["layers"][0]["annotations"] = old["layers"][0]["annotations"]
        self.server.add_manifest("a/b", self.image.digest.replace(":", "-") + ".sig", manifest)
        self.assert_refused("not by a key of the rule", *self.rule(public))

    def test_one_of_several_keys(self):
        private, public = self.key("ed25519")
        _, other = self.key("rsa", "other")
        self.sign("ed25519", private, self.image.digest)
        self.convert(*self.rule(other, public))
        self.assert_published(self.image)

    def test_as_a_referrer(self):
        private, public = self.key("ecdsa")
        manifest = self.manifest("ecdsa", private, self.image.digest)
        digest = self.server.add_manifest("a/b", None, manifest)
        data = self.server.manifests["a/b", digest][1]
        entry = {"mediaType": manifest["mediaType"], "digest": digest, "size": len(data),
                 "artifactType": "application/vnd.dev.cosign.artifact.sig.v1+json"}
        self.server.referrers = {("a/b", self.image.digest): [dict(entry, artifactType="text/x"), entry]}
        self.convert(*self.rule(public))
        self.assert_published(self.image)
        self.server.referrers = None        # a registry without the list: an index under a tag
        self.assert_refused("it is not signed", *self.rule(public), repo="second")
        index = {"schemaVersion": 2, "mediaType": Image([]).types["index"], "manifests": [entry]}
        self.server.add_manifest("a/b", self.image.digest.replace(":", "-"), json.dumps(index), index["mediaType"])
        self.convert(*self.rule(public), repo="second")

    def test_the_index_is_what_is_signed(self):
        private, public = self.key("ecdsa")
        images = [Image([layer(arch)], architecture=arch) for arch in ("amd64", "arm64")]
        self.add_index("a/b", "1", images)
        self.sign("ecdsa", private, sha256(self.server.manifests["a/b", "1"][1]))
        self.convert(*self.rule(public), "--platform", "linux/amd64", "--platform", "linux/arm64")
        self.assert_published(images[0])

    def test_a_rule_for_one_image_leaves_others_alone(self):
        _, public = self.key("ecdsa")
        self.add("other/c", "1", Image([layer("two")]))
        options = self.rule(public, match=f"{self.server.host}/a/b:1")
        self.convert(*options, image="other/c:1")
        self.assertIn("it is not signed", self.convert(*options, status=1).stdout)
        self.add("a/b", "2", self.image)
        self.convert(*options, image="a/b:2")
        result = self.convert(*options, image="a/b:*", status=1, repo="both")
        self.assertIn("1 published", result.stdout)
        self.assertFalse(os.path.lexists(self.path("both", self.server.host, "a/b:1")))

    def test_the_registry_cannot_say(self):
        """A signature that cannot be looked for is no missing one, and no present one either."""
        _, public = self.key("ecdsa")
        self.server.behave(r"\.sig$", status=500)
        result = self.convert(*self.rule(public), status=1)
        self.assertIn("500", result.stdout)
        self.assertFalse(os.path.lexists(self.path("repo", self.server.host)))


if __name__ == "__main__":
    unittest.main()
