"""What may go: names that no list asks for, and tags that are gone upstream; and all that is no proof of either."""

import json
import os
import unittest

from failing import MisbehavingRegistry, add, layer
from harness import Ducc, Image, IntegrationTest, Registry

DAY = 86400

# What becomes of a tag, by name of its repository: how its manifest and the list of tags are answered from then on.
# None: as it should be. Only the first is certain.
ANSWERS = {
    "gone": ({}, {}),
    "listed": ({"status": 404}, None),
    "list-404": ({}, {"status": 404}),
    "list-401": ({}, {"status": 401}),
    "list-403": ({}, {"status": 403}),
    "list-500": ({}, {"status": 500}),
    "list-broken": ({}, {"body": b'{"tags": [', "status": 200}),
    "list-cut": ({}, {"cut_after": 5}),
    "manifest-401": ({"status": 401}, {}),
    "manifest-403": ({"status": 403}, {}),
    "manifest-500": ({"status": 500}, {}),
    "manifest-429": ({"status": 429}, {}),
    "manifest-reset": ({"reset": True}, {}),
    "get-500": ({"status": 500, "method": "GET"}, {}),
}


class UnwantedTest(IntegrationTest):
    def setUp(self):
        super().setUp()
        self.program = self.enterContext(Ducc())
        self.root = self.path("repository")

    def at(self, days):
        return {"DUCC_CLOCK_OFFSET": str(int(days * DAY))}

    def config(self, **deletion):
        with open(self.path("ducc.yaml"), "w", encoding="utf-8") as out:
            json.dump({"deletion": deletion}, out)
        return self.path("ducc.yaml")

    def gc(self, days, check=0, options=(), **deletion):
        return self.program.run("gc", "--config", self.config(**deletion), *options, self.root, check=check,
                                env=self.at(days))

    def write_list(self, name, *images):
        with open(self.path(name), "w", encoding="utf-8") as out:
            out.write(f"version: 1\nuser: x\ncvmfs_repo: {self.root}\noutput_format: x\ninput:\n")
            out.writelines(f"  - 'http://{self.server.host}/{image}'\n" for image in images)
        return self.path(name)

    def convert(self, what, days=0, check=0):
        return self.program.run("convert", what, check=check, env=self.at(days))

    def is_public(self, image):
        return os.path.exists(os.path.join(self.root, f"{self.server.host}/{image}"))

    def public(self):
        """All public names, without the registry's."""
        top = os.path.join(self.root, self.server.host)
        return {os.path.relpath(os.path.join(folder, name), top) for folder, names, _ in os.walk(top) for name in names
                if os.path.islink(os.path.join(folder, name))}


