"""A published root file system works: commands run in it, and its run script starts the entry point as Docker does."""

import json
import os
import subprocess
import unittest

from backends import on_every_backend
from harness import IntegrationTest, Image, TarBuilder, chroot_shell, need, real_image
from published import LayoutImage, place
from realimage import CONFIG

HARD = ["two words", "a 'quote'", 'a "double"', "$PATH ${HOME} $(id) `id`", "back\\slash \\n", "", "*", "new\nline",
        "-n", "--", "!", "~", "#no comment", "a;b|c&d>e", "trailing ", "käse", b"\xff\xfe not utf-8"]
SHOW = b"#!/bin/bash\nfor word; do printf '%s\\0' \"$word\"; done\nprintf '\\0ENV\\0'\nexec env -0\n"


class RunTest(IntegrationTest):
    def flat_images(self, backend, images):
        """Publish {tag: Image}; gives the flat image's directory as the public name leads to it, by tag."""
        registry = self.registry()
        for tag, image in images.items():
            registry.push("tools/show", tag, image)
        names = {tag: f"{registry.host}/tools/show:{tag}" for tag in images}
        self.ducc(backend).run("convert", "--repo", backend.argument, "--chains", "none",
                               *("http://" + name for name in names.values()), check=True)
        return {tag: os.path.realpath(os.path.join(backend.view, name)) for tag, name in names.items()}

    @classmethod
    def setUpClass(cls):
        cls.layers = [*LayoutImage(*real_image()).raw_layers, TarBuilder().file("usr/bin/show", SHOW, 0o755).bytes()]

    def image(self, **config):
        return Image(self.layers, config=config, compression="none")

    def start(self, root, *arguments, action="run", **variables):
        """(words, environment) that the program `show` in the image was started with, by Apptainer's action script."""
        done = subprocess.run([need("chroot"), root, f"/.singularity.d/actions/{action}", *arguments], capture_output=True,
                              env={"PATH": "/usr/bin:/bin", **variables}, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        words, found, environment = done.stdout.partition(b"\0ENV\0")
        self.assertTrue(found, done.stdout)
        pairs = (pair.partition(b"=") for pair in environment.split(b"\0")[:-1])
        return words.split(b"\0")[:-1], {name: value for name, _, value in pairs}

    @on_every_backend
    def test_a_command_runs(self, backend):
        images = self.flat_images(backend, {"t": self.image()})
        self.assertEqual(chroot_shell(images["t"], "cat /etc/motd; ls -d /odd/no-mode; test -e /etc/issue || echo gone"),
                         b"changed\n/odd/no-mode\ngone\n")

    @on_every_backend
    def test_the_run_script(self, backend):
        program, words = "/usr/bin/show", [word for word in HARD if isinstance(word, str)]
        roots = self.flat_images(backend, {
            "both": self.image(Entrypoint=[program, "first", *words], Cmd=["command", *words]),
            "entry": self.image(Entrypoint=[program, "$HOME"]),
            "cmd": self.image(Cmd=[program, "only", "'"])})
        given = [os.fsencode(word) for word in HARD]
        expected = [os.fsencode(word) for word in words]
        for tag, arguments, want in [
                ("both", [], [b"first", *expected, b"command", *expected]),
                ("both", given, [b"first", *expected, *given]),
                ("both", [b""], [b"first", *expected, b""]),
                ("entry", [], [b"$HOME"]), ("entry", given, [b"$HOME", *given]),
                ("cmd", [], [b"only", b"'"]), ("cmd", [b"/usr/bin/show", *given], given)]:
            with self.subTest(tag, arguments=arguments):
                self.assertEqual(self.start(roots[tag], *arguments)[0], want)
        with self.subTest("exec"):
            self.assertEqual(self.start(roots["both"], b"/usr/bin/show", *given, action="exec")[0], given)

    @on_every_backend
    def test_the_environment(self, backend):
        """Byte for byte what the configuration says, whatever quotes, newlines and dollars it holds."""
        config = [*CONFIG["Env"], *(f"HARD_{number}={word}" for number, word in enumerate(HARD)
                                    if isinstance(word, str))]
        root = self.flat_images(backend, {"t": self.image(Env=config, Entrypoint=["/usr/bin/show"])})["t"]
        environment = self.start(root, HARD_3="of the caller")[1]
        for entry in config:
            name, _, value = entry.partition("=")
            self.assertEqual(environment.get(name.encode()), value.encode(), name)

    def test_labels(self):
        """The image's labels, and where it comes from."""
        registry = self.registry()
        labels = {"org.example": "a 'real' \"image\" $1\n", "empty": "", "umlaut": "Käse"}
        image = registry.push_image("a/b", "t", [TarBuilder().dir("d").bytes()], config={"Labels": labels})
        self.ducc().run("convert", "--repo", self.path("repo"), f"http://{registry.host}/a/b:t", check=True)
        path = self.path("repo", place("flat", image.config_digest), ".singularity.d/labels.json")
        with open(path, encoding="utf-8") as source:
            found = json.load(source)
        self.assertEqual({name: found.pop(name) for name in labels}, labels)
        self.assertIn(f"{registry.host}/a/b:t", found.values())
        self.assertIn(image.digest, found.values())

    def test_the_image_keeps_what_it_has(self):
        """Directories that Apptainer wants but the image has, as something else even, stay the image's."""
        layer = TarBuilder().dir("var", 0o711).symlink("tmp", "var").dir("etc", 0o700).file("etc/hosts", b"mine\n", 0o600)
        layer.symlink("home", "/nowhere")
        registry = self.registry()
        image = registry.push_image("a/b", "t", [layer.bytes()])
        self.ducc().run("convert", "--repo", self.path("repo"), f"http://{registry.host}/a/b:t", check=True)
        root = self.path("repo", place("flat", image.config_digest))
        self.assertEqual(os.readlink(os.path.join(root, "tmp")), "var")
        self.assertEqual(os.readlink(os.path.join(root, "home")), "/nowhere")
        with open(os.path.join(root, "etc/hosts"), "rb") as source:
            self.assertEqual(source.read(), b"mine\n")
        self.assertEqual([oct(os.stat(os.path.join(root, name)).st_mode & 0o777) for name in ("etc", "var", "etc/hosts")],
                         ["0o700", "0o711", "0o600"])


if __name__ == "__main__":
    unittest.main()
