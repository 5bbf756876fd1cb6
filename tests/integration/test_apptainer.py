"""Apptainer's run script and environment against Podman: whatever a configuration says, the program gets the same words
and the same variables, whether the image's shell is dash or bash."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from ducc import Ducc
from harness import IntegrationTest, Image, Registry, TarBuilder, need, real_image, unmount_below
from published import LayoutImage, place
from runtimes import PublishedStore, parse_start, probe

PROGRAM = "/usr/bin/probe"
HARD = ["two words", "a 'quote'", "''", 'a "double"', "$PATH ${HOME} $(id) `id` $$", "back\\slash \\n \\", "", "*", "/*", "new\nline",
        "\n", "-n", "--", "!", "!!", "~", "#no comment", "a;b|c&d>e<f", "trailing ", " leading", "käse", "$'x'", "{a,b}", "\t",
        "x=y", "%s", "\\$HOME", "(", ")", "'\"'\"'", "\x01\x7f"]
ENTRY = {
    # name: (entry point, command, variables)
    "entry": ([PROGRAM], None, []),
    "entry-words": ([PROGRAM, *HARD], None, []),
    "command": (None, [PROGRAM, *HARD], []),
    "both": ([PROGRAM, "first", *HARD], ["second", *HARD], []),
    "empty-words": ([PROGRAM, "", ""], ["", " "], []),
    "from-path": (["probe"], ["x"], ["PATH=/nowhere:/usr/bin"]),
    "options": ([PROGRAM, "-c", "-e"], ["-x", "--"], []),
    "shell-form": (["/bin/sh", "-c", f"exec {PROGRAM} \"$HOME_OF\" '$HOME_OF' `echo a b` \"$@\"", "zero"], ["one", "$HOME_OF"],
                   ["HOME_OF=a  b"]),
    "shell-form-command": (None, ["/bin/sh", "-c", f"{PROGRAM} \"a'b\" $HOME_OF"], ["HOME_OF=a  b"]),
    "variables": ([PROGRAM], None, ["PATH=/usr/local/bin:/usr/bin:/bin"]
                  + [f"HARD_{number}={word}" for number, word in enumerate(HARD)]),
    "twice": ([PROGRAM], None, ["PATH=/usr/bin", "A=1", "A=2", "B=x=y=z", "C==", "D="]),
    "refer": ([PROGRAM], None, ["PATH=/opt/bin:$PATH", "LD_LIBRARY_PATH=/a::/b", "IFS=:", "PS1=> ", "HOME_OF=~", "ENV=/dev/null",
                                "BASH_ENV=/no/such", "CDPATH=/"]),
    "empty-path": ([PROGRAM], None, ["PATH="]),
    "no-variables": ([PROGRAM], None, []),
}
APPTAINERS_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"   # what it starts every script with
ARGUMENTS = ([], ["one"], [""], HARD, ["-c", "--"])


class Published:
    def __init__(self):
        self.work = tempfile.mkdtemp(prefix="apptainer-")
        self.registry = Registry().start()
        base = LayoutImage(*real_image()).raw_layers[:2]
        with open(probe(), "rb") as source, open(os.path.realpath(need("dash")), "rb") as dash:
            programs = TarBuilder().file(PROGRAM[1:], source.read(), 0o755).file("usr/bin/dash", dash.read(), 0o755).bytes()
        self.images, names = {}, []
        for shell in ("dash", "bash"):
            layers = [*base, programs, TarBuilder().symlink("usr/bin/sh", shell).bytes()]
            for name, (entry, command, variables) in ENTRY.items():
                config = {"Env": variables, "Labels": {"of": name, "quote": "a 'b' \"c\" $d\n"}}
                config |= {"Entrypoint": entry} if entry else {}
                config |= {"Cmd": command} if command else {}
                tag = f"{shell}-{name}"
                self.images[tag] = self.registry.push_image("tools/start", tag, layers, config=config, compression="none")
                names.append(f"http://{self.name(tag)}")
        self.repository = os.path.join(self.work, "repository")
        with Ducc() as ducc:
            ducc.run("convert", "--repo", self.repository, "--chains", "none", *names, check=True, timeout=300)

    def name(self, tag):
        return f"{self.registry.host}/tools/start:{tag}"

    def close(self):
        self.registry.stop()
        unmount_below(self.work)
        shutil.rmtree(self.work, ignore_errors=True)


class ApptainerTest(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        cls.published = Published()
        cls.addClassCleanup(cls.published.close)

    def start(self, tag, arguments, environment=None):
        """(words, variables) of the program that the run script starts in the published flat root."""
        root = os.path.realpath(os.path.join(self.published.repository, self.published.name(tag)))
        done = subprocess.run([need("chroot"), root, "/.singularity.d/actions/run", *arguments], capture_output=True,
                              env=environment or {"PATH": APPTAINERS_PATH}, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return parse_start(done.stdout)

    def test_words_and_variables_are_those_that_podman_gives(self):
        with PublishedStore(self.published.repository) as podman:
            for name, (_, _, variables) in ENTRY.items():
                for arguments in ARGUMENTS:
                    if name in ("command", "shell-form-command") and arguments:
                        arguments = [PROGRAM, *arguments]    # they replace the command, so the first is a program
                    words, given = podman.start(self.published.name(f"dash-{name}"), *arguments)
                    for shell in ("dash", "bash"):
                        with self.subTest(name, shell=shell, arguments=arguments):
                            found, environment = self.start(f"{shell}-{name}", arguments)
                            self.assertEqual(found, words)
                            for key in {os.fsencode(one.split("=")[0]) for one in variables} | {b"PATH"}:
                                self.assertEqual(environment.get(key), given.get(key), key)
                    if arguments and name not in ("entry", "both", "shell-form", "command"):
                        break       # what arguments do does not depend on the rest

    def test_words_that_are_no_text(self):
        for shell in ("dash", "bash"):
            self.assertEqual(self.start(f"{shell}-entry", [b"\xff\xfe", b"caf\xe9"])[0], [PROGRAM.encode(), b"\xff\xfe", b"caf\xe9"])

    def test_the_image_wins_over_the_caller(self):
        """As in Apptainer with images of Docker: the caller's variables come through, those of the image are its own."""
        for shell in ("dash", "bash"):
            environment = self.start(f"{shell}-twice", [], {"A": "caller", "OTHER": "it's", "PATH": "/caller"})[1]
            self.assertEqual(environment[b"A"], b"2")
            self.assertEqual(environment[b"OTHER"], b"it's")
            self.assertEqual(environment[b"PATH"], b"/usr/bin")

    def test_labels_trace_the_image(self):
        for tag, image in self.published.images.items():
            path = os.path.join(self.published.repository, place("flat", image.config_digest), ".singularity.d/labels.json")
            with open(path, encoding="utf-8") as source:
                labels = json.load(source)
            self.assertEqual((labels["of"], labels["quote"]), (tag.split("-", 1)[1], "a 'b' \"c\" $d\n"))
            self.assertIn(self.published.name(tag), labels.values())
            self.assertIn(image.digest, labels.values())

    def test_scripts_parse(self):
        """Every script, in both shells, without being run."""
        root = os.path.realpath(os.path.join(self.published.repository, self.published.name("dash-variables")))
        for top, _, files in os.walk(os.path.join(root, ".singularity.d")):
            for name in files:
                if name == "labels.json":
                    continue
                for shell in ("dash", "bash"):
                    subprocess.run([need(shell), "-n", os.path.join(top, name)], check=True, capture_output=True)