class UnlistedTest(UnwantedTest):
    def setUp(self):
        super().setUp()
        self.server = self.enterContext(Registry())
        for tag in ("1", "2", "3"):
            self.server.push_image("t/a", tag, [layer("base"), layer(tag)])
        self.server.push_image("t/b", "1", [layer("b")])

    def test_forever_is_the_default(self):
        self.convert(self.write_list("a.yaml", "t/a:1", "t/a:2"))
        self.convert(self.write_list("a.yaml", "t/a:2"))
        self.gc(1000)
        self.assertEqual({"t/a:1", "t/a:2"}, self.public())

    def test_an_entry_that_left_its_list_goes_when_its_retention_is_over(self):
        self.convert(self.write_list("a.yaml", "t/a:1", "t/a:2"))
        self.convert(self.write_list("a.yaml", "t/a:2"), days=1)
        self.gc(30, retain="30d")
        self.assertEqual({"t/a:1", "t/a:2"}, self.public())
        said = self.gc(32, retain="30d", options=["--dry-run"]).stdout
        self.assertRegex(said, r"would remove \S+/t/a:1: no list asks for it since 20\S+Z")
        self.assertEqual({"t/a:1", "t/a:2"}, self.public())
        self.gc(32, retain="30d")
        self.assertEqual({"t/a:2"}, self.public())

    def test_what_is_wished_again_stays(self):
        self.convert(self.write_list("a.yaml", "t/a:1", "t/a:2"))
        self.convert(self.write_list("a.yaml", "t/a:2"), days=1)
        self.convert(self.write_list("a.yaml", "t/a:2", "t/a:1"), days=2)
        self.gc(100, retain="0")
        self.assertEqual({"t/a:1", "t/a:2"}, self.public())

    def test_a_list_that_cannot_be_read_makes_nothing_unwanted(self):
        path = self.write_list("a.yaml", "t/a:1", "t/a:2")
        self.convert(path)
        with open(path, "w", encoding="utf-8") as out:
            out.write("version: 1\ninput: [\n")
        self.convert(path, days=1, check=2)
        os.unlink(path)
        self.convert(path, days=2, check=2)
        self.gc(100, retain="0")
        self.assertEqual({"t/a:1", "t/a:2"}, self.public())

    def test_protected_and_last_names_stay(self):
        self.convert(self.write_list("a.yaml", "t/a:1"))
        self.convert(self.write_list("a.yaml", "t/a:2"), days=1)
        self.convert(self.write_list("a.yaml", "t/a:3", "t/b:1"), days=2)
        self.convert(self.write_list("a.yaml", "t/a:3"), days=3)
        self.gc(9, retain="0", keep_last=2, protect=["*/b:*"])
        self.assertEqual({"t/a:2", "t/a:3", "t/b:1"}, self.public())
        self.gc(9, retain="0", keep_last=1)
        self.assertEqual({"t/a:3", "t/b:1"}, self.public(), "the only one of an image is its last")

    def test_the_list_decides(self):
        self.convert(self.write_list("nightly.yaml", "t/a:1", "t/a:2"))
        self.convert(self.write_list("release.yaml", "t/b:1", "t/a:3"))
        self.convert(self.write_list("nightly.yaml", "t/a:2"))
        self.convert(self.write_list("release.yaml", "t/a:3"))
        self.gc(2, lists={"nightly.yaml": {"retain": "1d"}})
        self.assertEqual({"t/a:2", "t/a:3", "t/b:1"}, self.public())
        self.gc(2, retain="0", lists={"release.yaml": {"retain": "forever"}})
        self.assertEqual({"t/a:2", "t/a:3", "t/b:1"}, self.public())

    def test_after_the_loss_of_the_state_nobody_knows_what_is_unwanted(self):
        self.convert(self.write_list("a.yaml", "t/a:1"))
        self.convert(self.write_list("b.yaml", "t/b:1"))
        self.program = self.enterContext(Ducc())
        self.convert(self.path("a.yaml"))
        self.gc(100, retain="0")
        self.assertEqual({"t/a:1", "t/b:1"}, self.public(), "b.yaml has not been read again, and may ask for it")
        self.convert(self.path("b.yaml"), days=101)
        self.convert(self.write_list("b.yaml", "t/a:3"), days=102)
        self.gc(103, retain="0")
        self.assertEqual({"t/a:1", "t/a:3"}, self.public())

    def test_what_was_restored_is_asked_for(self):
        self.convert(self.write_list("a.yaml", "t/a:1", "t/a:2"))
        self.convert(self.write_list("a.yaml", "t/a:2"), days=1)
        self.gc(2, retain="0")
        self.assertEqual({"t/a:2"}, self.public())
        name = f"{self.server.host}/t/a:1"
        self.program.run("restore", "--repo", self.root, name, check=0, env=self.at(3))
        self.gc(4, retain="0", grace_period="0")
        self.convert(self.path("a.yaml"), days=5)
        self.gc(50, retain="0", grace_period="0")
        self.assertEqual({"t/a:1", "t/a:2"}, self.public())
        self.program.run("remove", "--repo", self.root, name, check=0, env=self.at(51))
        self.assertEqual({"t/a:2"}, self.public())

    def test_removing_what_a_list_asks_for_is_warned_of(self):
        self.convert(self.write_list("a.yaml", "t/a:1"))
        said = self.program.run("remove", "--repo", self.root, f"{self.server.host}/t/a:1", check=0)
        self.assertRegex(said.stderr, r"a\.yaml still asks for it .* will have it published again")


