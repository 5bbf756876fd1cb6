"""The page in a browser: Debian's Chromium, without scripts, wide and on a phone; pictures of it are kept."""

import os
import random
import sqlite3
import time
import unittest

from backends import Directory
from chromium import Chromium
from failing import add, layer, noise
from harness import Image
from webend import WebTest

NASTY = "registry.example.org/<img src=x onerror=alert(1)>/\"'&amp;<script>document.title='taken'</script>:1"


def keep(browser, name):
    """A picture where whoever runs the tests finds it: build/…/test-artifacts."""
    directory = os.environ.get("DUCC_TEST_ARTIFACTS")
    if not directory:
        return
    os.makedirs(directory, exist_ok=True)
    browser.screenshot(os.path.join(directory, f"page-{name}.png"))


class PageTest(WebTest):
    """Two published images, one that fails, and a database with four weeks of history."""

    def setUp(self):
        super().setUp()
        self.source, self.backend = self.misbehaving(), Directory(self.scratch)
        names = [f"{self.source.host}/{image}" for image in ("physics/reco:2.1", "physics/sim:2026-11", "physics/absent:1")]
        add(self.source, "physics/reco", "2.1", Image([noise("reco", 300000)]))
        add(self.source, "physics/sim", "2026-11", Image([layer("sim")]))
        self.start(self.backend, [self.recipe("list.yaml", self.backend.argument, names)])
        self.wait_for(lambda: self.get("/api/v1/images")["total"] == 3, self.daemon_)
        self.fill_in()
        self.browser = self.enterContext(Chromium())
        self.browser.size(1200, 900)

    def open(self, path):
        self.browser.open(f"http://127.0.0.1:{self.port}{path}")

    def fill_in(self):
        """What would take four weeks; one name is meant to be read as markup."""
        chance, now = random.Random(6), int(time.time())
        with sqlite3.connect(os.path.join(self.program.state_dir, "state.db"), timeout=30) as database:
            for number in range(120):
                name = f"registry.example.org/group-{number % 7}/tool-{number}:{number % 5}.{number % 3}"
                at, size = now - chance.randrange(28 * 86400), int(chance.lognormvariate(19, 1.5))
                what = (self.backend.argument, name, "sha256:" + f"{number:064x}", at, chance.lognormvariate(2.5, 1), size,
                        size // chance.randrange(1, 9))
                database.execute("INSERT INTO names (repository, name, wanted, published, image_id, checked_at, changed_at, "
                                 "published_at, seconds, bytes, bytes_new, platforms) "
                                 f"VALUES (?1, ?2, ?3, ?3, ?3, {now}, ?4, ?4, ?5, ?6, ?7, 'linux/amd64')", what)
                for age in range(chance.randrange(1, 4)):
                    database.execute("INSERT INTO history (repository, name, digest, at, what, revision, seconds, bytes, "
                                     f"bytes_new) VALUES (?1, ?2, ?3, ?4 - {age * 200000}, 'published', {number}, "
                                     "?5, ?6, ?7)", what)
            database.execute("INSERT INTO names (repository, name, wanted, failure_kind, failure, failed_at, attempts) "
                             "VALUES (?, ?, 'sha256:' || printf('%064d', 1), 'net', ?, ?, 3)",
                             (self.backend.argument, NASTY, "the registry answered <b>no</b> & hung up", now))

    def test_pages(self):
        browser = self.browser
        browser.scripts(False)      # it must work without
        self.open("/")
        self.assertEqual(browser.evaluate("document.title"), "Images · ducc")
        tiles = dict(tile.split("\n")[::-1] for tile in browser.texts(".tile"))
        self.assertEqual((tiles["images"], tiles["failed"]), ("124", "2"))
        self.assertEqual(len(browser.texts("tbody tr")), 50)
        self.assertEqual(browser.evaluate("document.querySelectorAll('svg').length > 0"), True)
        keep(browser, "images")
        with self.subTest("search"):
            browser.follow("document.querySelector('input[name=q]').value = 'PHYSICS/r';"
                           "document.querySelector('form[role=search]').requestSubmit()")
            self.assertEqual(browser.texts("tbody td.name a"), [f"{self.source.host}/physics/reco:2.1"])
            self.assertEqual(browser.evaluate("document.querySelector('input[name=q]').value"), "PHYSICS/r")
        with self.subTest("reason of a failure"):
            browser.follow("document.querySelector('.tile.failed, a[href*=\"state=failed\"]').click()")
            self.open("/?state=failed")
            rows = browser.texts("tbody tr")
            self.assertEqual(len(rows), 2)
            self.assertTrue(any("404 Not Found" in row and "physics/absent:1" in row for row in rows), rows)
            keep(browser, "failed")
        with self.subTest("an image"):
            browser.follow("[...document.querySelectorAll('td.name a')].find(a => a.innerText.includes('absent')).click()")
            self.assertIn("404 Not Found", browser.texts("main")[0])
            self.assertIn("list.yaml", browser.texts("main")[0])
            self.open(f"/image/{self.source.host}/physics/reco:2.1")
            self.assertIn("published", browser.texts(".verdict")[0])
            self.assertEqual(len(browser.texts("tbody tr")), 1)
            keep(browser, "image")
        with self.subTest("lists and activity"):
            self.open("/lists")
            self.assertIn("list.yaml", browser.texts("tbody tr")[0])
            keep(browser, "lists")
            self.open("/activity")
            self.assertIn("daemon", browser.texts("main")[0])
            keep(browser, "activity")
        self.assertEqual(browser.complaints, [])

    def test_markup_in_names_is_text(self):
        browser = self.browser      # with scripts, so that one would run
        self.open("/?state=failed")
        self.assertIn(NASTY, browser.texts("td.name a"))
        self.assertIn("the registry answered <b>no</b> & hung up", browser.texts("td.name .why")[0] + browser.texts("td.name .why")[1])
        browser.follow("[...document.querySelectorAll('td.name a')].find(a => a.innerText.includes('img')).click()")
        self.assertEqual(browser.texts("h1"), [NASTY])
        self.open("/?q=%22%3E%3Cscript%3Edocument.title%3D1%3C/script%3E")
        self.assertEqual(browser.evaluate("document.querySelector('input[name=q]').value"), '"><script>document.title=1</script>')
        for path in ("/", "/activity", "/lists"):
            self.open(path)
            self.assertEqual(browser.evaluate("document.querySelectorAll('script, main img').length"), 0)
            self.assertIn("ducc", browser.evaluate("document.title"))
        self.assertEqual(browser.complaints, [])

    def test_phone(self):
        browser = self.browser
        browser.size(390, 844, phone=True)
        for path, name in (("/", "images"), ("/?state=failed", "failed"), (f"/image/{self.source.host}/physics/reco:2.1", "image"),
                           ("/lists", "lists"), ("/activity", "activity")):
            with self.subTest(name):
                self.open(path)
                self.assertLessEqual(browser.evaluate("document.documentElement.scrollWidth"), 390)
                small = browser.evaluate("[...document.querySelectorAll('a, td, p, label, button')].filter(one => "
                                         "parseFloat(getComputedStyle(one).fontSize) < 11).length")
                self.assertEqual(small, 0, "too small to read")
                keep(browser, f"phone-{name}")
        browser.size(1200, 900)
        browser.dark(True)
        self.open("/")
        keep(browser, "dark")
        self.assertEqual(browser.complaints, [])


if __name__ == "__main__":
    unittest.main()