class FixPermsTest(IntegrationTest):
    def test_the_owner_may_read_everything(self):
        registry = self.registry()
        layer = TarBuilder().dir("shut", 0).file("shut/none", b"x", 0).file("shut/write", b"", 0o222).dir("d", 0o055)
        layer.file("ok", b"", 0o4751).symlink("l", "x").fifo("p", mode=0)
        image = registry.push_image("a/b", "t", [layer.bytes()])
        for option, modes in ((["--fix-perms"], {"shut": 0o500, "shut/none": 0o400, "shut/write": 0o622, "d": 0o555, "ok": 0o4751}),
                              ([], {"shut": 0, "shut/none": 0, "shut/write": 0o222, "d": 0o055, "ok": 0o4751})):
            with self.subTest(option), contextlib.ExitStack() as stack:
                repository = self.path("repo" + "".join(option))
                stack.enter_context(Ducc()).run("convert", *option, "--repo", repository, f"http://{registry.host}/a/b:t", check=True)
                flat = os.path.join(repository, place("flat", image.config_digest))
                chain = os.path.join(repository, place("chains", image.chain_ids()[-1]))
                found = {name: os.lstat(os.path.join(flat, name)).st_mode & 0o7777 for name in modes}
                if option:      # at least these bits; the policy may also let the owner write
                    found = {name: found[name] & (modes[name] | 0o077) for name in modes}
                self.assertEqual(found, modes)
                self.assertEqual(os.stat(os.path.join(chain, "shut")).st_mode & 0o777, 0, "a chain is pristine")


if __name__ == "__main__":
    unittest.main()
