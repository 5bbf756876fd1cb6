"""What tests of recipes share."""

import os

import test_registry_misbehaving     # whose tests are not to be run once more here
from harness import Image
from test_registry_misbehaving import layer


class RecipeTest(test_registry_misbehaving.StandInTest):
    """A program, a registry, and recipes that name them."""

    def setUp(self):
        super().setUp()
        self.program = self.ducc()

    def recipe(self, text, name="recipe.yaml"):
        """HOST and DIR in the text are the registry's (with its scheme) and the scratch directory's."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text.replace("HOST", f"http://{self.server.host}").replace("DIR", self.scratch))
        return path

    def run_recipe(self, text, status=0):
        return self.program.run("convert", self.recipe(text), check=status)

    def image(self, repository, *tags, **how):
        def created(config):
            config["created"] = how["created"]
        image = Image([layer(tags[0] + repository)], edit_config=created if "created" in how else None)
        for tag in tags:
            self.add(repository, tag, image)
        return image

    def tags(self, repository, repo="repo", prefix=""):
        """The tags that are published of a repository."""
        folder, _, base = self.path(repo, prefix, self.server.host, repository).rpartition("/")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return sorted(name[len(base) + 1:] for name in names if name.startswith(base + ":"))
