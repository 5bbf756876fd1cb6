"""`ducc diff`: what a change of a list means, with and without asking registries."""

import json
import os
import unittest

import recipes     # as a module: its class is no test of this file
from gitrepo import WorkTree

HEAD = "version: 2\nrepository: DIR/repo\n"


class DiffTest(recipes.RecipeTest):
    def diff(self, old, new, *options, status=0):
        return json.loads(self.run_diff(self.recipe(HEAD + old, "old.yaml"), self.recipe(HEAD + new, "new.yaml"),
                                        "--json", *options, status=status))

    def run_diff(self, old, new, *options, status=0):
        return self.program.run("diff", *options, old, new, check=status, state=False).stdout

    def names(self, items):
        for item in items:
            self.assertEqual(self.path("repo"), item["repository"])
        return [item["image"].replace(f"{self.server.host}/", "") for item in items]

    def test_names_that_become_wanted_and_unwanted(self):
        for tag in ("1.0", "1.1", "1.2", "2.0", "latest"):
            self.image("a/b", tag)
        self.image("a/c", "1.0")
        said = self.diff("images:\n- HOST/a/b:1.*\n- HOST/a/c:1.0\n- HOST/a/d:*\n",
                         "images:\n- {image: HOST/a/b, newest: 2}\n- HOST/a/b:1.0\n- HOST/a/c:2.0\n- HOST/a/d:*\n")
        self.assertEqual(["added", "added", "added", "removed", "removed"], [item["change"] for item in said["changes"]])
        self.assertEqual(["a/b:2.0", "a/c:2.0"], self.names(said["wanted"]))
        self.assertEqual(["a/b:1.1", "a/c:1.0"], self.names(said["unwanted"]), "1.0 is asked for by another entry now")
        self.assertEqual([], self.server.seen("/a/d/"), "nothing of it changes")
        self.assertEqual([], self.server.seen("/manifests/"))
        self.assertEqual(1, len(self.server.seen("/tags/list")))
        self.assertFalse(os.path.exists(self.path("repo")))

    def test_prefixes_and_suspended_entries(self):
        for tag in ("1", "2"):
            self.image("a/b", tag)
        said = self.diff("images: ['HOST/a/b:*']\n",
                         "lists:\n- {prefix: vo, images: ['HOST/a/b:2']}\n"
                         "- {images: [{image: HOST/a/b:1, suspend: yes}]}\n")
        self.assertEqual(["vo/a/b:2"], self.names(said["wanted"]))
        self.assertEqual(["a/b:2"], self.names(said["unwanted"]), "what is suspended stays wanted")

    def test_only_what_can_change_names_asks(self):
        old = "images: [{image: 'HOST/a/b:*', suspend: yes}, 'HOST/a/c:*']\n"
        said = self.diff(old, "chains: all\n" + old.replace("yes", "no"))
        self.assertEqual(["resumed", "changed"], [item["change"] for item in said["changes"]])
        self.assertEqual(2, said["changes"][1]["entries"])
        self.assertEqual([], self.server.seen(""))

    def test_offline(self):
        self.server.behave("", status=500)
        said = self.diff("chains: all\nimages: ['HOST/a/b:*', HOST/a/c:1]\n", "images: ['HOST/a/b:1.*', HOST/a/c:1]\n",
                         "--offline")
        self.assertEqual([], self.server.seen(""))
        self.assertIsNone(said["wanted"])
        self.assertIsNone(said["unwanted"])
        self.assertEqual(["added", "removed", "changed"], [item["change"] for item in said["changes"]])
        self.assertEqual(("chains", "all", None, 1), tuple(said["changes"][2][key] for key in
                                                           ("setting", "before", "after", "entries")))

    def test_what_cannot_be_known(self):
        self.image("a/b", "1")
        self.server.behave("/a/b/tags/list", status=500)
        said = self.diff("images: ['HOST/a/b:*']\n", "images: [HOST/a/b:2]\n", status=1)
        self.assertEqual(["a/b:2"], self.names(said["wanted"]))
        self.assertEqual([], said["unwanted"], "nobody knows")
        [unknown] = said["not_known"]
        self.assertIn("the list of tags", unknown["message"])
        self.server.well_behaved()
        said = self.diff("images: [{image: HOST/a/b, glob: x}]\n", "images: [{image: HOST/a/b, glob: y}]\n", status=1)
        [unknown] = said["not_known"]
        self.assertEqual((self.path("new.yaml") + ":3", "not-found"), (unknown["place"], unknown["kind"]),
                         "an entry that selects nothing is a mistake in the new list only")

    def test_lists_that_are_wrong(self):
        said = self.diff("images: []\n", "images: [HOST/a/b:1, 'x y']\n", "--offline", status=1)
        self.assertEqual(["error"], [item["severity"] for item in said["problems"]])
        broken = self.recipe("version: 2\nimagse: []\n", "broken.yaml")
        good = self.recipe(HEAD + "images: []\n", "good.yaml")
        for pair in ((broken, good), (good, broken), (good, self.path("missing.yaml"))):
            self.assertEqual("", self.run_diff(*pair, status=2))

    def test_text_and_git_sources(self):
        self.image("a/b", "1")
        tree = WorkTree(self.path("tree"))
        text = (HEAD + "images:\n- HOST/a/b:1\n").replace("HOST", f"http://{self.server.host}").replace("DIR", self.scratch)
        tree.commit(list_yaml=text)
        tree.git("branch", "before")
        tree.commit(list_yaml="# a remark\n" + text.replace("a/b:1", "a/b:2") + f"- http://{self.server.host}/a/c:1\n")
        source = f"git+file://{tree.directory}//list.yaml@"
        before = set(os.listdir("/tmp"))
        said = self.run_diff(source + "before", source + "main")
        self.assertEqual(set(), {name for name in set(os.listdir("/tmp")) - before if name.startswith("ducc-list-")})
        self.assertRegex(said, rf"added +http://{self.server.host}/a/b:2\n +.*list.yaml@main:5, for {self.path('repo')}\n")
        self.assertRegex(said, rf"removed +http://{self.server.host}/a/b:1\n +.*list.yaml@before:4, ")
        self.assertRegex(said, rf"unwanted +{self.server.host}/a/b:1\n")
        self.assertTrue(said.endswith("entries: 2 added, 1 removed, 0 suspended, 0 resumed; 0 settings changed; "
                                      "names: 2 become wanted, 1 unwanted\n"), said)
        said = self.program.run("plan", "--json", source + "before", check=True, state=False).stdout
        self.assertEqual("new", json.loads(said)["repositories"][0]["images"][0]["fate"])
        self.assertEqual("", self.run_diff(source + "before", source + "vanished", status=2))


if __name__ == "__main__":
    unittest.main()
