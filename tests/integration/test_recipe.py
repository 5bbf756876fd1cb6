"""Recipes of version 2: several repositories and lists, selectors, limits, and expansion that is safe to act on."""

import os
import shutil
import unittest

import recipes     # as modules: their tests are not to be run once more here
import test_registry_signatures
from harness import Image, digest_of
from published import assert_public_name, place
from test_registry_misbehaving import layer


class VersionTwoTest(recipes.RecipeTest):
    # Where to -----------------------------------------------------------------------------------------------------

    def test_lists_repositories_and_prefixes(self):
        image = self.image("a/b", "1")
        text = """version: 2
repository: DIR/one
lists:
  - images: [HOST/a/b:1]
  - {prefix: vo/prod, chains: none, images: [HOST/a/b:1]}
  - {repository: DIR/two, flat: no, images: [HOST/a/b:1]}
"""
        self.run_recipe(text)
        name = f"{self.server.host}/a/b:1"
        for prefix in ("", "vo/prod/"):
            assert_public_name(self, self.path("one"), prefix + name, image.config_digest)
            self.assertTrue(os.path.exists(self.path("one", ".metadata", prefix + name, "manifest.json")))
        with open(self.path("one", "podmanStore/overlay-images/images.json"), encoding="utf-8") as images:
            self.assertNotIn("vo/prod", images.read())
        self.assertTrue(os.path.isdir(self.path("two", place("layers", image.layer_digests[0]))))
        self.assertFalse(os.path.lexists(self.path("two", name)), "flat: no")
        self.server.forget_requests()
        self.run_recipe(text)
        self.assertEqual({"HEAD"}, {request.method for request in self.server.seen("/manifests/")})

    def test_a_repository_that_cannot_be_used_is_the_worst(self):
        self.image("a/b", "1")
        with open(self.path("file"), "w", encoding="utf-8") as out:
            out.write("no folder")
        self.run_recipe("version: 2\nlists:\n"
                        "  - {repository: DIR/file, images: [HOST/a/b:1]}\n"
                        "  - {repository: DIR/repo, images: [HOST/a/b:1]}\n", status=3)

    def test_an_entry_with_platforms_goes_before_the_others(self):
        images = [Image([layer(arch)], architecture=arch) for arch in ("amd64", "arm64")]
        for tag in ("1", "2"):
            self.add_index("a/b", tag, images)
        text = """version: 2
repository: DIR/repo
images:
  - HOST/a/b:*
  - {image: HOST/a/b:2, platforms: [linux/arm64]}
"""
        for _ in range(2):
            self.run_recipe(text)
            assert_public_name(self, self.path("repo"), f"{self.server.host}/a/b:1", images[0].config_digest)
            assert_public_name(self, self.path("repo"), f"{self.server.host}/a/b:2", images[1].config_digest)

    # Which tags ---------------------------------------------------------------------------------------------------

    def test_selectors(self):
        for tag in ("1.0", "1.1", "1.1-rc1", "1.2", "2.0", "latest", "1.2-slim", "sha256-" + "0" * 64 + ".sig"):
            self.image("a/b", tag)
        for keys, expected in (("glob: '1.?'", ["1.0", "1.1", "1.2"]),
                               ("glob: ['1.*', latest], exclude: ['*-*', 1.0]", ["1.1", "1.2", "latest"]),
                               ("semver: '>=1.1 <2'", ["1.1", "1.2"]),
                               ("regex: '([0-9.]+)-slim', newest: 1", ["1.2-slim"]),
                               ("newest: 2", ["1.2", "2.0"]),
                               ("exclude: '1*'", ["2.0", "latest"])):
            with self.subTest(keys):
                self.run_recipe("version: 2\nrepository: DIR/repo\nimages:\n- {image: HOST/a/b, %s}\n" % keys)
                self.assertEqual(expected, self.tags("a/b"))
                shutil.rmtree(self.path("repo"))

    def test_one_list_of_tags_for_all_entries_of_a_repository(self):
        for tag in ("1.0", "1.1", "2.0"):
            self.image("a/b", tag)
        self.run_recipe("version: 2\nrepository: DIR/repo\nimages:\n"
                        "  - HOST/a/b:1.*\n  - HOST/a/b:*0\n  - {image: HOST/a/b, newest: 1}\n")
        self.assertEqual(["1.0", "1.1", "2.0"], self.tags("a/b"))
        self.assertEqual(1, len(self.server.seen("/tags/list")))

    def test_the_newest_by_creation(self):
        for number, day in enumerate((3, 9, 1, 7)):
            self.image("a/b", f"t{number}", created=f"2024-05-0{day}T00:00:00Z")
        self.image("a/b", "never", created="1970-01-01T00:00:00Z")
        text = ("version: 2\nrepository: DIR/repo\nimages:\n"
                "  - {image: HOST/a/b, newest: 2, by: created, glob: ['t*', never]}\n")
        self.run_recipe(text)
        self.assertEqual(["t1", "t3"], self.tags("a/b"))
        self.image("a/b", "t4", created="2024-05-08T12:00:00+02:00")
        self.run_recipe(text)
        self.assertEqual(["t1", "t3", "t4"], self.tags("a/b"), "what is no longer selected stays")
        # What is published is read from the repository: no manifest of those two.
        self.server.forget_requests()
        self.run_recipe(text)
        asked = {request.path.rsplit("/", 1)[1] for request in self.server.seen("/manifests/", "GET")}
        self.assertFalse(asked & {self.digest("t1"), self.digest("t4"), "t1", "t4"}, asked)

    def test_the_newest_by_creation_of_indexes(self):
        """The image for the wanted platform says when; an index without one is not selected."""
        def made(day, arch):
            def created(config):
                config["created"] = f"2024-05-{day:02}T00:00:00Z"
            return Image([layer(f"{arch}{day}")], edit_config=created, architecture=arch)
        for tag, amd64, arm64 in (("x", 1, 9), ("y", 5, 2), ("z", 3, 30)):
            self.add_index("a/b", tag, [made(amd64, "amd64"), made(arm64, "arm64")], nested=tag == "y")
        self.add_index("a/b", "other", [made(31, "arm64")])
        text = "version: 2\nrepository: DIR/%s\nimages:\n  - {image: HOST/a/b, newest: %d, by: created%s}\n"
        self.run_recipe(text % ("repo", 1, ""))
        self.assertEqual(["y"], self.tags("a/b"))
        self.run_recipe(text % ("repo", 2, ""))
        self.assertEqual(["y", "z"], self.tags("a/b"))
        self.run_recipe(text % ("arm", 2, ", platforms: [linux/arm64]"))
        self.assertEqual(["other", "z"], self.tags("a/b", repo="arm"))

    def digest(self, tag):
        return digest_of(self.server.manifests["a/b", tag][1])

    def test_newer_than(self):
        self.image("a/b", "old", created="2001-05-01T00:00:00Z")
        self.image("a/b", "new", created="2100-05-01T00:00:00Z")
        self.run_recipe("version: 2\nrepository: DIR/repo\nimages:\n- {image: HOST/a/b, newer_than: 90d}\n")
        self.assertEqual(["new"], self.tags("a/b"))

    def test_too_many_images_to_look_at(self):
        self.image("a/b", *(f"t{number}" for number in range(3)))
        image = Image([layer("x")])
        for number in range(501):
            self.server.add_manifest("a/c", f"t{number}", image.manifest.decode() + " " * number, image.types["manifest"])
        for data in image.blobs.values():
            self.server.add_blob(data)
        result = self.run_recipe("version: 2\nrepository: DIR/repo\nimages:\n"
                                 "  - {image: HOST/a/b, newest: 2, by: created}\n"
                                 "  - {image: HOST/a/c, newest: 2, by: created}\n", status=1)
        self.assertIn("more than 500 images that are not published would have to be looked at", result.stdout)
        self.assertEqual(2, len(self.tags("a/b")))
        self.assertEqual([], self.tags("a/c"))

    def test_nothing_selected_is_a_failure(self):
        self.image("a/b", "latest")
        result = self.run_recipe("version: 2\nrepository: DIR/repo\nimages:\n- {image: HOST/a/b, newest: 1}\n", status=1)
        self.assertIn("no tag of 1 is selected by newest=1 by=semver (those that are no versions are left out", result.stdout)

    # Limits -------------------------------------------------------------------------------------------------------

    def test_more_tags_than_the_list_allows(self):
        for tag in ("1", "2"):
            self.image("a/b", tag)
        text = "version: 2\nrepository: DIR/repo\nlimits: {tags: 2}\nimages: ['HOST/a/b:*']\n"
        self.run_recipe(text)
        self.image("a/b", "3")
        moved = Image([layer("moved")])
        self.add("a/b", "1", moved)
        result = self.run_recipe(text, status=1)
        self.assertIn("selects 3 tags, more than the 2 that its list allows (limits: tags)", result.stdout)
        self.assertIn("recipe.yaml:4", result.stdout)
        self.assertEqual(["1", "2"], self.tags("a/b"), "not one of the new ones")
        assert_public_name(self, self.path("repo"), f"{self.server.host}/a/b:1", moved.config_digest)

    def test_an_image_that_is_too_large(self):
        self.add("a/b", "large", Image([layer("large", 300000)]))
        self.add("a/b", "small", Image([layer("small")]))
        result = self.run_recipe("version: 2\nrepository: DIR/repo\nlimits: {image_size: 200K}\n"
                                 "images: [HOST/a/b:large, HOST/a/b:small]\n", status=1)
        self.assertIn("compressed, more than the 200.0 kB that its list allows (limits: image_size)", result.stdout)
        self.assertEqual(["small"], self.tags("a/b"))

    # Safe -----------------------------------------------------------------------------------------------------------

    def test_tags_that_cannot_be_read_stay_wanted(self):
        for tag in ("1.0", "1.1", "2.0"):
            self.image("a/b", tag)
        self.image("a/c", "1.9")
        text = ("version: 2\nrepository: DIR/repo\nprefix: vo\nimages:\n"
                "  - {image: HOST/a/b, glob: '1.*', newest: 1, by: name}\n  - HOST/a/b:1.0\n  - HOST/a/c:1.9\n")
        self.run_recipe(text)
        self.assertEqual(["1.0", "1.1"], self.tags("a/b", prefix="vo"))
        moved = Image([layer("moved")])
        self.add("a/b", "1.1", moved)
        self.server.behave("/a/b/tags/list", status=500)
        self.server.forget_requests()
        result = self.run_recipe(text, status=1)
        self.assertIn("the list of tags", result.stdout)
        polled = {request.path.rsplit("/", 1)[1] for request in self.server.seen("/a/b/manifests/", "HEAD")}
        self.assertEqual({"1.0", "1.1"}, polled, "those known before, and no others")
        assert_public_name(self, self.path("repo"), f"vo/{self.server.host}/a/b:1.1", moved.config_digest)
        self.assertEqual(["1.9"], self.tags("a/c", prefix="vo"))

    def test_what_disappears_or_leaves_the_list_stays(self):
        for tag in ("1", "2"):
            self.image("a/b", tag)
        self.run_recipe("version: 2\nrepository: DIR/repo\nimages: ['HOST/a/b:*']\n")
        self.server.tags["a/b"].remove("2")
        self.run_recipe("version: 2\nrepository: DIR/repo\nimages: ['HOST/a/b:*']\n")
        self.run_recipe("version: 2\nrepository: DIR/repo\nimages: []\n")
        self.assertEqual(["1", "2"], self.tags("a/b"))

    def test_suspended(self):
        self.image("a/b", "1")
        result = self.run_recipe("version: 2\nrepository: DIR/repo\nimages:\n- {image: HOST/a/b:1, suspend: yes}\n")
        self.assertIn("1 entry is suspended", result.stderr)
        self.assertEqual([], self.server.seen(""))

    def test_excluded_and_suspended_images_are_not_published(self):
        """By convert and by poll; and the next pass, which finds some of them published, changes nothing either."""
        for tag in ("1", "2", "2-rc", "3"):
            self.image("a/b", tag)
            self.image("a/c", tag)
        text = ("version: 2\nrepository: DIR/%s\nimages:\n"
                "  - {image: HOST/a/b, glob: ['1', '2*'], exclude: ['*-rc']}\n"
                "  - {image: HOST/a/b:3, suspend: yes}\n  - {image: 'HOST/a/c:*', suspend: yes}\n")
        config = self.path("ducc.yaml")
        with open(config, "w", encoding="utf-8") as out:
            out.write(f"lists:\n  - source: {self.path('polled.yaml')}\n")
        path = self.recipe(text % "repo")
        self.recipe(text % "polled", "polled.yaml")
        for _ in range(2):
            self.program.run("convert", path, check=True)
            self.program.run("poll", "--config", config, check=True)
            for repository in ("repo", "polled"):
                self.assertEqual(["1", "2"], self.tags("a/b", repo=repository))
                self.assertEqual([], self.tags("a/c", repo=repository))
        self.assertEqual([], self.server.seen("/a/b/manifests/(3|2-rc)$"))
        self.assertEqual([], self.server.seen("/a/c/"))

    def test_a_bad_entry_and_a_bad_file(self):
        self.image("a/b", "1")
        result = self.run_recipe("version: 2\nrepository: DIR/repo\nimages:\n- HOST/a/b:1\n"
                                 "- {image: HOST/a/b, semver: x.y}\n", status=1)
        self.assertIn("recipe.yaml:5:", result.stdout)
        self.assertEqual(["1"], self.tags("a/b"))
        self.recipe("version: 2\nimages: [HOST/a/b:2]\nimagse: []\n", "vo/part.yaml")
        result = self.run_recipe("version: 2\nrepository: DIR/other\nimages: [HOST/a/b:1]\ninclude: vo/part.yaml\n", status=2)
        self.assertIn('vo/part.yaml:3:1: unknown key "imagse"; did you mean "images"?', result.stderr)
        self.assertFalse(os.path.exists(self.path("other")))


    # Signed -------------------------------------------------------------------------------------------------------

    key, signature, manifest, sign = (getattr(test_registry_signatures.SignatureTest, name)
                                      for name in ("key", "signature", "manifest", "sign"))

    def test_signatures_of_a_list(self):
        image = self.image("a/b", "1")
        private, public = self.key("ecdsa")
        _, other = self.key("ecdsa", "other")
        text = "version: 2\nrepository: DIR/repo\nsignature: %s\nimages: [HOST/a/b:1]\n"
        result = self.run_recipe(text % os.path.basename(public), status=1)
        self.assertIn("wants a signature: it is not signed", result.stdout)
        self.sign("ecdsa", private, image.digest)
        self.run_recipe(text % os.path.basename(other), status=1)
        self.assertEqual([], self.tags("a/b"))
        self.run_recipe(text % f"[{os.path.basename(other)}, {os.path.basename(public)}]")
        self.assertEqual(["1"], self.tags("a/b"))


if __name__ == "__main__":
    unittest.main()
