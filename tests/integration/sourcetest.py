"""What tests of lists from elsewhere share: images that a list may want, and passes over it."""

import os
import time

from backends import Directory
from failing import add, layer
from gitrepo import WorkTree
from harness import Image
from service import ServiceTest


class SourceTest(ServiceTest):
    """With a registry that has a/b:1 to a/b:4, and the repository of a list at `work.bare`."""

    def setUp(self):
        super().setUp()
        self.source, self.backend = self.misbehaving(), Directory(self.scratch)
        self.images = {tag: self.push(tag, f"tag {tag}") for tag in "1234"}
        os.mkdir(self.path("git"))
        self.work = WorkTree(self.path("work"), bare=self.path("git", "lists.git"))
        self.program = self.ducc()
        self.settings = {}

    def push(self, tag, text):
        return add(self.source, "a/b", tag, Image([layer(text)]))

    def name(self, tag):
        return f"{self.source.host}/a/b:{tag}"

    def text(self, *tags):
        lines = "".join(f"- http://{self.name(tag)}\n" for tag in tags)
        return f"version: 2\nrepository: {self.backend.argument}\nimages:\n{lines}"

    def commit(self, *tags, push=("--force",)):
        commit = self.work.commit(list_yaml=self.text(*tags))
        self.work.push(*push)
        return commit

    def take(self, *urls, status=0, env=None):
        """One pass over the lists; the tags that were published by it. Every run is a new process."""
        self.source.requests.clear()
        config = self.configure(urls, sources=self.settings.get("sources", {}),
                                registries=self.settings.get("registries", {}))
        result = self.poll(self.program, config, status=status, env=env)
        self.assertNotIn("Sanitizer", result.stderr)
        self.log = result.stderr
        return sorted(name[-1] for name, outcome in self.outcomes.items() if outcome == "published")

    def published(self):
        return sorted(tag for tag in self.images
                      if os.path.lexists(os.path.join(self.backend.view, self.name(tag))))

    def assert_in_force(self, url, says, *tags, **how):
        """The list cannot be had, which is said; that of the last time, with these tags, still holds: a tag that is
        pushed again is published."""
        self.push(tags[0], f"pushed at {time.monotonic()}")
        self.assertEqual(self.take(url, status=1, **how), [tags[0]])
        self.assertEqual(sorted(name[-1] for name in self.outcomes if name.startswith(self.source.host)), sorted(tags))
        self.assertRegex(self.log, says)
