"""Registries as sites have them, with Debian's docker-registry: TLS, passwords, tokens, mirrors, certificates, tags."""

import base64
import json
import os
import re
import subprocess
import time
import unittest

from harness import IntegrationTest, Image, Registry, TarBuilder
from published import assert_public_name
from secure import (PASSWORD, USER, Authority, Certificates, SecureRegistry, TokenService, TunnelProxy, auth_file,
                    config, htpasswd_auth, write)


def layer(text="some text"):
    return TarBuilder().dir("d").file("d/file", text.encode()).bytes()


class AccessTest(IntegrationTest):
    def setUp(self):
        super().setUp()
        self.source = self.registry()
        self.image = self.source.push_image("team/app", "1", [layer("one"), layer("two")])
        self.authority = Authority(self.path("ca"))
        self.certificates = Certificates(self.path("certs.d"))

    def secure(self, **options):
        registry = self.enterContext(SecureRegistry(self.source, self.authority, **options))
        self.certificates.trust(registry.host, self.authority)
        return registry

    def site(self, **registries):
        """The option that names a configuration with our certificates and these settings."""
        registries.setdefault("certificates", [self.certificates.directory])
        return ["--config", config(self.path("ducc.yaml"), **registries)]

    def convert(self, registry, *options, status=0, image="team/app:1", env=None, ducc=None):
        return (ducc or self.ducc()).run("convert", *options, "--repo", self.path("repo"), f"{registry.host}/{image}",
                                         check=status, env=env)

    def assert_published(self, registry):
        assert_public_name(self, self.path("repo"), f"{registry.host}/team/app:1", self.image.config_digest)


class TransportTest(AccessTest):
    def test_private_authority(self):
        registry = self.secure()
        refused = self.convert(registry, status=1)
        self.assertRegex(refused.stdout + refused.stderr, "(?i)certificate")
        self.convert(registry, *self.site())
        self.assert_published(registry)

    def test_unverified_tls_only_if_marked(self):
        registry = self.secure()
        hosts = {registry.host: {"insecure": "unverified-tls"}}
        self.convert(registry, *self.site(certificates=[self.path("none")]), status=1)
        self.convert(registry, *self.site(certificates=[self.path("none")], hosts=hosts))
        self.assert_published(registry)

    def test_http_only_if_marked(self):
        refused = self.convert(self.source, status=1)
        self.assertIn("https://", refused.stdout)
        self.assertEqual(self.source.requests("GET", "manifests"), [])
        self.convert(self.source, *self.site(hosts={self.source.host: {"insecure": "http"}}))
        self.assert_published(self.source)

    def test_client_certificate(self):
        registry = self.secure(client_authority=self.authority)
        self.convert(registry, *self.site(), status=1)
        self.certificates.trust(registry.host, self.authority, self.authority.issue("client"))
        self.convert(registry, *self.site())
        self.assert_published(registry)

    def test_client_certificate_without_key(self):
        registry = self.secure()
        path = write(os.path.join(self.certificates.directory, registry.host, "client.cert"), "x")
        result = self.convert(registry, *self.site(), status=1)
        self.assertIn(f"{path}: the client certificate has no readable client.key", result.stdout)

    def test_http2_is_used_where_it_is_offered(self):
        registry = self.secure()
        self.convert(registry, *self.site())
        versions = re.findall(r'"\w+ /v2/team/\S* (HTTP/[\d.]+)"', registry._log_text())
        self.assertEqual(set(versions), {"HTTP/2.0"})

    def test_proxy_and_its_exceptions(self):
        registry = self.secure(auth=htpasswd_auth(self.scratch))
        login = auth_file(self.path("auth.json"), **{registry.host: (USER, PASSWORD)})
        with TunnelProxy() as proxy:
            variables = {"https_proxy": f"http://{proxy.host}", "no_proxy": None}
            self.convert(registry, *self.site(), "--authfile", login, env=variables)
            self.assert_published(registry)
            self.assertEqual(set(proxy.tunnels), {registry.host})
            self.assertFalse([head for head in proxy.heads if b"authorization" in head.lower()])
            proxy.tunnels.clear()
            self.convert(registry, *self.site(), "--authfile", login, env={**variables, "no_proxy": "127.0.0.1"})
            self.assertEqual(proxy.tunnels, [])


