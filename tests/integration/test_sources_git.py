"""Lists in git repositories, from real servers: what is merged is published, and what goes wrong leaves the last good list
in force."""

import json
import os
import time
import unittest

from gitrepo import git
from gitserver import Agent, HttpGitServer, SshGitServer, make_key
from secure import Authority, Certificates, write
from sourcetest import SourceTest

COMMITS = 50000


class GitTest(SourceTest):
    def setUp(self):
        super().setUp()
        self.server = self.enterContext(HttpGitServer(self.path("git")))
        self.url = f"git+{self.server.url}/lists.git//list.yaml@main"

    def test_a_merge_publishes_the_new_image_and_nothing_else(self):
        self.commit("1", "2")
        self.assertEqual(self.take(self.url), ["1", "2"])
        self.work.git("checkout", "-q", "-b", "request")
        self.work.commit(list_yaml=self.text("1", "2", "3"))
        self.work.push(branch="request")
        self.assertEqual(self.take(self.url), [], "a branch is not merged yet")
        self.work.git("checkout", "-q", "main")
        self.work.git("merge", "-q", "--no-ff", "-m", "merge", "request")
        self.work.push()
        self.assertEqual(self.take(self.url), ["3"])
        self.assertEqual(self.published(), ["1", "2", "3"])
        blobs = {request.path.rsplit("/", 1)[1] for request in self.source.requests if "/blobs/" in request.path}
        self.assertEqual(blobs, {self.images["3"].config_digest, *self.images["3"].layer_digests})
        self.assertEqual(self.take(self.url), [])

    def test_what_asked_for_an_image_is_known(self):
        """List, line and commit; and a list on another branch is another list."""
        commits = [self.commit("1"), None]
        self.take(self.url)
        commits[1] = self.commit("3", "1", "2")
        self.take(self.url)
        for tag, line, commit in (("1", 4, commits[0]), ("2", 6, commits[1])):
            why = json.loads(self.program.run("why", "--json", self.name(tag), check=True).stdout)
            asking = self.url + ":%d@%s"
            self.assertEqual(why["image"]["published_for"], asking % (line, commit))
            (now,) = why["asked_by"]
            self.assertEqual((now["list"], now["revision"]), (self.url, commits[1]))
            self.assertEqual(now["line"], {"1": 5, "2": 6}[tag])
        self.work.git("checkout", "-q", "-b", "other")
        self.work.commit(list_yaml=self.text("4"))
        self.work.push(branch="other")
        self.assertEqual(self.take(self.url, self.url.replace("@main", "@other")), ["4"])
        for tag, branch in (("2", "main"), ("4", "other")):
            why = json.loads(self.program.run("why", "--json", self.name(tag), check=True).stdout)
            self.assertEqual([each["list"].rsplit("@")[-1] for each in why["asked_by"]], [branch])

    def test_forced_elsewhere_gone_and_broken(self):
        self.commit("1", "2")
        self.assertEqual(self.take(self.url), ["1", "2"])
        # Another history, without the first one's commits.
        self.work.git("checkout", "-q", "--orphan", "other")
        self.commit("1", "3")
        self.assertEqual(self.take(self.url), ["3"])
        self.assertEqual(self.published(), ["1", "2", "3"], "what is not wanted any more is not taken away")
        self.work.commit(list_yaml="version: 2\nimages: [\n")
        self.work.push()
        self.assert_in_force(self.url, r"list.yaml@main:3:1: ", "1", "3")
        self.work.git("rm", "-q", "list.yaml")
        self.work.commit(other_yaml=self.text("1"))
        self.work.push()
        self.assert_in_force(self.url, r"list.yaml.*no such file|no file.*list.yaml|commit [0-9a-f]{12}", "1", "3")
        git(self.work.bare, "branch", "-m", "main", "elsewhere")
        self.assert_in_force(self.url, r'no branch "main"', "1", "3")
        os.rename(self.work.bare, self.work.bare + ".gone")
        self.assert_in_force(self.url, "no such git repository", "1", "3")
        os.rename(self.work.bare + ".gone", self.work.bare)
        self.commit("1", "4")
        self.assertEqual(self.take(self.url), ["4"])

    def test_a_server_that_is_down_or_hangs(self):
        self.settings["sources"] = {"silence": "2s"}
        self.commit("1")
        self.assertEqual(self.take(self.url), ["1"])
        self.commit("1", "2")
        for after in (0, 60):           # nothing at all; a part of the first answer
            self.server.hang_after = after
            start = time.monotonic()
            self.assert_in_force(self.url, "said nothing for 2 seconds", "1")
            self.assertLess(time.monotonic() - start, 45, "60 is the usual")
        self.server.hang_after = None
        with HttpGitServer(self.path("git")) as gone:
            other = f"git+{gone.url}/lists.git//list.yaml@main"
            self.assertEqual(self.take(other), ["2"])
        self.assert_in_force(other, "(?i)connect", "1", "2")
        self.assertEqual(self.take(self.url), [])

    def test_a_hanging_server_does_not_hold_up_a_stop(self):
        self.commit("1")
        self.server.hang_after = 0
        service = self.daemon(self.program, self.configure([self.url]))
        self.wait_for(lambda: self.server.requests, service, message="asking the server")
        start = time.monotonic()
        self.assertEqual(service.stop(), 0)
        self.assertLess(time.monotonic() - start, 30)

    def test_the_service_sees_a_merge(self):
        self.commit("1")
        config = self.configure([{"source": self.url, "interval": "1m"}])
        service = self.daemon(self.program, config, speed=60)
        self.wait_published(self.backend, self.name("1"), self.images["1"], service)
        self.commit("1", "2")
        seconds = self.wait_published(self.backend, self.name("2"), self.images["2"], service)
        print(f"list at an interval of 1 s: {seconds:.2f} s from push to published", flush=True)
        self.work.commit(list_yaml="]\n")
        self.work.push()
        self.wait_for(lambda: service.log().count("list.yaml@main:1:1: ") > 2, service, message="reporting it each time")
        self.commit("2", "3")
        self.wait_published(self.backend, self.name("3"), self.images["3"], service)
        self.assertEqual(service.stop(), 0)

    def secure_server(self, authority, *password):
        """By name: libgit2's TLS in Debian does not know certificates of addresses."""
        return self.enterContext(HttpGitServer(self.path("git"), authority.issue("git"), password, name="localhost"))

    def test_password(self):
        """Over TLS, with an authority of our own."""
        authority = Authority(self.path("authority"))
        server = self.secure_server(authority, "reader", "right: one")
        url = f"git+{server.url}/lists.git//list.yaml@main"
        self.commit("1")
        self.take(url, status=1)
        self.assertRegex(self.log, "certificate of localhost is not right")
        Certificates(self.path("certs.d")).trust(server.host, authority)
        self.settings["registries"] = {"certificates": [self.path("certs.d")]}
        self.take(url, status=1)
        self.assertIn("wants credentials, and none are known", self.log)
        secret = write(self.path("secret"), "wrong one\n")
        self.settings["sources"] = {"credentials": [{"url": server.url, "user": "reader", "secret_file": secret}]}
        self.take(url, status=1)
        self.assertIn("does not accept the user and password", self.log)
        self.assertNotIn("wrong one", self.log)
        write(secret, "right: one\n")
        self.assertEqual(self.take(url), ["1"])
        write(secret, "wrong one\n")
        self.assert_in_force(url, "does not accept the user and password", "1")

    def test_convert_has_the_credentials_of_the_configuration(self):
        authority = Authority(self.path("authority"))
        server = self.secure_server(authority, "oauth2", "token")
        Certificates(self.path("certs.d")).trust(server.host, authority)
        self.commit("1")
        config = self.configure([], registries={"certificates": [self.path("certs.d")]}, sources={
            "credentials": [{"url": server.url, "secret_file": write(self.path("secret"), "token\n")}]})
        self.program.run("convert", "--config", config, f"git+{server.url}/lists.git//list.yaml", check=True)
        self.assertEqual(self.published(), ["1"])

    def test_a_long_history(self):
        """Only the first fetch may be slow, and says how far it is; what other branches have is not fetched."""
        commit = "commit refs/heads/main\ncommitter t <t@example.org> {} +0000\ndata 1\nx\n"
        stream = ["feature done\n"]
        for i in range(COMMITS):
            stream.append(commit.format(1700000000 + i) + f"M 100644 inline count\ndata {len(str(i))}\n{i}\n")
        text = self.text("1")
        stream.append(commit.format(1800000000) + f"M 100644 inline list.yaml\ndata {len(text)}\n{text}\ndone\n")
        git(self.work.bare, "fast-import", "--quiet", stdin="".join(stream).encode())
        self.server.rate = 4000000
        start = time.monotonic()
        self.assertEqual(self.take(self.url), ["1"])
        first, sent = time.monotonic() - start, self.server.bytes_sent()
        self.assertRegex(self.log, r"list git\+http://\S*: \d+ of 1500\d\d objects, [\d.]+ MB")
        self.work.git("fetch", "-q", "--depth", "1", "file://" + self.work.bare, "main")
        self.work.git("checkout", "-q", "-B", "big", "FETCH_HEAD")
        self.work.write("noise", os.urandom(2000000).hex())
        self.work.commit()
        self.work.push(branch="big")
        self.work.git("checkout", "-q", "-B", "main", "FETCH_HEAD")
        self.commit("1", "2", push=())
        self.server.requests.clear()
        start = time.monotonic()
        self.assertEqual(self.take(self.url), ["2"])
        second = time.monotonic() - start
        print(f"{COMMITS} commits: first fetch {first:.1f} s, {sent} bytes; one commit more {second:.2f} s, "
              f"{self.server.bytes_sent()} bytes", flush=True)
        self.assertLess(self.server.bytes_sent(), 20000)
        self.assertLess(second, max(5, first / 2))
        self.server.requests.clear()
        self.assertEqual(self.take(self.url), [])
        self.assertEqual([each[0] for each in self.server.requests], ["GET"])


