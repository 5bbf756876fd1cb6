"""Selectors over tag sets that registries have (tests/data/tags), compared with what others say of the same tags."""

import fnmatch
import json
import os
import re
import unittest

import recipes     # as a module: its class is no test of this file
import semantic_version

TAGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../data/tags")


class SelectorTest(recipes.RecipeTest):
    def setUp(self):
        super().setUp()
        self.known = {}
        for image in ("debian", "golang", "python"):
            with open(os.path.join(TAGS, image), encoding="ascii") as source:
                self.known[image] = source.read().split()
            self.assertGreater(len(self.known[image]), 2500)
            self.server.tags[f"library/{image}"] = list(self.known[image])

    def selected(self, entries):
        """The tags of each entry, {name: (image, keys)}: all of them asked for in one run."""
        old = self.recipe("version: 2\nrepository: DIR/repo\nimages: []\n", "old.yaml")
        lists = [f"- {{prefix: {name}, images: [{{image: HOST/library/{image}, {keys}}}]}}\n"
                 for name, (image, keys) in entries.items()]
        new = self.recipe("version: 2\nrepository: DIR/repo\nlists:\n" + "".join(lists), "new.yaml")
        said = json.loads(self.program.run("diff", "--json", old, new, check=0, state=False).stdout)
        found = {name: set() for name in entries}
        for item in said["wanted"]:
            prefix, _, rest = item["image"].partition("/")
            found[prefix].add(rest.rpartition(":")[2])
        return found

    def compare(self, entries, expected_of):
        found = self.selected({f"e{number}": entry[:2] for number, entry in enumerate(entries)})
        for number, (image, keys, text) in enumerate(entries):
            with self.subTest(f"{image}, {keys}"):
                expected = {tag for tag in self.known[image] if expected_of(text, tag)}
                self.assertGreater(len(expected), 1)
                self.assertEqual(expected, found[f"e{number}"])
        # Pages of tags, each read once.
        asked = [request.path for request in self.server.seen("/tags/list")]
        self.assertEqual(len(asked), len(set(asked)))

    def test_ranges_are_those_of_npm(self):
        """Of releases; what is a prerelease to npm is a variant here, and left out."""
        def is_in(text, tag):
            parts = re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?", tag)
            if not parts:
                return False
            version = ".".join(str(int(part or 0)) for part in parts.groups())
            return semantic_version.NpmSpec(text).match(semantic_version.Version(version))
        ranges = ("^1.20.3", "~1.21", ">=1.19.4 <1.22", "1.20.x || >=1.25.0", "1.18.2 - 1.19", "=1.21.3 || =1.21.5", ">1.26", "*", "<1.9")
        self.compare([("golang", f"semver: '{text}'", text) for text in ranges], is_in)
        self.compare([("python", f"semver: '{text}'", text) for text in (">=3.12 <3.13", "^3.13", "~2.7", "3.x")], is_in)

    def test_globs_and_expressions(self):
        globs = ("*-slim", "3.1[0-3].*", "3.1[!0-3]*", "*-alpine3.2?", "3.?", "[!0-9]*", "*rc[12]*")
        self.compare([("python", f"glob: '{text}'", text) for text in globs], lambda text, tag: fnmatch.fnmatchcase(tag, text))
        expressions = (r"(bookworm|trixie)-20\d{6}-slim", r"1[0-3]\.\d+", r"(?i)BULLSEYE.*", r"[a-z]+", r"(?!.*slim).*-backports")
        self.compare([("debian", f"regex: '{text}'", text) for text in expressions], lambda text, tag: re.fullmatch(text, tag))

    def test_the_newest(self):
        found = self.selected({"a": ("debian", "newest: 3, glob: '[0-9]*'"), "b": ("debian", "newest: 2, regex: '([0-9.]+)-slim'"),
                               "c": ("debian", "newest: 2, by: name, glob: 'bookworm-20*', exclude: '*-slim'"),
                               "d": ("python", "newest: 2, semver: '~3.11'"), "e": ("golang", "newest: 1, regex: '([0-9.]+)-alpine3.19'"),
                               "f": ("python", "newest: 1, exclude: ['*-*', '3.15*', '3', '3.14']")})
        releases = sorted((tag for tag in self.known["debian"] if re.fullmatch(r"bookworm-20\d{6}", tag)), reverse=True)
        self.assertEqual({"a": {"13.6", "13.6-slim", "13.5"}, "b": {"13.6-slim", "13.5-slim"}, "c": set(releases[:2]),
                          "d": {"3.11.15", "3.11.16"}, "e": {"1.23.4-alpine3.19"}, "f": {"3.14.7"}}, found)


if __name__ == "__main__":
    unittest.main()
