"""Lists that left the configuration, and repositories that left a recipe: what only they asked for is unwanted."""

import json
import os
import unittest

from backends import Directory
from failing import add, layer
from harness import Image
from service import ServiceTest


class LeftListTest(ServiceTest):
    def setUp(self):
        super().setUp()
        self.source = self.misbehaving()
        self.program = self.ducc()

    def publishable(self, tag):
        """A name, and its image."""
        return f"{self.source.host}/a/b:{tag}", add(self.source, "a/b", tag, Image([layer(tag)]))

    def states(self, backend):
        said = json.loads(self.program.run("status", "--json", "--repo", backend.argument).stdout)
        return {one["name"].rpartition(":")[2]: one["state"] for one in said["images"]}

    def wait_states(self, backend, service, **states):
        expected = {tag.strip("_"): state for tag, state in states.items()}
        self.wait_for(lambda: self.states(backend) == expected, service, message=f"{expected} ({self.states(backend)})")

    def fetched(self):
        return len(self.source.seen("/blobs/", "GET"))


class DaemonTest(LeftListTest):
    def run_lists(self, *tags):
        """A list a tag, followed by a daemon that has published all."""
        self.backend = Directory(self.scratch)
        images = [self.publishable(tag) for tag in tags]
        self.lists = [self.recipe(f"{tag}.yaml", self.backend.argument, [name], "1d")
                      for tag, (name, _) in zip(tags, images, strict=True)]
        service = self.daemon(self.program, self.configure(self.lists))
        for name, image in images:
            self.wait_published(self.backend, name, image, service)
        self.wait_states(self.backend, service, **{f"_{tag}": "published" for tag in tags})
        return service

    def test_a_list_that_leaves_and_comes_back(self):
        service = self.run_lists("1", "2")
        fetched = self.fetched()
        self.configure(self.lists[:1])
        service.reload()
        self.wait_states(self.backend, service, _1="published", _2="unwanted")
        left = f"list {self.lists[1]} left the configuration {self.path('ducc.yaml')}: 1 image of "
        self.assertIn(left, service.log())
        self.configure(self.lists)
        service.reload()
        self.wait_states(self.backend, service, _1="published", _2="published")
        self.assertEqual(self.fetched(), fetched)
        self.configure([])
        service.reload()
        self.wait_states(self.backend, service, _1="unwanted", _2="unwanted")
        self.assertEqual(service.stop(), 0)
        self.assertEqual(service.log().count(left), 2, "once each time")

    def test_a_new_list_that_cannot_be_read_holds_everything_back(self):
        service = self.run_lists("1", "2")
        self.configure([self.lists[0], self.path("missing.yaml")])
        service.reload()
        self.wait_for(lambda: f"list {self.lists[1]} left the configuration, and asks on until" in service.log(), service)
        with open(self.path("ducc.yaml"), "w", encoding="utf-8") as out:
            out.write("lists: [\n")
        service.reload()
        self.wait_for(lambda: "the configuration stays as it was" in service.log(), service)
        os.unlink(self.path("ducc.yaml"))
        service.reload()
        self.wait_for(lambda: service.log().count("the configuration stays as it was") == 2, service)
        os.unlink(self.lists[0])        # what was read from it stays in force
        self.configure(self.lists)
        service.reload()
        self.wait_for(lambda: "read the configuration again" in service.log(), service)
        self.assertEqual(service.stop(), 0)
        self.assertEqual(self.states(self.backend), {"1": "published", "2": "published"})
        self.assertNotIn("unwanted", service.log())

    def test_what_is_under_way_of_a_list_that_left_ends_as_it_began(self):
        """It is published, nothing that is recorded meanwhile is lost, and the list does not come back."""
        service = self.run_lists("1")
        name, image = self.publishable("v1")
        self.source.behave("/a/b/tags/list", delay=3)
        config = self.configure([*self.lists, self.recipe("2.yaml", self.backend.argument, [f"{self.source.host}/a/b:v*"])])
        service.reload()
        self.wait_for(lambda: self.source.seen("/a/b/tags/list"), service)
        self.configure(self.lists)
        service.reload()
        self.wait_for(lambda: f"left the configuration {config}: 0 images" in service.log(), service)
        self.wait_published(self.backend, name, image, service)
        self.assertEqual(service.stop(), 0)
        self.assertNotIn("could not be recorded", service.log())
        said = json.loads(self.program.run("status", "--json").stdout)
        self.assertEqual([one["url"] for one in said["lists"]], self.lists)

    def test_a_recipe_that_drops_a_repository(self):
        self.drop_a_repository(lambda recipe: self.daemon(self.program, self.configure([recipe])))

    def test_the_recipe_of_a_loop_drops_a_repository(self):
        self.drop_a_repository(lambda recipe: self.service(self.program, "loop", recipe))

    def drop_a_repository(self, start):
        kept, dropped = Directory(self.path("kept")), Directory(self.path("dropped"))
        images = [self.publishable(tag) for tag in "12"]

        def write(*backends):
            with open(self.path("new.yaml"), "w", encoding="utf-8") as out:
                json.dump({"version": 2, "lists": [
                    {"repository": one.argument, "interval": "1d", "images": [f"http://{name}"]}
                    for one, (name, _) in zip(backends, images, strict=False)]}, out)
            os.rename(self.path("new.yaml"), self.path("list.yaml"))
            return self.path("list.yaml")
        service = start(write(kept, dropped))
        for backend, (name, image) in zip((kept, dropped), images, strict=True):
            self.wait_published(backend, name, image, service)
        write(kept)
        service.reload()
        self.wait_states(dropped, service, _2="unwanted")
        self.wait_states(kept, service, _1="published")
        self.assertRegex(service.log(), r"list \S+list\.yaml does not ask for images of \S+ any more")
        self.assertEqual(service.stop(), 0)


