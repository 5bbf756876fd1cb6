"""Events in: a push to a real registry, a merge to a list, a request to look: published within seconds."""

import http.client
import json
import os
import threading
import time
import unittest

from backends import StandIn
from failing import add, layer
from githttp import GitServer
from gitrepo import WorkTree
from harness import Image
from registry import free_port
from webend import KINDS, PAYLOADS, SECRET, WebTest, recorded

NOTIFICATIONS = """\
notifications:
  endpoints:
    - name: ducc
      url: http://127.0.0.1:{port}/hook/distribution
      headers: {{Authorization: [Bearer {secret}]}}
      timeout: 1s
      threshold: 5
      backoff: 1s
"""


class PushTest(WebTest):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.source = self.registry(extra_config=NOTIFICATIONS.format(port=self.port, secret=SECRET))
        self.backend = StandIn(self.scratch)

    def push(self, repository, tag, text):
        """Seconds from the push to its being published."""
        image = self.source.push_image(repository, tag, [layer(text)])
        start = time.monotonic()
        self.wait_published(self.backend, f"{self.source.host}/{repository}:{tag}", image, self.daemon_)
        return time.monotonic() - start

    def test_push_to_a_real_registry_is_published(self):
        first = self.source.push_image("a/b", "1", [layer("first")])
        name = f"{self.source.host}/a/b:1"
        self.start(self.backend, [self.recipe("list.yaml", self.backend.argument, [name])])
        self.wait_published(self.backend, name, first, self.daemon_)
        seconds = [self.push("a/b", "1", f"version {number}") for number in range(3)]
        print(f"webhook of docker-registry: {', '.join(f'{one:.2f}' for one in seconds)} s from push to published",
              flush=True)
        self.assertLess(min(seconds), 3)

    def test_new_tag_of_a_wildcard_is_published_and_asked_for(self):
        self.source.push_image("a/b", "1.0", [layer("first")])
        self.start(self.backend, [self.recipe("list.yaml", self.backend.argument, [f"{self.source.host}/a/b:1.*"])])
        self.wait_for(lambda: self.get("/api/v1/images")["images"], self.daemon_)
        self.source.forget_requests()
        self.push("a/b", "1.1", "second")
        self.assertEqual(self.source.requests(kind="tags"), [], "only the tag that was pushed needs a look")
        self.wait_for(lambda: [image["state"] for image in self.get("/api/v1/images")["images"]] == ["published"] * 2,
                      self.daemon_)
        self.assertEqual([len(image["asked_by"]) for image in self.get("/api/v1/images")["images"]], [1, 1])

    def test_push_of_what_nobody_wants_causes_nothing(self):
        self.source.push_image("a/b", "1", [layer("first")])
        name = f"{self.source.host}/a/b:1"
        self.start(self.backend, [self.recipe("list.yaml", self.backend.argument, [name])])
        self.wait_for(lambda: os.path.isdir(os.path.join(self.backend.view, name)), self.daemon_)
        revision = self.backend.revisions()
        for repository, tag in (("a/b", "2"), ("a/c", "1"), ("other", "latest")):
            self.source.push_image(repository, tag, [layer(repository + tag)])
        self.wait_for(lambda: self.counts()["done"] >= 3, self.daemon_)
        self.assertEqual(self.backend.revisions(), revision)
        self.assertEqual(self.daemon_.stop(), 0)
        self.assertEqual(self.left_in_spool(self.program.state_dir), [])


class ListTest(WebTest):
    def setUp(self):
        super().setUp()
        self.source, self.backend = self.misbehaving(), StandIn(self.scratch)
        self.images = {tag: add(self.source, "a/b", tag, Image([layer(f"tag {tag}")])) for tag in "123"}
        os.makedirs(self.path("git", "lists"))
        self.git = self.enterContext(GitServer(self.path("git")))
        self.tree = WorkTree(self.path("work"), bare=self.path("git", "lists", "wishes.git"))

    def commit(self, *tags):
        lists = [{"repository": self.backend.argument, "images": [f"http://{self.source.host}/a/b:{tag}" for tag in tags]}]
        self.tree.commit(list_yaml=json.dumps({"version": 2, "lists": lists}))
        self.tree.push()

    def wait_tag(self, tag):
        return self.wait_published(self.backend, f"{self.source.host}/a/b:{tag}", self.images[tag], self.daemon_)

    def test_push_and_merge_to_a_list(self):
        self.commit("1")
        self.start(self.backend, [f"git+http://{self.git.host}/lists/wishes.git//list.yaml@main"])
        self.wait_tag("1")
        clone = f"http://{self.git.host}/lists/wishes.git"
        self.commit("1", "2")
        self.send("github", {"ref": "refs/heads/main", "repository": {"clone_url": clone}}, X_GitHub_Event="push",
                  X_GitHub_Delivery="a8f0")
        print(f"push to a git list, by GitHub: {self.wait_tag('2'):.2f} s to published", flush=True)
        self.commit("1", "2", "3")
        self.send("gitlab", {"object_kind": "merge_request", "project": {"git_http_url": clone},
                             "object_attributes": {"action": "merge"}})
        print(f"merge to a git list, by GitLab: {self.wait_tag('3'):.2f} s to published", flush=True)
        self.wait_events_done(2)

    def test_push_to_another_repository_reads_nothing(self):
        self.commit("1")
        self.start(self.backend, [f"git+http://{self.git.host}/lists/wishes.git//list.yaml@main"])
        self.wait_tag("1")
        self.commit("1", "2")
        self.send("github", {"ref": "x", "repository": {"clone_url": f"http://{self.git.host}/lists/others.git"}},
                  X_GitHub_Event="push")
        self.wait_events_done(1)
        self.assertFalse(os.path.exists(os.path.join(self.backend.view, f"{self.source.host}/a/b:2")))