class FileTest(SourceTest):
    def test_on_this_machine(self):
        url = f"git+file://{self.work.bare}//list.yaml@main"
        self.commit("1")
        self.assertEqual(self.take(url), ["1"])
        self.commit("1", "2")
        self.assertEqual(self.take(url), ["2"])
        os.rename(self.work.bare, self.work.bare + ".gone")
        self.assert_in_force(url, "no such git repository", "1", "2")


class SshTest(SourceTest):
    def setUp(self):
        super().setUp()
        self.server = self.enterContext(SshGitServer(self.path("sshd")))
        self.url = f"git+{self.server.url}{self.work.bare}//list.yaml@main"
        self.known_hosts = write(self.path("known_hosts"), self.server.known_host())
        self.credential = {"url": f"ssh://127.0.0.1:{self.server.port}", "key_file": self.path("key")}
        self.settings["sources"] = {"known_hosts": self.known_hosts, "credentials": [self.credential]}
        self.commit("1")

    def test_key_file(self):
        key = make_key(self.path("key"))
        self.take(self.url, status=1)
        self.assertIn("does not accept the key", self.log)
        self.server.authorize(key)
        self.assertEqual(self.take(self.url), ["1"])
        self.commit("1", "2")
        self.assertEqual(self.take(self.url), ["2"])
        os.unlink(self.path("key"))
        self.assert_in_force(self.url, "key", "1", "2")

    def test_key_file_with_passphrase(self):
        self.server.authorize(make_key(self.path("key"), passphrase="open sesame"))
        self.credential["passphrase_file"] = write(self.path("passphrase"), "wrong words\n")
        self.take(self.url, status=1)
        self.assertRegex(self.log, "(?i)key")
        self.assertNotIn("wrong words", self.log)
        write(self.path("passphrase"), "open sesame\n")
        self.assertEqual(self.take(self.url), ["1"])

    def test_agent(self):
        self.server.authorize(make_key(self.path("key")))
        del self.settings["sources"]["credentials"]
        self.take(self.url, status=1, env={"SSH_AUTH_SOCK": None})
        self.assertIn("wants credentials, and none are known", self.log)
        make_key(self.path("stranger"))
        with Agent(self.scratch, self.path("stranger")) as agent:
            self.take(self.url, status=1, env={"SSH_AUTH_SOCK": agent.socket})
            self.assertRegex(self.log, "agent")
        with Agent(self.scratch, self.path("key")) as agent:
            self.assertEqual(self.take(self.url, env={"SSH_AUTH_SOCK": agent.socket}), ["1"])

    def test_host_keys(self):
        self.server.authorize(make_key(self.path("key")))
        other = make_key(self.path("other"))
        own = {"HOME": self.path("home")}       # the tester's own known hosts are of no account
        for text, says in (("", "is not among the known hosts, or another one is"),
                           (self.server.known_host(other), "is not among the known hosts, or another one is"),
                           (self.server.known_host() + "@revoked * " + " ".join(self.server.host_key.split()[:2]) + "\n",
                            "is revoked")):
            write(self.known_hosts, text)
            self.assertEqual(self.take(self.url, status=1, env=own), [])
            self.assertRegex(self.log, r"host key of 127.0.0.1 \(SHA256:\S+\) " + says)
            self.assertNotIn("Accepted publickey", self.server.log())
        write(self.known_hosts, self.server.known_host())
        self.assertEqual(self.take(self.url, env=own), ["1"])
        write(self.known_hosts, self.server.known_host(other))
        self.assert_in_force(self.url, "host key of 127.0.0.1", "1", env=own)


if __name__ == "__main__":
    unittest.main()
