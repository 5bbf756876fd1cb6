"""Manual pages: well formed, complete, installed."""

import json
import os
import re
import subprocess
import tempfile
import unittest

import jsonschema
import yaml

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
RECIPE = os.path.join(TOP, "docs/recipe.5")


def run(*command, status=0):
    done = subprocess.run(command, capture_output=True, check=False, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    if done.returncode != status:
        raise AssertionError(f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def read(path):
    with open(path, encoding="utf-8") as source:
        return source.read()


class ManualTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="ducc-manual-"))
        cls.program = os.environ["DUCC_BINARY"]
        cls.ducc = os.path.join(cls.folder, "ducc.1")
        with open(cls.ducc, "w", encoding="utf-8") as out:
            out.write(run(cls.program, "help", "--manual").stdout)
        cls.schema = json.loads(read(os.path.join(TOP, "docs/recipe.schema.json")))

    def lint(self, page, level):
        found = subprocess.run(["mandoc", "-Tlint", "-W", level, page], capture_output=True, check=False, text=True).stdout
        return [line for line in found.splitlines() if "referenced manual not found" not in line]     # that depends on the machine

    def test_mandoc_and_man_have_nothing_to_say(self):
        self.assertEqual([], self.lint(RECIPE, "all"))
        self.assertEqual([], self.lint(self.ducc, "warning"))
        for page in (RECIPE, self.ducc):
            self.assertEqual("", run("man", "--warnings", "-l", page).stderr)

    def test_what_lint_would_find(self):
        page = os.path.join(self.folder, "bad.5")
        with open(page, "w", encoding="utf-8") as out:
            out.write(read(RECIPE).replace(".Sh SELECTORS", ".Sh SELECTORS\n.Xx\n"))
        self.assertTrue(self.lint(page, "all"))

    def test_every_key_is_there(self):
        keys = {key for line in re.findall(r"^\.It Cm (.*)$", read(RECIPE), re.M) for key in line.split(" , ")}
        definitions = self.schema["definitions"]
        expected = {key for name in ("version_1", "version_2", "list", "selection") for key in definitions[name]["properties"]}
        self.assertEqual(expected, keys)
        for limit in definitions["list"]["properties"]["limits"]["properties"]:
            self.assertIn(f".Cm {limit}", read(RECIPE))

    def test_its_examples_are_recipes(self):
        found = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", read(RECIPE), re.M | re.S)
        self.assertEqual(2, len(found))
        for text in found:
            jsonschema.validate(yaml.safe_load(text), self.schema)

    def test_every_command_and_option_is_there(self):
        shown = run("man", "-l", self.ducc).stdout
        help_text = run(self.program, "help").stdout
        names = re.findall(r"^  ducc (\S+)", help_text, re.M)
        self.assertGreater(len(names), 20)
        for name in names:
            self.assertRegex(shown, rf"(?m)^ {{7}}{re.escape(name)}\b")
            for option in re.findall(r"--[a-z][a-z-]+", run(self.program, name, "--help").stdout):
                self.assertIn(option, shown.replace("\u2010", "-"))

    def test_installed(self):
        run("cmake", "--install", os.environ["DUCC_BUILD"], "--prefix", self.folder + "/usr")
        for page, name in (("man1/ducc.1", "ducc"), ("man5/recipe.5", "recipe")):
            with open(os.path.join(self.folder, "usr/share/man", page), encoding="utf-8") as source:
                self.assertIn(name, source.read())
        shown = run("man", "-M", self.folder + "/usr/share/man", "5", "recipe").stdout
        self.assertIn("lists of container images for ducc", shown)
        self.assertEqual(self.schema, json.loads(read(self.folder + "/usr/share/ducc/recipe.schema.json")))


if __name__ == "__main__":
    unittest.main()
