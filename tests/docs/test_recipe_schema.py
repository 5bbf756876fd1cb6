"""docs/recipe.schema.json against the program: what the one accepts, the other accepts."""

import glob
import json
import os
import re
import subprocess
import tempfile
import unittest

import jsonschema
import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "../..")
DATA = os.path.join(HERE, "../data/recipe")
DIGEST = "@sha256:" + "0" * 64


class EditorLoader(yaml.SafeLoader):
    """As YAML 1.2 reads: yes, no, on and off are texts, while they are flags in 1.1. To both 1.2 is a number, and 1.0 is 1."""


EditorLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in rules
             if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")]
    for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()}
EditorLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read(path):
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as source:
        return source.read()


def headers(text):
    """{"expect": "6:5: …", …} of the comments at a file's beginning."""
    return dict(re.findall(r"^# (\w+): (.*?)\r?$", text, re.M))


class SchemaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(os.path.join(TOP, "docs/recipe.schema.json"), encoding="utf-8") as source:
            cls.schema = json.load(source)
        cls.validator = jsonschema.Draft7Validator(cls.schema)

    def accepts(self, text):
        """Whether an editor would be content, however it reads YAML's words; None if it cannot read it."""
        verdicts = set()
        for loader in (EditorLoader, yaml.SafeLoader):
            try:
                if any(isinstance(token, (yaml.AliasToken, yaml.TagToken)) for token in yaml.scan(text, loader)):
                    return None
                value = yaml.load(text, loader)
            except (yaml.YAMLError, ValueError):
                return None
            verdicts.add(self.validator.is_valid(value))
        self.assertEqual(1, len(verdicts), f"readers of YAML differ:\n{text}")
        return verdicts.pop()

    def program(self, text):
        """The messages that the program has for a recipe, by line."""
        with tempfile.TemporaryDirectory(prefix="ducc-schema-") as folder:
            path = os.path.join(folder, "recipe.yaml")
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
            done = subprocess.run([os.environ["DUCC_BINARY"], "lint", "--format", "json", path],
                                  capture_output=True, check=False, text=True)
        if done.returncode not in (0, 1):
            raise AssertionError(done.stderr)
        return {item["line"]: item["message"] for item in json.loads(done.stdout)["findings"]
                if item["rule"] == "syntax" and item["severity"] == "error"}

    def test_it_is_a_schema(self):
        jsonschema.Draft7Validator.check_schema(self.schema)

    def test_the_recipes_of_the_program_s_own_tests(self):
        """Their headers say what the program says (tests/unit/test_wishlist_recipe.c), and what the schema cannot know."""
        counts = {"good": 0, "bad": 0, "entry": 0}
        for path in sorted(glob.glob(os.path.join(DATA, "*.yaml"))):
            name = os.path.basename(path)
            kind = name.split("-")[0]
            text = read(path)
            with self.subTest(name):
                beyond = headers(text).get("schema")
                accepted = self.accepts(text)
                if kind == "good":
                    self.assertIs(True, accepted)
                elif beyond:
                    self.assertIs(True, accepted, f"the schema does know: \"{beyond}\" is to go")
                elif accepted is not None:
                    self.assertIs(False, accepted, "either the schema must know, or a line \"# schema: WHY\" say why not")
                counts[kind] += 1
        self.assertTrue(counts["good"] >= 9 and counts["bad"] >= 70 and counts["entry"] >= 25, counts)

    def test_what_editors_do_not_find_is_broken_yaml_or_unusual(self):
        """Files that have no verdict above: the program's reason must be YAML, not the recipe."""
        for path in glob.glob(os.path.join(DATA, "*.yaml")):
            if self.accepts(read(path)) is None:
                self.assertRegex(headers(read(path))["expect"], "YAML|UTF-8|second document|a key must be", path)

    def test_included_recipes(self):
        for name, accepted in (("part", True), ("version-1", True), ("broken", False), ("loop", True)):
            self.assertEqual(accepted, self.accepts(read(os.path.join(DATA, "include", name + ".yaml"))), name)

    def test_the_examples_of_the_documentation(self):
        found = re.findall(r"^```yaml\n(.*?)^```", read(os.path.join(TOP, "docs/recipe.md")), re.M | re.S)
        self.assertGreaterEqual(len(found), 2)
        for text in found:
            self.assertIs(True, self.accepts(text), text)

    def test_the_list_in_use(self):
        """It is not part of this repository: no test where it is not there."""
        path = os.path.join(os.environ.get("DUCC_SHARED", os.path.join(TOP, "../shared")), "recipe-images-unpacked.yaml")
        if not os.path.exists(path):
            return
        self.assertTrue(self.accepts(read(path)))

    ENTRIES = (
        "quay.io/a/b", "quay.io/a/b:1", "https://quay.io/a/b:v1.2_3-x", "http://localhost:5000/a", "localhost/a:1", "host:5000/a/b/c:1",
        "10.0.0.1/a:1", "'[::1]:5000/a:1'", "'[::1]/a:1'", "quay.io/a__b/c--d/e.f:1", "quay.io/a/b:*", "quay.io/a/b:1.*-py3*",
        "quay.io/a/b:1.?", "quay.io/a/b:1.[0-9]", "quay.io/a/b:[!v]*", "quay.io/a/b" + DIGEST, "quay.io/a/b:1" + DIGEST,
        "quay.io/a/b@sha512:" + "0" * 128, "quay.io/a/b@sha512:" + "0" * 64, "quay.io/a/b@sha256:" + "0" * 63,
        "quay.io/a/b@md5:" + "0" * 32, "quay.io/a/b:*" + DIGEST, "ubuntu", "ubuntu:1", "user/image:1", "QUAY.io/a:1",
        "quay.io/A/b:1", "quay.io//b:1", "quay.io/a/:1", "quay.io/a_-b:1", "quay.io/a..b:1", "quay.io/a___b:1", "quay.io/a/b:",
        "quay.io/a/b:.x", "quay.io/a/b:-x", "quay.io/a/b:x/y", "quay.io/a/b:" + "x" * 128, "quay.io/a/b:" + "x" * 129,
        "quay.io:0/a:1", "quay.io:x/a:1", "ftp://quay.io/a:1", "https://quay.io", "user:secret@quay.io/a:1", "'quay.io/a b:1'",
        "'quay.io/a/b:1 '", "quay.io/a/b:\u00e4", "-quay.io/a:1", "quay-.io/a:1", "quay_x.io/a:1", "12", "1.5", "true", "''", "~", "[]",
        "{image: quay.io/a}", "{image: 'quay.io/a:1'}", "{image: 'quay.io/a:1.*', newest: 3}", "{image: 'quay.io/a:1', newest: 3}",
        "{image: quay.io/a, glob: 1.2}", "{image: quay.io/a, glob: [1.2, v*, 3]}", "{image: quay.io/a, glob: ''}",
        "{image: quay.io/a, glob: []}", "{image: quay.io/a, glob: ~}", "{image: quay.io/a, glob: [~]}",
        "{image: 'quay.io/a:x*', glob: 'y*'}", "{image: quay.io/a, regex: 12}", "{image: quay.io/a, regex: [a]}",
        "{image: quay.io/a, semver: 1}", "{image: quay.io/a, semver: 1.2}", "{image: quay.io/a, newest: 1000000}",
        "{image: quay.io/a, newest: 1000001}", "{image: quay.io/a, newest: '5'}", "{image: quay.io/a, newest: '05'}",
        "{image: quay.io/a, newest: -1}", "{image: quay.io/a, newest: 1.5}", "{image: quay.io/a, newest: yes}",
        "{image: quay.io/a, newest: 1, by: name}", "{image: quay.io/a, newest: 1, by: Name}", "{image: quay.io/a, by: name}",
        "{image: quay.io/a, newer_than: 90d}", "{image: quay.io/a, newer_than: 1w2d3h4m5s}", "{image: quay.io/a, newer_than: 2h1d}",
        "{image: quay.io/a, newer_than: 59s}", "{image: quay.io/a, newer_than: 60s}", "{image: quay.io/a, newer_than: 0d}",
        "{image: quay.io/a, newer_than: 0h1m}", "{image: quay.io/a, newer_than: 0m90s}", "{image: quay.io/a, newer_than: ''}",
        "{image: quay.io/a, newer_than: 90}", "{image: quay.io/a, newer_than: 1d1d}", "{image: quay.io/a, interval: 6h}",
        "{image: quay.io/a, suspend: yes}", "{image: quay.io/a, suspend: On}", "{image: quay.io/a, suspend: 1}",
        "{image: quay.io/a, suspend: y}", "{image: quay.io/a, platforms: [linux/arm64/v8]}", "{image: quay.io/a, platforms: linux/arm64}",
        "{image: quay.io/a, platforms: []}", "{image: quay.io/a, platforms: [linux]}", "{image: quay.io/a, platforms: [linux/a/b/c]}",
        "{image: quay.io/a, platforms: ['linux/a b']}", "{image: quay.io/a, platforms: [/arm64]}", "{image: [quay.io/a]}",
        "{image: quay.io/a, exclude: a*}", "{image: quay.io/a, exclude: [a*, 1]}", "{image: 'quay.io/a%s', exclude: a}" % DIGEST,
        "{image: 'quay.io/a%s', suspend: no}" % DIGEST, "{glob: a}", "{}", "{image: quay.io/a, tag: 1}",
    )

    def test_entries(self):
        head = "version: 2\nrepository: a.b\nimages:\n"
        messages = self.program(head + "".join(f"- {entry}\n" for entry in self.ENTRIES))
        self.assertGreater(len(messages), 40)
        for line, entry in enumerate(self.ENTRIES, 4):
            with self.subTest(entry):
                self.assertEqual(line not in messages, self.accepts(f"{head}- {entry}\n"), messages.get(line))

    def test_entries_of_version_1(self):
        head = "version: 1\ncvmfs_repo: a.b\ninput:\n"
        messages = self.program(head + "".join(f"- {entry}\n" for entry in self.ENTRIES))
        for line, entry in enumerate(self.ENTRIES, 4):
            with self.subTest(entry):
                self.assertEqual(line not in messages, self.accepts(f"{head}- {entry}\n"), messages.get(line))

    KEYS = (
        "prefix: a/b_c-d", "prefix: a//b", "prefix: a/", "prefix: 12", "prefix: podmanStores", "prefix: podmanStore",
        "owner: 12", "owner: ''", "contact: " + "x" * 256, "contact: " + "x" * 257,
        "limits: {}", "limits: {image_size: 5, tags: '7'}", "limits: {image_size: 0}", "limits: {image_size: 1.5G}",
        "limits: {image_size: 5g}", "limits: {image_size: 05T}", "limits: {tags: 1000001}", "limits: []",
        "chunk_above: 50M", "chunk_above: 50", "chunk_above: -1", "flat: no", "flat: NO", "flat: nO", "layers: off", "fix_perms: True",
        "chains: all", "chains: All", "podman: merged", "xattrs: yes", "devices: drop", "user: ''", "user: 12", "user: [a]",
        "output_format: ''", "platforms: []", "platforms: [linux/amd64]", "platforms: {}", "interval: 90", "interval: 1d",
        "name: x", "input: []", "cvmfs_repo: x.y", "images: []", "lists: []", "lists: [{}]", "lists: [{images: []}]", "lists: {}",
        "lists: [{name: 1, images: []}]", "lists: [{images: [], input: []}]", "lists: [{repository: a, cvmfs_repo: a, images: []}]",
        "lists: [{version: 2, images: []}]", "lists: [{user: a, images: []}]", "unknown: 1", "signature: []",
        "include: ''", "include: [/etc/x]", "include: 'https://x/y'",
    )
    REPOSITORIES = ("a.b", "A_b-1", "-a", "a/b", "/srv/x", "./x", "../x", "/cvmfs/a.b", "/cvmfs", "'a b'", "''", "~", "12", "[a]", "a:b")

    def check(self, text):
        with self.subTest(text):
            messages = self.program(text)
            self.assertEqual(not messages, self.accepts(text) is True, messages)

    def test_keys(self):
        for key in self.KEYS:
            images = "" if key.startswith("images") else "images: []\n"
            self.check(f"version: 2\nrepository: a.b\n{images}{key}\n")

    def test_repositories_and_versions(self):
        for value in self.REPOSITORIES:
            self.check(f"version: 2\nrepository: {value}\nimages: []\n")
        for value in ("1", "'1'", "2", "'2'", "3", "one", "1.5", "~", "''", "yes"):
            self.check(f"version: {value}\ncvmfs_repo: a.b\ninput: []\n")

    def test_its_keys_are_those_of_the_documentation(self):
        """Every key of the tables in docs/recipe.md, and no others, at each of the three places."""
        text = read(os.path.join(TOP, "docs/recipe.md"))
        def keys_below(title):
            section = re.search(rf"^## {title}\n(.*?)(?=^## )", text, re.M | re.S)[1]
            rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.M)
            return {key for row in rows for key in re.findall(r"`(\w+)`", row)}
        first, more, entry = (keys_below(title) for title in ("Keys of version 1", "Version 2: lists", "Entries"))
        definitions = self.schema["definitions"]
        top = {"version", "user", "output_format"}
        self.assertEqual(first, set(definitions["version_1"]["properties"]))
        self.assertEqual((first | more) - {"name"}, set(definitions["version_2"]["properties"]))
        self.assertEqual((first | more) - top - {"lists"}, set(definitions["list"]["properties"]))
        self.assertEqual(entry, set(definitions["selection"]["properties"]))
        self.assertEqual({"image_size", "tags"}, set(definitions["list"]["properties"]["limits"]["properties"]))


if __name__ == "__main__":
    unittest.main()
