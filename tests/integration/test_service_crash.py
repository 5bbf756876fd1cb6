"""A busy service that is killed again and again: in the end everything is published right, nothing is lost or left over."""

import http.client
import json
import os
import random
import signal
import sqlite3
import threading
import time
import unittest

from backends import Directory, StandIn
from failing import add, layer
from harness import Image, tree, umoci_unpack
from published import assert_flat
from service import Service
from webend import WebTest

SEED = 20261121
KILLS = 100
LONGEST = (0.4, 1.0)    # seconds from a start to the last kill: twice as long as to a commit, but within these
SPEED = 120         # an interval of 10 s is over in 83 ms
NAMES = 8           # in each of the two lists


def descendants(pid):
    """The processes below a process, of whatever group."""
    children = {}
    for one in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{one}/stat", encoding="ascii", errors="replace") as source:
                parent = int(source.read().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(one))
    found, ahead = [], [pid]
    while ahead:
        below = children.get(ahead.pop(), [])
        found += below
        ahead += below
    return found


class Pusher(threading.Thread):
    """Moves tags all the time, and says so; `images` is what they name now."""

    def __init__(self, registry, repositories, seed, tell):
        """`tell` sends an event about (repository, tag): whether it was taken."""
        super().__init__(daemon=True)
        self.tell, self.told = tell, 0
        self.registry, self.random = registry, random.Random(seed)
        self.repositories = [(one, str(tag)) for one in repositories for tag in range(NAMES)]
        self.base = [layer(f"base{number}", 20000) for number in range(3)]
        self.images, self.pushed, self.done = {}, 0, threading.Event()
        self.push_all()

    def push_all(self):
        for repository, tag in self.repositories:
            self.push(repository, tag)

    def push(self, repository, tag):
        self.pushed += 1
        parts = [self.random.choice(self.base), *(layer(f"own{self.pushed}-{part}", 30000) for part in range(2))]
        self.images[repository, tag] = add(self.registry, repository, tag, Image(parts))

    def run(self):
        while not self.done.wait(self.random.uniform(0, 0.25)):
            one = self.random.choice(self.repositories)
            self.push(*one)
            self.told += self.tell(*one)

    def stop(self):
        self.done.set()
        self.join()


class ServiceCrashTest(WebTest):
    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        self.source = self.misbehaving()
        fast = self.fast()
        self.places = {"one": StandIn(fast), "two": Directory(fast)}
        self.program = self.ducc(self.places["one"], state_dir=self.path("fast/state"))
        self.pusher = Pusher(self.source, self.places, SEED, self.tell)
        lists = [self.recipe("one.yaml", self.places["one"].argument, [f"{self.source.host}/one:*"]),
                 self.recipe("two.yaml", self.places["two"].argument,
                             [f"{self.source.host}/two:{tag}" for tag in range(NAMES)])]
        self.configuration = self.configure(lists, web=self.web())
        self.hit = {"in a transaction": 0, "with something in the spool": 0, "while a directory was staged": 0}

    def tell(self, repository, tag):
        try:
            self.send("harbor", self.harbor_push(self.source.host, repository, tag))
            return True
        except (OSError, http.client.HTTPException):
            return False    # it is dead just now

    def run_service(self):
        return Service(self.program, self.path("service.log"), "daemon", "--config", self.configuration,
                       env={"DUCC_CLOCK_SPEED": SPEED})

    def note_where(self):
        self.hit["in a transaction"] += self.places["one"].in_transaction()
        self.hit["with something in the spool"] += bool(self.left_in_spool(self.program.state_dir))
        self.hit["while a directory was staged"] += os.path.exists(os.path.join(self.places["two"].view, ".ducc-staging"))

    def kill(self, service):
        """The service alone, or everything as when a machine goes down."""
        children = descendants(service.process.pid) if self.random.random() < 0.5 else []
        service.kill()
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def seconds_to_a_commit(self):
        """How long a start of the service takes here until it publishes something: that is where kills hurt."""
        with self.run_service() as service:
            self.wait_for(lambda: all(self.is_published(*one) for one in self.wanted()), service, 60, "the first round")
            self.assertEqual(service.stop(), 0, service.log())
        self.pusher.push_all()
        with self.run_service() as service:
            seconds = self.wait_for(self.places["one"].in_transaction, service, 30, "a commit")
            self.kill(service)
        return seconds

    def wait_for_moment(self, number, longest):
        """Any one; every third time one of a commit, where the service is not for most of the time."""
        if number % 3 == 0:
            end = time.monotonic() + longest
            while time.monotonic() < end and not self.is_committing():
                time.sleep(0.002)
            longest = 0.1
        time.sleep(self.random.uniform(0, longest))

    def is_committing(self):
        return self.places["one"].in_transaction() or os.path.exists(os.path.join(self.places["two"].view, ".ducc-staging"))

    def kill_again_and_again(self):
        longest = min(max(2 * self.seconds_to_a_commit(), LONGEST[0]), LONGEST[1])
        self.pusher.start()
        for number in range(KILLS):
            with self.run_service() as service:
                self.wait_for_moment(number, longest)
                self.assertIsNone(service.process.poll(), f"it ended before kill {number}\n{service.log()}")
                self.kill(service)
                self.note_where()

    def wanted(self):
        return [(self.places[repository], f"{self.source.host}/{repository}:{tag}", image)
                for (repository, tag), image in self.pusher.images.items()]

    def assert_all_is_right(self):
        for number, (backend, name, image) in enumerate(self.wanted()):
            self.assertTrue(self.is_published(backend, name, image), name)
            if number % 6 == 0:
                image.write_layout(self.path(f"layout{number}"), "t")
                expected = tree(umoci_unpack(self.path(f"layout{number}"), "t", self.path(f"bundle{number}")))
                assert_flat(self, expected, backend.view, image.config_digest)
        for backend in self.places.values():
            backend.assert_sound(self)
            result = self.program.run("verify", "--layers", backend.argument, state=False)
            self.assertEqual(result.status, 0, result.stdout + result.stderr)
        self.assertEqual(self.left_in_spool(self.program.state_dir), [])

    def assert_records_are_right(self):
        with sqlite3.connect(f"file:{self.program.state_dir}/state.db?mode=ro", uri=True) as db:
            self.assertEqual(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        listed = self.program.run("status", "--json", check=True).stdout
        self.assertEqual(len([one for one in json.loads(listed)["images"] if one["state"] == "published"]), 2 * NAMES, listed)

    def test_kills(self):
        begun = time.monotonic()
        self.kill_again_and_again()
        self.pusher.stop()
        print(f"{KILLS} kills in {time.monotonic() - begun:.0f} s, {self.pusher.pushed} images pushed, "
              f"{self.pusher.told} events taken; "
              + ", ".join(f"{count} {where}" for where, count in self.hit.items()), flush=True)
        self.assertTrue(all(self.hit.values()), self.hit)
        with self.run_service() as service:
            self.wait_for(lambda: all(self.is_published(*one) for one in self.wanted()), service, 60,
                          "that everything is published")
            self.wait_for(lambda: self.counts()["waiting"] + self.counts()["taken"] == 0, service, 30,
                          "that all events are acted on")
            self.assertGreaterEqual(self.counts()["done"], self.pusher.told)
            self.assertGreater(self.pusher.told, 0)
            self.assertEqual(service.stop(), 0, service.log())
            for word in ("Sanitizer", "open file descriptors"):
                self.assertNotIn(word, service.log())
        self.assert_all_is_right()
        self.assert_records_are_right()


if __name__ == "__main__":
    unittest.main()