class RefreshTest(WebTest):
    def setUp(self):
        super().setUp()
        self.source, self.backend = self.misbehaving(), StandIn(self.scratch)
        self.names = [f"{self.source.host}/a/b:{tag}" for tag in "12"]
        self.images = [self.image(tag, "first") for tag in "12"]
        self.start(self.backend, [self.recipe("list.yaml", self.backend.argument, self.names)])
        self.wait_both(self.images)

    def image(self, tag, text):
        return add(self.source, "a/b", tag, Image([layer(f"{text} {tag}")]))

    def wait_both(self, images):
        for name, image in zip(self.names, images):
            self.wait_published(self.backend, name, image, self.daemon_)

    def test_one_image(self):
        new = [self.image(tag, "second") for tag in "12"]
        self.assertEqual(self.refresh(images=[self.names[0]])["accepted"], 1)
        self.wait_published(self.backend, self.names[0], new[0], self.daemon_)
        self.wait_events_done(1)
        self.assertTrue(self.is_published(self.backend, self.names[1], self.images[1]))

    def test_whole_repository(self):
        new = [self.image(tag, "second") for tag in "12"]
        self.refresh(images=[f"{self.source.host}/a/b"])
        self.wait_both(new)

    def test_everything(self):
        new = [self.image(tag, "second") for tag in "12"]
        self.refresh()
        self.wait_both(new)
        self.wait_events_done(1)

    def test_list(self):
        third = self.image("3", "first")
        self.recipe("list.yaml", self.backend.argument, [*self.names, f"{self.source.host}/a/b:3"])
        self.refresh(lists=["list.yaml"])
        self.wait_published(self.backend, f"{self.source.host}/a/b:3", third, self.daemon_)

    def test_failed_image_is_tried_at_once(self):
        new = self.image("1", "second")
        self.source.behave(f"/blobs/{new.layer_digests[0]}", status=404)
        self.refresh(images=self.names[:1])
        self.wait_for(lambda: self.get("/api/v1/images?state=failed")["images"], self.daemon_)
        self.source.well_behaved()
        self.refresh(images=self.names[:1])
        self.wait_published(self.backend, self.names[0], new, self.daemon_, 20)

    def test_wrong_token(self):
        self.refresh(status=401, token="a-wrong-token-for-this")
        self.assertEqual(self.stored(), 0)

    def test_reload_changes_senders_and_switches_the_web_end_off(self):
        text = {**self.web(), "token_file": self.secret_file("token", "another-token-than-before")}
        self.configure([self.path("list.yaml")], {"interval": "1d"}, web=text)
        self.daemon_.reload()
        self.wait_for(lambda: "read the configuration again" in self.daemon_.log(), self.daemon_)
        self.refresh(status=401)
        self.refresh(token="another-token-than-before")
        self.configure([self.path("list.yaml")], {"interval": "1d"})
        self.daemon_.reload()
        self.wait_for(lambda: not self.answers(), self.daemon_)
        self.assertEqual(self.daemon_.stop(), 0)

    def test_reload_with_a_missing_secret_is_refused(self):
        os.unlink(self.path("secret"))
        self.daemon_.reload()
        self.wait_for(lambda: "the configuration stays as it was" in self.daemon_.log(), self.daemon_)
        self.assertRegex(self.daemon_.log(), "web: sender harbor: secret_file: .*secret")
        self.assertTrue(self.answers())