class GoneTest(UnwantedTest):
    def setUp(self):
        super().setUp()
        self.server = self.enterContext(MisbehavingRegistry())

    def push(self, repository, *tags):
        for tag in tags:
            add(self.server, repository, tag, Image([layer(repository), layer(tag)]))

    def delete(self, repository, tag):
        self.server.tags[repository].remove(tag)
        del self.server.manifests[repository, tag]

    def break_down(self, repository, manifest, tags):
        if tags is not None:
            self.delete(repository, "1")
        if manifest:
            manifest = dict(manifest)
            self.server.behave(f"/{repository}/manifests/1$", method=manifest.pop("method", None), **manifest)
        if tags:
            self.server.behave(f"/{repository}/tags/list", **tags)

    def test_only_certain_answers_count(self):
        for repository in ANSWERS:
            self.push(repository, "1", "2")
        images = [f"{one}:1" for one in ANSWERS]
        path = self.write_list("a.yaml", *images)
        self.convert(path)
        for repository, answers in ANSWERS.items():
            self.break_down(repository, *answers)
        for day in (1, 3):
            self.convert(path, days=day, check=1)
        said = self.gc(9, retain="0", grace_period="0").stdout
        self.assertEqual(set(images) - {"gone:1"}, self.public())
        self.assertRegex(said, r"removed \S+/gone:1: gone from its registry since 20\S+Z \(2 answers, the last at 20")

    def test_one_answer_is_not_enough_nor_two_at_once(self):
        self.push("a", "1", "2")
        path = self.write_list("a.yaml", "a:1")
        self.convert(path)
        self.delete("a", "1")
        for hours in (24, 25, 47):
            self.convert(path, days=hours / 24, check=1)
            self.gc(10, retain="0")
            self.assertEqual({"a:1"}, self.public())
        self.convert(path, days=2, check=1)
        self.gc(10, retain="2d", options=["--dry-run"])
        self.gc(10, retain="0")
        self.assertEqual(set(), self.public())

    def test_a_tag_that_comes_back_is_forgiven(self):
        self.push("a", "1", "2")
        path = self.write_list("a.yaml", "a:1")
        self.convert(path)
        kept = self.server.manifests["a", "1"]
        self.delete("a", "1")
        self.convert(path, days=1, check=1)
        self.server.manifests["a", "1"] = kept
        self.server.tags["a"].append("1")
        self.convert(path, days=2)
        self.delete("a", "1")
        self.convert(path, days=3, check=1)
        self.gc(10, retain="0")
        self.assertEqual({"a:1"}, self.public())

    def test_a_tag_that_a_glob_chose(self):
        self.push("a", "v1", "v2", "v3")
        path = self.write_list("a.yaml", "a:v*")
        self.convert(path)
        self.delete("a", "v2")
        said = self.convert(path, days=1)
        self.assertIn("gone", said.stdout + said.stderr)
        self.gc(1.5, retain="0")
        self.assertEqual({"a:v1", "a:v2", "a:v3"}, self.public(), "one answer")
        self.convert(path, days=3)
        self.gc(4, retain="0")
        self.assertEqual({"a:v1", "a:v3"}, self.public())
        self.convert(path, days=5)
        self.assertEqual({"a:v1", "a:v3"}, self.public())

    def test_half_a_list_of_tags_makes_nothing_unwanted(self):
        """A tag that is missing from the list, and is there."""
        self.push("a", "v1", "v2")
        path = self.write_list("a.yaml", "a:v*")
        self.convert(path)
        self.server.tags["a"].remove("v2")
        for day in (1, 3, 5):
            self.convert(path, days=day)
        self.gc(9, retain="0")
        self.assertEqual({"a:v1", "a:v2"}, self.public())

    def test_all_tags_of_a_glob(self):
        self.push("a", "v1", "v2", "x")
        path = self.write_list("a.yaml", "a:v*")
        self.convert(path)
        for tag in ("v1", "v2"):
            self.delete("a", tag)
        self.convert(path, days=1, check=1)
        self.gc(9, retain="0")
        self.assertEqual({"a:v1", "a:v2"}, self.public())
        self.convert(path, days=3, check=1)
        self.gc(9, retain="0")
        self.assertEqual(set(), self.public())


if __name__ == "__main__":
    unittest.main()