class CredentialsTest(AccessTest):
    def test_password_file(self):
        registry = self.secure(auth=htpasswd_auth(self.scratch))
        refused = self.convert(registry, *self.site(), status=1)
        self.assertIn("wants a user and a password, and none are known", refused.stdout)
        login = auth_file(self.path("auth.json"), **{registry.host: (USER, PASSWORD)})
        self.convert(registry, *self.site(), "--authfile", login)
        self.assert_published(registry)

    def test_wrong_password(self):
        registry = self.secure(auth=htpasswd_auth(self.scratch))
        login = auth_file(self.path("auth.json"), **{registry.host: (USER, "Wrong-Pa55")})
        result = self.convert(registry, *self.site(), "--authfile", login, status=1)
        self.assertIn("credentials", result.stdout)
        self.assertNotIn("Wrong-Pa55", result.stdout + result.stderr)

    def test_places_where_logins_are_kept(self):
        """What podman login and docker login leave is found, each place by itself."""
        registry = self.secure(auth=htpasswd_auth(self.scratch))
        entry = {registry.host: (USER, PASSWORD)}
        named = auth_file(self.path("named.json"), **entry)
        auth_file(self.path("run/containers/auth.json"), **entry)
        auth_file(self.path("home/.docker/config.json"), **entry)
        auth_file(self.path("systemd/ducc.auth.json"), **entry)
        write(self.path("systemd/DUCC_X_PASS"), PASSWORD + "\n")
        variables = {"DUCC_AUTH_REGISTRIES": "X", "DUCC_X_IDENT": registry.host, "DUCC_X_USER": USER}
        nothing = dict.fromkeys(("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "DOCKER_CONFIG", "CREDENTIALS_DIRECTORY"))
        nothing["HOME"] = self.path("empty")
        for env in ({**variables, "DUCC_X_PASS": PASSWORD}, {"REGISTRY_AUTH_FILE": named},
                    {"XDG_RUNTIME_DIR": self.path("run")}, {"HOME": self.path("home")},
                    {"CREDENTIALS_DIRECTORY": self.path("systemd")},
                    {**variables, "CREDENTIALS_DIRECTORY": self.path("systemd")}):
            with self.subTest(env):
                self.ducc().run("download-manifest", *self.site(), f"{registry.host}/team/app:1", state=False,
                                env={**nothing, **env}, check=True)
        self.ducc().run("download-manifest", *self.site(), f"{registry.host}/team/app:1", state=False, env=nothing,
                        check=1)

    def test_podman_login_is_read(self):
        """The file that the real podman login writes."""
        registry = self.secure(auth=htpasswd_auth(self.scratch))
        login = self.path("podman.json")
        subprocess.run(["podman", "login", "--authfile", login, "--cert-dir",
                        os.path.join(self.certificates.directory, registry.host), "-u", USER, "--password-stdin",
                        registry.host], input=PASSWORD.encode(), check=True, capture_output=True)
        self.convert(registry, *self.site(), "--authfile", login)
        self.assert_published(registry)

    def test_credential_helper(self):
        registry = self.secure(auth=htpasswd_auth(self.scratch))
        answer = json.dumps({"ServerURL": registry.host, "Username": USER, "Secret": PASSWORD})
        helper = write(self.path("bin/docker-credential-ours"), f"#!/bin/sh\ncat > /dev/null\necho '{answer}'\n")
        os.chmod(helper, 0o755)
        login = write(self.path("helper.json"), json.dumps({"credHelpers": {registry.host: "ours"}}))
        path = self.path("bin") + ":" + os.environ["PATH"]
        self.convert(registry, *self.site(), "--authfile", login, env={"PATH": path})
        self.assert_published(registry)

    def test_file_that_others_can_read(self):
        registry = self.secure(auth=htpasswd_auth(self.scratch))
        login = auth_file(self.path("auth.json"), mode=0o644, **{registry.host: (USER, PASSWORD)})
        result = self.convert(registry, *self.site(), "--authfile", login)
        self.assertIn(f"{login} holds credentials and can be read by others", result.stderr)

    def test_secrets_never_appear(self):
        """At no level of the log, in no form of output, in no process list, whether it works or fails."""
        registry = self.secure(auth=htpasswd_auth(self.scratch))
        variables = {"DUCC_AUTH_REGISTRIES": "X", "DUCC_X_IDENT": registry.host, "DUCC_X_USER": USER}
        said, looks = "", 0
        for password, status in ((PASSWORD, 0), (PASSWORD + "-Wr0ng", 1)):
            for options in (["-v"], ["-v", "--json"], ["-q"], ["--dry-run", "-v"]):
                env = {**variables, "DUCC_X_PASS": password}
                ducc = self.ducc()
                process = ducc.start("convert", *self.site(), *options, "--repo", self.path(f"repo{status}"),
                                     f"{registry.host}/team/app:1", env=env, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE)
                before = len(registry.requests())
                while process.poll() is None:
                    # The process starts with its environment, and wipes the password before it asks anybody
                    # anything; what is looked for here is that it does not stay.
                    begun = len(registry.requests()) > before
                    listed = subprocess.run(["ps", "auxwwe"], capture_output=True, check=True).stdout.decode()
                    if begun:
                        looks += 1
                        self.assertNotIn(password, listed)
                    time.sleep(0.01)
                said += "".join(text.decode() for text in process.communicate())
                self.assertEqual(process.returncode, status)
        self.assertGreater(looks, 0, "no run lasted long enough to be looked at")
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        for secret in (PASSWORD, pair, pair.rstrip("=")[:-1]):
            self.assertNotIn(secret, said)
        for top, _, files in os.walk(self.scratch):
            for name in files:
                if "repo" in top or "state" in top:
                    with open(os.path.join(top, name), "rb") as source:
                        self.assertNotIn(PASSWORD.encode(), source.read())


class TokenTest(AccessTest):
    def start(self, **options):
        service = self.enterContext(TokenService(self.authority, **options))
        self.certificates.trust(service.host, self.authority)
        return service, self.secure(auth=service.auth())

    def test_short_lived_tokens(self):
        """Docker's own verifier of tokens lets us in, and a token that is about to expire is replaced."""
        service, registry = self.start(life=2)
        login = auth_file(self.path("auth.json"), **{registry.host: (USER, PASSWORD)})
        hosts = {registry.host: {"requests_per_second": 2}}     # five requests: longer than a token lives
        result = self.convert(registry, *self.site(hosts=hosts), "-v", "--authfile", login)
        self.assert_published(registry)
        self.assertGreater(len(service.given), 1)
        self.assertFalse([token for token in service.given if token in result.stdout + result.stderr])
        refused = self.convert(registry, *self.site(), "--convert-again", status=1)
        self.assertIn("refuses anonymous access", refused.stdout)

    def test_identity_token_is_posted(self):
        service, registry = self.start(identity_token="identity/+=Secret")
        entry = {"auth": base64.b64encode(b"<token>:").decode(), "identitytoken": service.identity_token}
        login = auth_file(self.path("auth.json"), **{registry.host: entry})
        result = self.convert(registry, *self.site(), "-v", "--authfile", login)
        self.assert_published(registry)
        method, parameters, authorization = service.requests[0]
        self.assertEqual((method, authorization), ("POST", None))
        self.assertEqual({name: value[0] for name, value in parameters.items()},
                         {"grant_type": "refresh_token", "refresh_token": service.identity_token, "client_id": "ducc",
                          "service": service.SERVICE, "scope": "repository:team/app:pull"})
        self.assertNotIn(service.identity_token, result.stdout + result.stderr)


class MirrorTest(AccessTest):
    def setUp(self):
        super().setUp()
        self.cache = self.enterContext(Registry(f"proxy:\n  remoteurl: http://{self.source.host}\n"))
        self.source.forget_requests()

    def hosts(self, *mirrors):
        return self.site(hosts={self.source.host: {"insecure": "http", "mirrors": list(mirrors)}})

    def test_pull_through_cache(self):
        self.convert(self.source, *self.hosts(f"http://{self.cache.host}"))
        self.assert_published(self.source)
        self.assertEqual(len(self.cache.requests("GET", "blobs")), 3)
        with open(os.path.join(self.source.directory, "log"), encoding="utf-8") as log:
            self.assertNotIn("ducc/", log.read(), "asked the origin, too")

    def test_the_go_tools_variable(self):
        variables = {"DUCC_AUTH_REGISTRIES": "X", "DUCC_X_IDENT": self.source.host, "DUCC_X_PROXY": self.cache.host}
        self.ducc().run("convert", "--repo", self.path("repo"), f"http://{self.source.host}/team/app:1", env=variables,
                        check=True)
        self.assert_published(self.source)
        self.assertEqual(len(self.cache.requests("GET", "blobs")), 3)

    def test_the_origin_when_the_mirror_is_down(self):
        self.cache.stop()
        result = self.convert(self.source, *self.hosts(f"http://{self.cache.host}"), "-v")
        self.assert_published(self.source)
        self.assertIn("asking the next place", result.stderr)
        self.assertEqual(result.stderr.count("asking the next place"), 1, "a mirror that is down is left alone")

    def test_the_origin_when_the_mirror_has_not_got_it(self):
        empty = self.registry()
        self.convert(self.source, *self.hosts(f"http://{empty.host}"))
        self.assert_published(self.source)

    def test_a_mirror_gets_no_credentials_of_the_origin(self):
        secure = self.secure(auth=htpasswd_auth(self.scratch))
        mirror = self.secure(auth=htpasswd_auth(self.scratch))
        login = auth_file(self.path("auth.json"), **{secure.host: (USER, PASSWORD)})
        options = self.site(hosts={secure.host: {"mirrors": [mirror.host]}})
        result = self.convert(secure, *options, "-v", "--authfile", login)
        self.assert_published(secure)
        self.assertIn(f"mirror {mirror.host}: registry {mirror.host} wants a user and a password", result.stderr)


class PolicyTest(AccessTest):
    def test_blocked_before_any_request(self):
        self.source.forget_requests()
        other = self.registry()
        for rules, words in (({"block": [{"name": "no team", "match": f"{self.source.host}/team"}]},
                              'blocked by the rule "no team"'),
                             ({"allow": [{"name": "only there", "match": other.host}]}, 'its first is "only there"')):
            for image in ("team/app:1", "team/app:*"):
                result = self.convert(self.source, *self.site(hosts={self.source.host: {"insecure": "http"}}, **rules),
                                      status=1, image=image)
                self.assertIn(words, result.stdout)
                self.assertIn("ducc.yaml:1:", result.stdout)
        self.assertEqual(self.source.requests(), [])

    def test_the_rest_of_a_list_is_published(self):
        self.source.push_image("good/app", "1", [layer()])
        hosts = {self.source.host: {"insecure": "http"}}
        recipe = write(self.path("r.yaml"), f"version: 1\ncvmfs_repo: {self.path('repo')}\ninput:\n"
                                            f"  - {self.source.host}/team/app:1\n  - {self.source.host}/good/app:1\n")
        result = self.ducc().run("convert", *self.site(hosts=hosts, block=[f"{self.source.host}/team"]), recipe, check=1)
        self.assertIn("1 published", result.stdout)
        self.assertTrue(os.path.islink(self.path("repo", self.source.host, "good/app:1")))

    def test_sizes_are_limits(self):
        hosts = {self.source.host: {"insecure": "http"}}
        for sizes, words in (({"manifest": "100"}, "longer than 100 bytes"), ({"config": "10"}, "the 10 that are"),
                             ({"layer": "10"}, "more than the 10 that are accepted")):
            result = self.convert(self.source, *self.site(hosts=hosts, sizes=sizes), status=1)
            self.assertIn(words, result.stdout)


class CommandsTest(AccessTest):
    def test_tags_of_five_thousand(self):
        manifest = self.source.manifest("team/app", "1")
        folder = os.path.dirname(self.source.tag_path("team/app", "1"))
        for number in range(5000):      # as the registry lays a tag out on disk: pushing each takes minutes
            path = os.path.join(folder, f"v{number:04}", "current")
            os.makedirs(path)
            with open(os.path.join(path, "link"), "w", encoding="utf-8") as out:
                out.write(self.image.digest)
        options = self.site(hosts={self.source.host: {"insecure": "http"}})
        result = self.ducc().run("tags", *options, f"{self.source.host}/team/app:v*", state=False, check=True)
        self.assertEqual(result.stdout.splitlines(), [f"{self.source.host}/team/app:v{n:04}" for n in range(5000)])
        result = self.ducc().run("tags", *options, f"{self.source.host}/team/app:v1*9", state=False, check=True)
        self.assertEqual(len(result.stdout.splitlines()), 100)
        result = self.ducc().run("download-manifest", *options, f"{self.source.host}/team/app:v4999", state=False,
                                 check=True)
        self.assertEqual(result.stdout.encode(), manifest)

    def test_download_manifest_of_a_platform(self):
        arm = Image([layer("arm")], architecture="arm64", variant="v8")
        index = self.source.push_index("team/app", "multi", [self.image, arm])
        ask = ["download-manifest", *self.site(hosts={self.source.host: {"insecure": "http"}})]
        name = f"{self.source.host}/team/app:multi"
        self.assertEqual(self.ducc().run(*ask, name, state=False, check=True).stdout.encode(), index)
        result = self.ducc().run(*ask, "--platform", "linux/arm64", name, state=False, check=True)
        self.assertEqual(result.stdout.encode(), arm.manifest)
        result = self.ducc().run(*ask, "--platform", "linux/s390x", name, state=False, check=1)
        self.assertIn("no image for platform linux/s390x; there is: linux/amd64, linux/arm64/v8", result.stderr)

    def test_check_image_syntax(self):
        good = self.ducc().run("check-image-syntax", "http://[::1]:5000/a/b:1", state=False, check=True)
        self.assertIn("registry    [::1]:5000\n", good.stdout)
        bad = self.ducc().run("check-image-syntax", "ubuntu", state=False, check=2)
        self.assertIn("docker.io/library/ubuntu", bad.stderr)


if __name__ == "__main__":
    unittest.main()
