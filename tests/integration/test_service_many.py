"""Two thousand images in forty lists over five registries, three of which are of no use, for an hour of the service's clock."""

import json
import time
import unittest

from backends import Directory, StandIn
from failing import add
from harness import Image, TarBuilder
from secure import Authority
from service import Service, ServiceTest

LISTS = 40
IMAGES = 10         # of each registry, in each list
SPEED = 120         # an hour of the service takes 30 s
INTERVAL = "5m"
HOUR = 3600 / SPEED


def image_number(number):
    """Small, and no two alike; all share a layer."""
    own = TarBuilder().dir(f"n{number}").file(f"n{number}/number", str(number).encode())
    return Image([BASE, own.bytes()])


BASE = TarBuilder().dir("base").file("base/file", b"the same in all of them").bytes()


class ManyImagesTest(ServiceTest):
    def setUp(self):
        super().setUp()
        certificate, key = Authority(self.path("ca")).issue("registry")
        self.one, self.other = self.misbehaving(), self.misbehaving()
        self.hanging, self.broken = self.misbehaving(), self.misbehaving()
        self.unknown = self.misbehaving(certificate=certificate, key=key)
        self.hanging.behave("/v2/", delay=3600)
        self.broken.behave("/v2/", status=500)
        fast = self.fast()
        self.backends = [StandIn(fast), Directory(fast)]
        self.wanted = {}        # (backend, name) -> image
        self.configuration = self.configure([self.make_list(number) for number in range(LISTS)],
                                            {"interval": INTERVAL})

    def make_list(self, number):
        backend = self.backends[number % 2]
        entries = []
        for tag in range(IMAGES):
            for registry in (self.one, self.other, self.hanging, self.broken):
                entries.append(f"http://{registry.host}/list{number}/image:{tag}")
            entries.append(f"https://{self.unknown.host}/list{number}/image:{tag}")
            image = image_number(number * IMAGES + tag)
            for registry in (self.one, self.other):
                add(registry, f"list{number}/image", str(tag), image)
                self.wanted[backend, f"{registry.host}/list{number}/image:{tag}"] = image
        path = self.path(f"list{number}.yaml")
        with open(path, "w", encoding="utf-8") as out:
            json.dump({"version": 2, "lists": [{"repository": backend.argument, "images": entries}]}, out)
        return path

    def missing(self):
        return [name for (backend, name), image in self.wanted.items() if not self.is_published(backend, name, image)]

    def watch(self, service, seconds):
        """The largest usage of each third of the time."""
        thirds = []
        for _ in range(3):
            end, seen = time.monotonic() + seconds / 3, []
            while time.monotonic() < end:
                seen.append(service.usage())
                time.sleep(0.2)
            thirds.append({key: max(one[key] for one in seen) for key in seen[0]})
        return thirds

    def assert_bounded(self, thirds):
        print("usage in thirds of an hour: " + "; ".join(
            f"{one['memory'] / 1024:.0f} MiB, {one['files']} files, {one['threads']} threads" for one in thirds), flush=True)
        for key, slack in (("memory", 1.1), ("files", 1.2), ("threads", 1.2)):
            self.assertLessEqual(thirds[2][key], slack * thirds[0][key], (key, thirds))

    def start(self, ducc, speed):
        # Freed memory is not kept back for finding errors (in each thread, too), which would look like a leak.
        return Service(ducc, self.path("service.log"), "daemon", "--config", self.configuration,
                       env={"DUCC_CLOCK_SPEED": speed, "ASAN_OPTIONS": "quarantine_size_mb=0:thread_local_quarantine_size_kb=0"})

    def publish_all(self, ducc):
        begun = time.monotonic()
        with self.start(ducc, 1) as service:
            self.wait_for(lambda: not self.missing(), service, 300, "that all is published")
            print(f"{len(self.wanted)} of {5 * LISTS * IMAGES} images published after {time.monotonic() - begun:.0f} s",
                  flush=True)
            self.assertEqual(service.stop(), 0)

    def run_for_an_hour(self, ducc):
        with self.start(ducc, SPEED) as service:
            # What a thread does for the first time is no growth: not all have had their turn after one round.
            self.wait_for(lambda: self.polls() >= 3 * IMAGES * LISTS, service, 240, "the first three rounds")
            polls = self.polls()
            self.assert_bounded(self.watch(service, HOUR))
            rounds = (self.polls() - polls) / IMAGES / LISTS
            self.assertEqual(service.stop(), 0)
        print(f"{rounds:.1f} rounds in the hour", flush=True)
        self.assertGreaterEqual(rounds, 1)

    def test_an_hour(self):
        ducc = self.ducc(self.backends[0], state_dir=self.path("fast/state"))
        self.publish_all(ducc)
        self.one.forget_requests()
        self.run_for_an_hour(ducc)
        for backend in self.backends:
            backend.assert_sound(self)
        self.assertEqual(self.left_in_spool(ducc.state_dir), [])
        self.assert_told(ducc)

    def polls(self):
        return len(self.one.seen("/manifests/", "HEAD"))

    def assert_told(self, ducc):
        """Each image is in the state that its registry explains."""
        listed = json.loads(ducc.run("status", "--json", check=1).stdout)["images"]    # 1: some failed
        of = {registry.host: [one for one in listed if one["name"].startswith(registry.host)]
              for registry in (self.one, self.other, self.hanging, self.broken, self.unknown)}
        for registry in (self.one, self.other):
            self.assertEqual({one["state"] for one in of[registry.host]}, {"published"})
        for registry, why in ((self.broken, "500"), (self.unknown, "certificate")):
            failed = [one for one in of[registry.host] if one["state"] == "failed"]
            self.assertEqual([one for one in of[registry.host] if one["state"] not in ("failed", "wanted")], [])
            self.assertGreaterEqual(len(failed), IMAGES)    # the first registry is slow to fail: each request is tried again
            self.assertTrue(all(why in one["failure"]["reason"] for one in failed), failed[:1])
        self.assertNotIn("published", {one["state"] for one in of[self.hanging.host]})


if __name__ == "__main__":
    unittest.main()
