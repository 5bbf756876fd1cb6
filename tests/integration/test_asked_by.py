"""Each published image records which list, line and commit asked for it; and what becomes of that."""

import json
import os
import unittest

import recipes     # as a module: its class is no test of this file
from gitrepo import WorkTree
from harness import Image
from test_registry_misbehaving import layer


class AskedByTest(recipes.RecipeTest):
    def setUp(self):
        super().setUp()
        self.tree = WorkTree(self.path("tree"))
        self.source = f"git+file://{self.tree.directory}//"

    def list(self, text, name="list.yaml"):
        """A commit of it."""
        self.tree.write(name, text.replace("HOST", f"http://{self.server.host}").replace("DIR", self.scratch))
        return self.tree.commit()

    def convert(self, status=True):
        return self.program.run("convert", self.source + "list.yaml@main", check=status)

    def image(self, name):
        said = json.loads(self.program.run("status", "--json").stdout)
        [found] = [image for image in said["images"] if image["name"].endswith(f"{self.server.host}/{name}")]
        return found

    def why(self, name):
        return " ".join(self.program.run("why", f"http://{self.server.host}/{name}").stdout.split())

    def test_list_line_and_commit(self):
        for tag in ("1", "2"):
            self.image_of("a/b", tag)
        head = "version: 2\nrepository: DIR/repo\ninclude: vo/part.yaml\nimages:\n"
        self.list("version: 2\nimages:\n- HOST/a/b:2*\n", "vo/part.yaml")
        first = self.list(head + "- HOST/a/b:1\n")
        self.convert()
        place = self.source + "list.yaml@main:5"
        self.assertEqual(f"{place}@{first}", self.image("a/b:1")["published_for"])
        self.assertEqual(f"{self.source}vo/part.yaml@main:3@{first}", self.image("a/b:2")["published_for"])
        self.assertIn(f"It was asked for by {place}@{first}.", self.why("a/b:1"))
        # The line moves, and the image does not: what it was published for stays, who asks for it now is another line.
        second = self.list("# a remark\n" + head + "- HOST/a/b:1\n")
        self.convert()
        self.assertEqual(f"{place}@{first}", self.image("a/b:1")["published_for"])
        [asked] = self.image("a/b:1")["asked_by"]
        self.assertEqual((self.source + "list.yaml@main", second, 6), (asked["list"], asked["revision"], asked["line"]))
        # Published anew, for the line and the commit of now.
        self.image_of("a/b", "1", "moved")
        self.convert()
        self.assertEqual(f"{self.source}list.yaml@main:6@{second}", self.image("a/b:1")["published_for"])
        history = json.loads(self.program.run("why", "--json", f"http://{self.server.host}/a/b:1").stdout)["history"]
        self.assertEqual([f"{self.source}list.yaml@main:6@{second}", f"{place}@{first}"],
                         [item["published_for"] for item in history if item["what"] == "published"])

    def image_of(self, repository, tag, content=None):
        return self.add(repository, tag, Image([layer(content or tag + repository)]))

    def test_after_the_state_was_lost(self):
        """The repository does not say who asked; the next pass over the list does."""
        self.image_of("a/b", "1")
        self.image_of("a/b", "2")
        commit = self.list("version: 2\nrepository: DIR/repo\nimages:\n- HOST/a/b:1\n- HOST/a/b:2\n")
        self.convert()
        os.unlink(os.path.join(self.program.state_dir, "state.db"))
        self.program.run("rebuild-state", self.path("repo"), check=True)
        self.assertIsNone(self.image("a/b:1")["published_for"])
        commit = self.list("version: 2\nrepository: DIR/repo\nimages:\n- HOST/a/b:1\n")
        self.server.forget_requests()
        self.convert()
        self.assertEqual([], self.server.seen("/blobs/"), "nothing is published for that")
        self.assertEqual(f"{self.source}list.yaml@main:4@{commit}", self.image("a/b:1")["published_for"])
        self.assertIsNone(self.image("a/b:2")["published_for"], "no list asks for it")

    def test_expansion_makes_names_unwanted_and_deletes_nothing(self):
        """A tag that is gone, an exclude, an entry that leaves; and a suspended entry keeps its names."""
        for tag in ("1", "2", "3", "4"):
            self.image_of("a/b", tag)
        head = "version: 2\nrepository: DIR/repo\nimages:\n"
        self.list(head + "- HOST/a/b:[123]\n- HOST/a/b:4\n")
        self.convert()
        self.server.tags["a/b"].remove("3")
        del self.server.manifests["a/b", "3"]
        self.list(head + "- {image: HOST/a/b, glob: '[123]', exclude: '2'}\n- {image: HOST/a/b:4, suspend: yes}\n")
        self.image_of("a/b", "4", "moved")
        self.server.forget_requests()
        self.convert(status=False)
        states = {tag: self.image(f"a/b:{tag}")["state"] for tag in "1234"}
        self.assertEqual({"1": "published", "2": "unwanted", "3": states["3"], "4": "suspended"}, states)
        self.assertEqual([], self.server.seen("/manifests/[24]"), "neither an excluded tag nor a suspended one is looked at")
        self.assertEqual(["1", "2", "3", "4"], self.tags("a/b"), "nothing is deleted")
        self.list(head.replace("images:\n", "images: []\n"))
        self.convert(status=False)
        self.assertEqual({"unwanted"}, {self.image(f"a/b:{tag}")["state"] for tag in "124"})
        self.assertEqual(["1", "2", "3", "4"], self.tags("a/b"))


if __name__ == "__main__":
    unittest.main()
