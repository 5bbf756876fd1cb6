"""The service: polling, running on, signals, two of them, several repositories."""

import json
import os
import re
import time
import unittest

from backends import Directory, StandIn
from failing import add, layer, noise
from harness import Image
from published import metadata
from service import ServiceTest


class PollTest(ServiceTest):
    def test_pushed_tag_is_published_by_the_next_poll(self):
        registry, backend = self.registry(), StandIn(self.scratch)
        ducc, name = self.ducc(backend), f"{registry.host}/a/b:1"
        config = self.configure([self.recipe("list.yaml", backend.argument, [name])])
        self.poll(ducc, config, status=1)
        self.assertRegex(self.errors[name], "404|unknown|not found")
        for text in ("first", "second"):
            image = registry.push_image("a/b", "1", [layer(text)])
            start = time.monotonic()
            self.poll(ducc, config)
            print(f"poll: {time.monotonic() - start:.2f} s from push to published", flush=True)
            self.assertEqual(self.outcomes, {name: "published"})
            self.assertEqual(metadata(backend.view, name), image.manifest)
        self.poll(ducc, config)
        self.assertEqual(self.outcomes, {name: "unchanged"})
        self.assertEqual(self.left_in_spool(ducc.state_dir), [])
        backend.assert_sound(self)

    def test_several_repositories_in_one_pass(self):
        source, one, other = self.misbehaving(), StandIn(self.scratch), Directory(self.scratch)
        image = add(source, "a/b", "1", Image([layer("both")]))
        name = f"{source.host}/a/b:1"
        config = self.configure([self.recipe("one.yaml", one.argument, [name]),
                                 self.recipe("other.yaml", other.argument, [name])])
        self.poll(self.ducc(one), config)
        for backend in (one, other):
            self.assertTrue(self.is_published(backend, name, image), backend.kind)

    def test_one_repository_that_is_missing_is_an_error_and_the_other_is_served(self):
        source, backend = self.misbehaving(), StandIn(self.scratch)
        image = add(source, "a/b", "1", Image([layer("other")]))
        name = f"{source.host}/a/b:1"
        config = self.configure([self.recipe("one.yaml", "missing.test.example", [name]),
                                 self.recipe("other.yaml", backend.argument, [name])])
        result = self.poll(self.ducc(backend), config, status=3)
        self.assertIn("no such repository on this machine", result.stderr)
        self.assertTrue(self.is_published(backend, name, image))

    def test_a_list_that_cannot_be_read_is_an_error_and_the_others_are_served(self):
        source, backend = self.misbehaving(), Directory(self.scratch)
        image = add(source, "a/b", "1", Image([layer("good")]))
        name = f"{source.host}/a/b:1"
        with open(self.path("wrong.yaml"), "w", encoding="utf-8") as out:
            out.write("version: 1\ninput: [\n")
        config = self.configure([self.path("wrong.yaml"), self.path("missing.yaml"),
                                 self.recipe("good.yaml", backend.argument, [name])])
        result = self.poll(self.ducc(), config, status=1)
        self.assertIn("wrong.yaml", result.stderr)
        self.assertIn("missing.yaml", result.stderr)
        self.assertTrue(self.is_published(backend, name, image))

    def test_what_a_list_says_of_its_images_holds(self):
        source, backend = self.misbehaving(), Directory(self.scratch)
        small = add(source, "small", "1", Image([layer("small")]))
        large = add(source, "large", "1", Image([noise("large", 200000)]))
        text = {"version": 2, "lists": [{"repository": backend.argument, "prefix": "site", "limits": {"image_size": "100K"},
                                         "images": [f"http://{source.host}/{name}:1" for name in ("small", "large")]}]}
        with open(self.path("list.yaml"), "w", encoding="utf-8") as out:
            json.dump(text, out)
        names = {name: f"site/{source.host}/{name}:1" for name in ("small", "large")}
        self.poll(self.ducc(), self.configure([self.path("list.yaml")]), status=1)
        self.assertEqual(self.outcomes, {names["small"]: "published", names["large"]: "failed"})
        self.assertIn("limits: image_size", self.errors[names["large"]])
        self.assertTrue(self.is_published(backend, names["small"], small))
        self.assert_nothing_of(backend, names["large"], large)

    def test_lists_of_one_repository_and_registry_are_all_looked_at(self):
        """Each with what it says; of two entries that mean one name the first gets it."""
        source, backend = self.registry(), Directory(self.scratch)
        images = {tag: source.push_image("a/b", tag, [layer(tag)]) for tag in ("1", "2")}
        name = f"{source.host}/a/b"
        with open(self.path("list.yaml"), "w", encoding="utf-8") as out:
            json.dump({"version": 2, "lists": [
                {"repository": backend.argument, "prefix": "site", "images": [f"http://{name}:1", f"http://{name}:*"]},
                {"repository": backend.argument, "prefix": "few", "limits": {"tags": 1},
                 "images": [f"http://{name}:*"]}]}, out)
        result = self.poll(self.ducc(backend), self.configure([self.path("list.yaml")]), status=1)
        for tag, image in images.items():
            self.assertTrue(self.is_published(backend, f"site/{name}:{tag}", image), result.stdout)
        self.assertFalse(os.path.exists(os.path.join(backend.view, "few")))
        self.assertIn("selects 2 tags, more than the 1 that its list allows", str(self.errors))

    def test_the_configuration_to_begin_with(self):
        top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
        example = os.path.join(top, "deploy/ducc.yaml")
        result = self.ducc().run("check-config", "--config", example, state=False)
        self.assertEqual(result.status, 0, result.stdout + result.stderr)
        self.assertRegex(result.stdout, r"2 lists, 0 wrong entries\n$")
        with open(example, encoding="utf-8") as source, open(self.path("all.yaml"), "w", encoding="utf-8") as out:
            for line in source:     # what is commented out is right, too
                out.write(re.sub(r"^( *)# ((?:  )*(?:[a-z_]+:|- ))", r"\1\2", line).replace("lists/local.yaml", "local.yaml"))
        with open(self.path("local.yaml"), "w", encoding="utf-8") as out:
            json.dump({"version": 2, "lists": [{"repository": "r.example.org", "images": ["quay.io/a/b:1"]}]}, out)
        for secret in ("git.token", "refresh.token", "harbor.secret", "gitlab.secret"):
            with open(os.open(self.path(secret), os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as out:
                out.write("0123456789abcdef0123456789abcdef\n")
        result = self.ducc().run("check-config", "--config", self.path("all.yaml"), state=False)
        self.assertEqual(result.status, 0, result.stdout + result.stderr)
        self.assertRegex(result.stdout, r"3 lists, 0 wrong entries\n$")

    def test_check_config_says_what_is_wrong(self):
        wrong = {"service: {interval: 1s}": r'1:21: key "interval": 10s at least',
                 "service: {spool_limit: much}": r'1:24: key "spool_limit"',
                 "lists: [{name: x}]": 'a list needs the key "source"',
                 "lists: [missing.yaml]": "missing.yaml",
                 "services: {}": r'1:1: unknown key "services"'}
        for text, message in wrong.items():
            with self.subTest(text):
                with open(self.path("wrong.yaml"), "w", encoding="utf-8") as out:
                    out.write(text + "\n")
                result = self.ducc().run("check-config", "--config", self.path("wrong.yaml"), state=False)
                self.assertEqual(result.status, 2, result.stdout + result.stderr)
                self.assertRegex(result.stderr, message)

    def test_no_lists(self):
        config = self.configure([])
        self.assertIn('key "lists"', self.poll(self.ducc(), config, status=2).stderr)


class DaemonTest(ServiceTest):
    def setUp(self):
        super().setUp()
        self.source = self.misbehaving()

    def image(self, repository, tag, text):
        return add(self.source, repository, tag, Image([layer(text)]))

    def start(self, backend, entries, *arguments, speed=None, interval="1m", ducc=None):
        config = self.configure([self.recipe("list.yaml", backend.argument, entries, interval)])
        self.ducc_program = ducc or self.ducc(backend)
        return self.daemon(self.ducc_program, config, *arguments, speed=speed)

    def test_new_versions_are_published_at_the_interval(self):
        backend, name = StandIn(self.scratch), f"{self.source.host}/a/b:1"
        first = self.image("a/b", "1", "first")
        service = self.start(backend, [name], speed=60, interval="1m")
        self.wait_published(backend, name, first, service)
        second = self.image("a/b", "1", "second")
        seconds = self.wait_published(backend, name, second, service)
        print(f"daemon with an interval of 1 s: {seconds:.2f} s from push to published", flush=True)
        self.assertEqual(service.stop(), 0)
        self.assertEqual(self.left_in_spool(self.ducc_program.state_dir), [])
        backend.assert_sound(self)

    def test_loop_takes_a_recipe_and_sees_it_change(self):
        backend = Directory(self.scratch)
        images = {tag: self.image("a/b", tag, f"tag {tag}") for tag in ("1", "2")}
        recipe = self.recipe("list.yaml", backend.argument, [f"{self.source.host}/a/b:1"])
        service = self.service(self.ducc(), "loop", "--interval", "1m", recipe, env={"DUCC_CLOCK_SPEED": 60})
        self.wait_published(backend, f"{self.source.host}/a/b:1", images["1"], service)
        self.recipe("list.yaml", backend.argument, [f"{self.source.host}/a/b:2"])
        self.wait_published(backend, f"{self.source.host}/a/b:2", images["2"], service)
        self.assertEqual(service.stop(), 0)

    def test_what_a_list_gives_up_is_unwanted_soon(self):
        backend = Directory(self.scratch)
        names = [f"{self.source.host}/a/b:{tag}" for tag in "12"]
        images = [self.image("a/b", tag, tag) for tag in "12"]
        service = self.start(backend, names, speed=60)
        for name, image in zip(names, images, strict=True):
            self.wait_published(backend, name, image, service)

        def states():
            listed = json.loads(self.ducc_program.run("status", "--json", check=True).stdout)["images"]
            return {one["name"]: one["state"] for one in listed}
        self.wait_for(lambda: states() == dict.fromkeys(names, "published"), service)
        self.recipe("list.yaml", backend.argument, names[:1], "1m")
        self.wait_for(lambda: states() == {names[0]: "published", names[1]: "unwanted"}, service)
        self.assertEqual(service.stop(), 0)

    def test_what_failed_is_tried_again_long_before_its_list_is_looked_at(self):
        """After a minute, then after two more; and a restart remembers."""
        backend = Directory(self.scratch)
        names = [f"{self.source.host}/a/b:{tag}" for tag in "12"]
        images = [self.image("a/b", tag, tag) for tag in "12"]
        bad = images[1].layer_digests[0]
        self.source.behave(f"/blobs/{bad}", status=503)
        service = self.start(backend, names, speed=30, interval="7d")
        self.wait_published(backend, names[0], images[0], service)

        def tries():
            listed = json.loads(self.ducc_program.run("status", "--json").stdout)["images"]
            return max((one["failure"]["attempts"] for one in listed if one["failure"]), default=0)
        self.wait_for(lambda: tries() == 2, service, 60)
        self.assertEqual(service.stop(), 0)
        self.source.well_behaved()
        service = self.daemon(self.ducc_program, self.path("ducc.yaml"), speed=30)
        self.wait_published(backend, names[1], images[1], service)
        heads = len(self.source.seen("/manifests/1", "HEAD"))
        self.assertEqual(heads, 2, "the image that had not failed is asked for at each start only")
        self.assertEqual(service.stop(), 0)

    def test_reload_reads_configuration_and_lists(self):
        backend, other = StandIn(self.scratch), Directory(self.scratch)
        first, second = self.image("a/b", "1", "first"), self.image("a/b", "2", "second")
        names = [f"{self.source.host}/a/b:{tag}" for tag in "12"]
        service = self.start(backend, names[:1], interval="1d")
        self.wait_published(backend, names[0], first, service)
        self.configure([self.path("list.yaml"), self.recipe("more.yaml", other.argument, names[1:])])
        service.reload()
        self.wait_published(other, names[1], second, service)
        with open(self.path("ducc.yaml"), "w", encoding="utf-8") as out:
            out.write("lists: {wrong: true}\n")
        service.reload()
        self.wait_for(lambda: "the configuration stays as it was" in service.log(), service)
        self.assertRegex(service.log(), r'ducc.yaml:1:8: key "lists": expected a list of lists')
        self.assertEqual(service.stop(), 0)

    def test_second_instance_says_who_has_the_repository_and_since_when(self):
        backend, name = Directory(self.scratch), f"{self.source.host}/a/b:1"
        image = self.image("a/b", "1", "first")
        service = self.start(backend, [name], interval="1d")
        self.wait_published(backend, name, image, service)
        for command in (["daemon", "--config", self.path("ducc.yaml")], ["poll", "--config", self.path("ducc.yaml")],
                        ["convert", self.path("list.yaml")]):
            with self.subTest(command[0]):
                result = self.ducc_program.run(*command)
                self.assertEqual(result.status, 3, result.stderr)
                self.assertRegex(result.stderr, rf"process {service.process.pid} since \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
        self.assertEqual(service.stop(), 0)

    def test_somebody_elses_transaction_is_waited_for(self):
        backend, name = StandIn(self.scratch), f"{self.source.host}/a/b:1"
        first = self.image("a/b", "1", "first")
        service = self.start(backend, [name], speed=60, interval="1m")
        self.wait_published(backend, name, first, service)
        with backend.open_transaction_of_somebody():
            second = self.image("a/b", "1", "second")
            self.wait_for(lambda: "wait for the end of it" in service.log(), service)
            self.assertFalse(self.is_published(backend, name, second))
            self.assertTrue(backend.in_transaction())
        self.wait_published(backend, name, second, service)
        self.assertEqual(service.stop(), 0)
        backend.assert_sound(self)

    def test_hanging_registry_does_not_hold_up_the_others(self):
        backend, hanging = StandIn(self.scratch), self.misbehaving()
        hanging.behave("/v2/", delay=600)
        name = f"{self.source.host}/a/b:1"
        names = [name] + [f"{hanging.host}/a/b:{number}" for number in range(40)]
        first = self.image("a/b", "1", "first")
        service = self.start(backend, names, speed=60, interval="1m")
        self.wait_published(backend, name, first, service)
        second = self.image("a/b", "1", "second")       # the next round, while the first hangs still
        self.wait_published(backend, name, second, service, 20)
        self.assertEqual(service.stop(20), 0)

    def test_large_image_does_not_hold_up_small_ones(self):
        """Its layers trickle in; there is one thread fewer for each, and the spool is full of it."""
        backend = StandIn(self.scratch)
        large = add(self.source, "large", "1", Image([noise(f"part {n}", 300000) for n in range(8)]))
        for digest in large.layer_digests:
            self.source.behave(f"/blobs/{digest}", trickle=(20000, 1))
        names = [f"{self.source.host}/large:1"]
        service = self.start(backend, names + [f"{self.source.host}/small:{n}" for n in range(6)], "--spool-limit", "20M",
                             "--jobs", "4", interval="1m", speed=60)
        self.wait_for(lambda: len(self.source.seen("/blobs/.*", "GET")) > 3, service)
        for number in range(6):
            image = self.image("small", str(number), f"small {number}")
            seconds = self.wait_published(backend, f"{self.source.host}/small:{number}", image, service, 20)
            self.assertFalse(self.is_published(backend, names[0], large), f"small {number}: {seconds}")
        self.wait_published(backend, names[0], large, service)
        self.assertEqual(service.stop(), 0)

    def test_preparing_yields_the_processors_to_commits(self):
        """Those who fetch and prepare are nicer than the one who commits, and what that starts."""
        backend = StandIn(self.scratch)
        image = self.image("a/b", "1", "first")
        service = self.start(backend, [f"{self.source.host}/a/b:1"], "--jobs", "3", interval="1m")
        self.wait_published(backend, f"{self.source.host}/a/b:1", image, service)
        threads = os.listdir(f"/proc/{service.process.pid}/task")
        nice, ours = [os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in threads], os.getpriority(os.PRIO_PROCESS, 0)
        self.assertEqual([n for n in nice if n != ours], [min(ours + 10, 19)] * 3)
        self.assertEqual(service.stop(), 0)

    def test_slow_image_does_not_hold_up_quick_ones(self):
        """All are ready when somebody else's transaction ends: the quick ones go first, and the slow one after them."""
        backend, host = StandIn(self.scratch), self.source.host
        names = [f"{host}/first:1", f"{host}/slow:1", *(f"{host}/quick:{number}" for number in range(6))]
        first = self.image("first", "1", "first")
        service = self.start(backend, names, "--revision-limit", "10M", interval="1m", speed=60)
        self.wait_published(backend, names[0], first, service)
        backend.clear_log()
        with backend.open_transaction_of_somebody():
            images = {names[1]: add(self.source, "slow", "1", Image([noise("slow", 600000)]))}
            images.update((f"{host}/quick:{number}", self.image("quick", str(number), f"quick {number}"))
                          for number in range(6))
            blobs = {digest for image in images.values() for digest in image.layer_digests}
            self.wait_for(lambda: all(self.source.seen(f"/blobs/{digest}", "GET") for digest in blobs), service)
            time.sleep(1)       # for the last one to be prepared
        for name, image in images.items():
            self.wait_published(backend, name, image, service)
        self.assertEqual(service.stop(), 0)
        sizes = [call["bytes"] for call in backend.log("ingest") if call.get("bytes")]
        self.assertEqual(len(sizes), 2, sizes)
        self.assertLess(sizes[0], 400000)
        self.assertGreater(sizes[1], 600000)

    def test_image_over_the_limit_goes_in_several_revisions(self):
        backend = StandIn(self.scratch)
        large = add(self.source, "large", "1", Image([noise(f"part {n}", 400000) for n in range(6)]))
        small = self.image("small", "1", "small")
        names = [f"{self.source.host}/{one}:1" for one in ("large", "small")]
        ducc = self.ducc(backend)
        recipe = self.recipe("list.yaml", backend.argument, names)
        before = backend.revisions()
        result = ducc.run("convert", "--revision-limit", "1M", recipe, check=True)
        self.assertIn("of its 6 layers published ahead of its names", result.stderr)
        self.assertGreaterEqual(backend.revisions() - before, 3)
        for name, image in zip(names, (large, small), strict=True):
            self.assertTrue(self.is_published(backend, name, image))
        content = [call["bytes"] for call in backend.log("ingest") if "bytes" in call]
        self.assertGreaterEqual(len(content), 3)
        self.assertTrue(all(size < 1200000 for size in content), content)
        self.assertEqual(self.left_in_spool(ducc.state_dir), [])
        backend.assert_sound(self)


if __name__ == "__main__":
    unittest.main()