class PassTest(LeftListTest):
    def config(self, name, *lists):
        os.rename(self.configure(lists), self.path(name))
        return self.path(name)

    def test_each_configuration_forgets_its_own_lists(self):
        """One of them in a repository that no list names any more; a one-off run's and the command line's stay."""
        backend, other = Directory(self.path("one")), Directory(self.path("other"))
        names = {tag: self.publishable(tag)[0] for tag in "12345"}
        lists = {tag: self.recipe(f"{tag}.yaml", (other if tag == "2" else backend).argument, [names[tag]]) for tag in "1234"}
        self.program.run("convert", lists["4"], check=True)
        self.program.run("convert", "--repo", backend.argument, f"http://{names['5']}", check=True)
        self.poll(self.program, self.config("second.yaml", lists["3"]))
        config = self.config("first.yaml", lists["1"], lists["2"])
        self.poll(self.program, config)
        self.poll(self.program, self.config("second.yaml", lists["3"]))
        wanted = dict.fromkeys("1345", "published")
        self.assertEqual((self.states(backend), self.states(other)), (wanted, {"2": "published"}))
        fetched = self.fetched()
        said = self.poll(self.program, self.config("first.yaml", lists["1"]))
        self.assertIn(f"list {lists['2']} left the configuration {config}: 1 image of ", said.stderr)
        self.assertEqual((self.states(backend), self.states(other)), (wanted, {"2": "unwanted"}))
        self.assertNotIn("left", self.poll(self.program, config).stderr)
        self.poll(self.program, self.config("first.yaml", lists["2"], lists["3"]))
        self.assertEqual((self.states(backend), self.states(other)),
                         ({**wanted, "1": "unwanted"}, {"2": "published"}))
        self.poll(self.program, self.config("second.yaml", lists["1"]))
        self.assertEqual(self.states(backend), wanted, "the first asks for 3 now")
        self.assertEqual(self.fetched(), fetched)


if __name__ == "__main__":
    unittest.main()
