"""The static copy of the status page, published inside the repository."""

import json
import os
import re
import time
import unittest

from backends import Directory, StandIn
from chromium import Chromium
from failing import add, layer
from harness import Image
from service import ServiceTest


class CopyTest(ServiceTest):
    def setUp(self):
        super().setUp()
        self.source = self.misbehaving()

    def image(self, tag, text):
        return add(self.source, "a/b", tag, Image([layer(text)]))

    def name(self, tag):
        return f"{self.source.host}/a/b:{tag}"

    def copy(self, backend):
        """{name: state} of the published images.json; None if there is none."""
        try:
            with open(os.path.join(backend.view, ".metadata/status/images.json"), encoding="utf-8") as source:
                return {image["name"]: image["state"] for image in json.load(source)["images"]}
        except FileNotFoundError:
            return None

    def settings(self, backend, tags, interval):
        return self.configure([self.recipe("list.yaml", backend.argument, [self.name(tag) for tag in tags])],
                              {"status_copy": interval})

    def test_it_goes_with_what_is_published_and_not_too_often(self):
        backend = StandIn(self.scratch)
        ducc, before = self.ducc(backend), backend.revisions()
        self.image("1", "first 1")
        config = self.settings(backend, "1", "1h")
        self.poll(ducc, config)
        self.assertEqual(self.copy(backend), {self.name("1"): "published"})
        first = backend.revisions()
        self.assertEqual(first - before, 1)
        self.poll(ducc, config)
        self.assertEqual(backend.revisions(), first)
        self.image("3", "first 3")
        config = self.settings(backend, "13", "1h")
        self.poll(ducc, config)
        self.assertNotIn(self.name("3"), self.copy(backend))    # the hour is not over
        self.assertEqual(backend.revisions(), first + 1)
        self.poll(ducc, config, env={"DUCC_CLOCK_SPEED": 100000})  # it is before the pass has ended
        self.assertEqual(self.copy(backend).get(self.name("3")), "published")
        self.assertEqual(backend.revisions(), first + 2)
        self.poll(ducc, config, env={"DUCC_CLOCK_SPEED": 100000})
        self.assertEqual(backend.revisions(), first + 2)        # nothing has changed
        backend.assert_sound(self)

    def test_a_failure_is_shown_without_anything_being_published(self):
        backend = Directory(self.scratch)
        self.image("1", "first")
        config = self.settings(backend, "1", "1m")
        program = self.ducc(backend)
        service = self.daemon(program, config, speed=60)
        self.wait_for(lambda: self.copy(backend) == {self.name("1"): "published"}, service)
        self.settings(backend, "12", "1m")
        self.wait_for(lambda: (self.copy(backend) or {}).get(self.name("2")) == "failed", service, message="a failure in the copy")
        path = os.path.join(backend.view, ".metadata/status/images.json")
        before = os.stat(path).st_ino
        time.sleep(7)       # seven times the interval, in which nothing changes
        self.assertEqual(os.stat(path).st_ino, before)
        self.assertEqual(service.stop(), 0)

    def test_other_commands_live_with_it(self):
        backend = StandIn(self.scratch)
        ducc = self.ducc(backend)
        self.image("1", "first")
        config = self.settings(backend, "1", "1h")
        self.poll(ducc, config)
        self.assertIn("1 name", ducc.run("rebuild-state", backend.argument, check=0).stdout)
        self.assertNotIn("status", ducc.run("gc", "--dry-run", backend.argument, check=0).stdout)
        ducc.run("gc", backend.argument, check=0)
        ducc.run("verify", "--layers", backend.argument, check=0, state=False)
        self.assertEqual(list(self.copy(backend)), [self.name("1")])
        self.poll(ducc, config)
        self.assertEqual(self.outcomes, {self.name("1"): "unchanged"})

    def test_in_a_browser(self):
        backend = Directory(self.scratch)
        self.image("1", "first")
        config = self.settings(backend, "12", "1h")
        self.poll(self.ducc(backend), config, status=1)
        path = os.path.join(backend.view, ".metadata/status/index.html")
        with open(path, encoding="utf-8") as source:
            text = source.read()
        self.assertEqual(re.findall(r"(?:href|src|action)=", text), [])
        with Chromium() as browser:
            browser.size(1200, 900)
            browser.open(f"file://{path}")
            self.assertTrue(any(self.name("1") in row and "published" in row for row in browser.texts("tbody tr")))
            self.assertEqual(browser.evaluate("getComputedStyle(document.querySelector('.tile')).display"), "block")
            directory = os.environ.get("DUCC_TEST_ARTIFACTS")
            if directory:
                os.makedirs(directory, exist_ok=True)
                browser.screenshot(os.path.join(directory, "page-static.png"))
            self.assertEqual(browser.complaints, [])


if __name__ == "__main__":
    unittest.main()