class SenderTest(WebTest):
    """What was recorded of real senders, what is forged, what comes again."""

    def setUp(self):
        super().setUp()
        self.source, self.backend = self.misbehaving(), StandIn(self.scratch)
        self.start(self.backend, [self.recipe("list.yaml", self.backend.argument, [f"{self.source.host}/a/b:1"])])

    def test_recorded_payloads(self):
        for name in sorted(os.listdir(PAYLOADS)):
            with self.subTest(name):
                path, headers, body = recorded(name)
                answer = self.request("POST", path, body, headers)
                self.assertEqual(answer.status, 202, answer.body)
                self.assertGreater(sum(json.loads(answer.body)[key] for key in ("accepted", "ignored", "replayed")), 0)
        self.wait_events_done(self.stored())

    def test_forged(self):
        for kind in KINDS:
            with self.subTest(kind):
                path, headers, body = recorded(next(name for name in sorted(os.listdir(PAYLOADS)) if name.startswith(kind)))
                for changed in ({"Authorization": "Bearer x"}, {"X-Gitlab-Token": SECRET + "x"},
                                {"X-Hub-Signature-256": "sha256=" + "0" * 64}, {}):
                    kept = {key: value for key, value in headers.items()
                            if key not in ("Authorization", "X-Gitlab-Token", "X-Hub-Signature-256")}
                    self.assertEqual(self.request("POST", path.replace(SECRET, "x"), body, {**kept, **changed}).status, 401)
                if kind == "github":
                    self.assertEqual(self.request("POST", path, body + b" ", headers).status, 401)
        self.assertEqual(self.stored(), 0)
        self.assertNotIn(SECRET, self.daemon_.log())

    def test_replays_count_once(self):
        for name in ("github-push", "gitlab-merged", "distribution-push", "harbor-push", "dockerhub-push"):
            with self.subTest(name):
                path, headers, body = recorded(name)
                answers = [json.loads(self.request("POST", path, body, headers).body) for _ in range(3)]
                self.assertEqual([answer["accepted"] for answer in answers], [1, 0, 0])
                self.assertEqual([answer["replayed"] for answer in answers], [0, 1, 1])


class LoadTest(WebTest):
    REQUESTS, CLIENTS, TAGS = 10000, 20, 10

    def test_ten_thousand_requests(self):
        """Nothing is lost, and no job is done twice: each change of an image is one revision's business."""
        source, backend = self.misbehaving(), StandIn(self.scratch)
        names = [f"{source.host}/a/b:{tag}" for tag in range(self.TAGS)]
        images = [add(source, "a/b", str(tag), Image([layer(f"first {tag}")])) for tag in range(self.TAGS)]
        self.start(backend, [self.recipe("list.yaml", backend.argument, names)])
        for name, image in zip(names, images):
            self.wait_published(backend, name, image, self.daemon_)
        images = [add(source, "a/b", str(tag), Image([layer(f"second {tag}")])) for tag in range(self.TAGS)]
        start, accepted = time.monotonic(), []

        def client(number):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            for turn in range(self.REQUESTS // self.CLIENTS):
                body = json.dumps({**self.harbor_push(source.host, "a/b", turn % self.TAGS), "operator": f"{number}/{turn}"})
                connection.request("POST", "/hook/harbor", body, {"Authorization": SECRET, "Content-Type": "application/json"})
                accepted.append(json.loads(connection.getresponse().read())["accepted"])
            connection.close()
        threads = [threading.Thread(target=client, args=(number,)) for number in range(self.CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sent = time.monotonic() - start
        self.assertEqual(sum(accepted), self.REQUESTS)
        for name, image in zip(names, images):
            self.wait_published(backend, name, image, self.daemon_)
        self.wait_events_done(self.REQUESTS)
        history = [item["what"] for name in names
                   for item in self.get(f"/api/v1/history?repository={backend.argument}&image={name}")["history"]]
        self.assertEqual(history, ["published"] * 2 * self.TAGS)
        looks = len(source.seen("/v2/a/b/manifests/", "HEAD"))
        print(f"{self.REQUESTS} requests by {self.CLIENTS} clients in {sent:.1f} s ({self.REQUESTS / sent:.0f}/s), "
              f"all done after {time.monotonic() - start:.1f} s; {looks} HEADs", flush=True)
        self.assertEqual(self.daemon_.stop(), 0)
        backend.assert_sound(self)


class CrashTest(WebTest):
    def test_what_was_answered_is_not_lost(self):
        """kill -9 while events wait for a registry that hangs; the next one acts on them, and says so."""
        source, backend = self.misbehaving(), StandIn(self.scratch)
        first = add(source, "a/b", "1", Image([layer("first")]))
        name = f"{source.host}/a/b:1"
        self.start(backend, [self.recipe("list.yaml", backend.argument, [name])])
        self.wait_published(backend, name, first, self.daemon_)
        source.behave("/v2/a/b/manifests/", delay=600)
        for number in range(20):
            self.send("harbor", {**self.harbor_push(source.host, "a/b", "1"), "operator": str(number)})
        self.daemon_.kill()
        source.well_behaved()
        second = add(source, "a/b", "1", Image([layer("second")]))
        self.daemon_ = self.daemon(self.program, self.path("ducc.yaml"))
        self.wait_published(backend, name, second, self.daemon_)
        self.wait_for(self.answers, self.daemon_)
        self.wait_events_done(20)


if __name__ == "__main__":
    unittest.main()
