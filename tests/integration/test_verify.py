"""`ducc verify` and `ducc repair`: a table of defects that are planted in a good repository, each of which must be found by
its kind and place; and what repair claims to mend is then as it was."""

import contextlib
import json
import os
import shutil
import tempfile
import unittest

from backends import on_every_backend
from harness import Image, IntegrationTest, Registry, TarBuilder, tree
from published import CATALOG, hexadecimal, layer_place, place, plain_whiteouts
from ducc import Ducc

BASE = TarBuilder().dir("d", uid=5).file("d/old", b"1").file("d/stays", b"22").symlink("link", "d/stays").dir("o").file("o/x", b"x") \
    .bytes()
TOP = TarBuilder().whiteout("d/old").file("d/new", b"333", 0o640).dir("o").opaque("o").file("o/y", b"y").bytes()
OTHER = TarBuilder().dir("other").file("other/f", b"f").bytes()
HERE, REGISTRY, BY_HAND = "ducc repair", "ducc repair, with the registry", "by hand"


class Repository:
    """A repository in a directory, with what is in it by name."""

    def __init__(self, root, images, host):
        self.root, self.host = root, host
        self.image, self.indexed = images["a"], images["b"]
        self.name = f"{host}/a/a:1"
        self.layers = [place("layers", digest) for digest in self.image.layer_digests]
        self.trees = [layer_place(digest) for digest in self.image.layer_digests]
        self.chain = place("chains", self.image.chain_ids()[-1])
        self.flat = place("flat", self.image.config_digest)
        self.documents = f".metadata/{self.name}"
        self.record = f"podmanStore/overlay-images/{hexadecimal(self.image.config_digest)}"
        self.podman = f"podmanStore/overlay/{hexadecimal(self.image.chain_ids()[-1])}"

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def remove(self, path):
        full = self.path(path)
        shutil.rmtree(full) if os.path.isdir(full) and not os.path.islink(full) else os.unlink(full)

    def write(self, path, data):
        """In place of what is there, which may have other names."""
        full = self.path(path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        info = os.lstat(full) if os.path.lexists(full) else None
        if info:
            os.unlink(full)
        with open(full, "wb") as out:
            out.write(data)
        if info:
            os.chmod(full, info.st_mode & 0o7777)
            os.utime(full, ns=(info.st_atime_ns, info.st_mtime_ns))

    def read(self, path):
        with open(self.path(path), "rb") as source:
            return source.read()

    def link(self, path, target):
        if os.path.lexists(self.path(path)):
            os.unlink(self.path(path))
        os.symlink(target, self.path(path))

    def change_json(self, path, change):
        value = json.loads(self.read(path))
        change(value)
        self.write(path, json.dumps(value).encode())

    def images_json(self, change):
        self.change_json("podmanStore/overlay-images/images.json",
                         lambda value: change(next(one for one in value if one["id"] == hexadecimal(self.image.config_digest))))

    def layers_json(self, change):
        self.change_json("podmanStore/overlay-layers/layers.json", change)


def in_order(value):
    """JSON with its lists sorted, as text."""
    if isinstance(value, dict):
        return json.dumps({key: in_order(one) for key, one in value.items()}, sort_keys=True)
    return json.dumps(sorted(in_order(one) for one in value) if isinstance(value, list) else value)


def keep_times(act):
    """A directory shows that something in it changed: which is no part of the defect."""
    def wrapped(repository):
        before = {top: os.lstat(top) for top, _, _ in os.walk(repository.root)}
        act(repository)
        for top, info in before.items():
            if os.path.isdir(top):
                os.utime(top, ns=(info.st_atime_ns, info.st_mtime_ns))
    return wrapped


# (what is wrong, how it is done, the finding's kind, where, what mends it, options of verify)
DEFECTS = [
    ("public name missing", lambda r: r.remove(r.name), "name", lambda r: r.name, HERE),
    ("public name leads nowhere", lambda r: r.link(r.name, "../../.flat/00/" + "0" * 64), "name", lambda r: r.name, HERE),
    ("public name leads to another image", lambda r: r.link(r.name, "../../" + place("flat", r.indexed.config_digest)), "name",
     lambda r: r.name, HERE),
    ("manifest missing", lambda r: r.remove(f"{r.documents}/manifest.json"), "documents", lambda r: r.documents, REGISTRY),
    ("manifest cut short", lambda r: r.write(f"{r.documents}/manifest.json", r.read(f"{r.documents}/manifest.json")[:50]),
     "documents", lambda r: r.documents, REGISTRY),
    ("manifest is not what its index names",
     lambda r: r.write(f".metadata/{r.host}/a/b:1/manifest.json", r.read(f".metadata/{r.host}/a/b:1/manifest.json") + b" "),
     "documents", lambda r: f".metadata/{r.host}/a/b:1", REGISTRY),
    ("documents missing altogether", lambda r: r.remove(r.documents), "undocumented", lambda r: r.documents, REGISTRY),
    ("configuration missing", lambda r: r.remove(f"{r.documents}/config.json"), "document",
     lambda r: f"{r.documents}/config.json", HERE),
    ("configuration wrong", lambda r: r.write(f"{r.documents}/config.json", b"{}"), "document",
     lambda r: f"{r.documents}/config.json", HERE),
    ("layer missing", lambda r: r.remove(r.layers[0]), "layer", lambda r: r.layers[0], REGISTRY),
    ("layer without its tree", lambda r: r.remove(r.trees[0]), "layer", lambda r: r.layers[0], REGISTRY),
    ("file missing in a layer", lambda r: r.remove(f"{r.trees[0]}/d/stays"), "layer", lambda r: f"{r.trees[0]}/d/stays", REGISTRY),
    ("file cut short in a layer", lambda r: r.write(f"{r.trees[0]}/d/stays", b"2"), "layer", lambda r: f"{r.trees[0]}/d/stays",
     REGISTRY),
    ("mode changed in a layer", lambda r: os.chmod(r.path(r.trees[0], "d"), 0o700), "layer", lambda r: f"{r.trees[0]}/d", REGISTRY),
    ("owner changed in a layer", lambda r: os.chown(r.path(r.trees[0], "d"), 1, 1), "layer", lambda r: f"{r.trees[0]}/d", REGISTRY),
    ("file too many in a layer", lambda r: r.write(f"{r.trees[0]}/d/more", b""), "layer", lambda r: f"{r.trees[0]}/d/more", REGISTRY),
    ("symlink changed in a layer", lambda r: (r.link(f"{r.trees[0]}/link", "elsewhere"), os.utime(
        r.path(r.trees[0], "link"), (1_600_000_000,) * 2, follow_symlinks=False)), "layer", lambda r: f"{r.trees[0]}/link", REGISTRY),
    ("content changed in a layer", lambda r: r.write(f"{r.trees[0]}/d/stays", b"2x"), "layer", lambda r: f"{r.trees[0]}/d/stays",
     REGISTRY, "--content"),
    ("deletion missing", lambda r: r.remove(f"{r.trees[1]}/d/old"), "deletion", lambda r: f"{r.trees[1]}/d/old", HERE),
    ("deletion of an opaque directory missing", lambda r: r.remove(f"{r.trees[1]}/o/x"), "deletion", lambda r: f"{r.trees[1]}/o/x",
     HERE),
    ("deletion in the old form", lambda r: (r.remove(f"{r.trees[1]}/d/old"), r.write(f"{r.trees[1]}/d/.wh.old", b"")), "old-form",
     lambda r: r.layers[1], HERE),
    ("index beside a layer missing", lambda r: r.remove(f"{r.layers[0]}/.metadata/index"), "layer-files",
     lambda r: f"{r.layers[0]}/.metadata/index", HERE),
    ("index beside a layer damaged", lambda r: r.write(f"{r.layers[0]}/.metadata/index", b"duccidx1" + bytes(100)), "layer-files",
     lambda r: f"{r.layers[0]}/.metadata/index", HERE),
    ("layers.json of another layer", lambda r: r.write(f"{r.layers[0]}/.metadata/layers.json", r.read(
        f"{r.layers[1]}/.metadata/layers.json")), "layer-files", lambda r: f"{r.layers[0]}/.metadata/layers.json", HERE),
    ("back link missing", lambda r: r.write(f"{r.layers[1]}/.metadata/origin.json", b'{"origin": []}'), "back-link",
     lambda r: f"{r.layers[1]}/.metadata/origin.json", HERE),
    ("chain missing", lambda r: r.remove(r.chain), "chain", lambda r: r.chain, HERE),
    ("file missing in a chain", lambda r: r.remove(f"{r.chain}/d/new"), "chain", lambda r: f"{r.chain}/d/new", HERE),
    ("file too many in a chain", lambda r: r.write(f"{r.chain}/d/old", b"1"), "chain", lambda r: f"{r.chain}/d/old", HERE),
    ("content changed in a chain", lambda r: r.write(f"{r.chain}/d/new", b"33x"), "chain", lambda r: f"{r.chain}/d/new", HERE,
     "--content"),
    ("flat image missing", lambda r: r.remove(r.flat), "flat", lambda r: r.flat, HERE),
    ("directory missing in a flat image", lambda r: r.remove(f"{r.flat}/d"), "flat", lambda r: f"{r.flat}/d", HERE),
    ("time changed in a flat image", lambda r: (r.write(f"{r.flat}/d/stays", b"22"), os.utime(r.path(r.flat, "d/stays"), (1, 1))),
     "flat", lambda r: f"{r.flat}/d/stays", HERE),
    ("Apptainer's run script missing", lambda r: r.remove(f"{r.flat}/.singularity.d/runscript"), "flat",
     lambda r: f"{r.flat}/.singularity.d/runscript", HERE),
    ("catalog of a layer missing", lambda r: r.remove(f"{r.trees[0]}/{CATALOG}"), "catalog", lambda r: f"{r.trees[0]}/{CATALOG}", HERE),
    ("catalog of a flat image missing", lambda r: r.remove(f"{r.flat}/{CATALOG}"), "catalog", lambda r: f"{r.flat}/{CATALOG}", HERE),
    ("outer catalog missing", lambda r: r.remove(f".layers/{CATALOG}"), "catalog", lambda r: f".layers/{CATALOG}", HERE),
    ("Podman's images broken", lambda r: r.write("podmanStore/overlay-images/images.json", b"[{"), "podman-lists",
     lambda r: "podmanStore", HERE),
    ("Podman's list of layers missing", lambda r: r.remove("podmanStore/overlay-layers/layers.json"), "podman-layer",
     lambda r: "podmanStore/overlay-layers/layers.json", HERE),
    ("Podman's record of an image missing", lambda r: r.change_json("podmanStore/overlay-images/images.json", lambda value: value.remove(
        next(one for one in value if one["id"] == hexadecimal(r.image.config_digest)))), "podman-image",
     lambda r: "podmanStore/overlay-images/images.json", HERE),
    ("Podman's record lacks a name", lambda r: r.images_json(lambda one: one["names"].pop()), "podman-name",
     lambda r: "podmanStore/overlay-images/images.json", HERE),
    ("Podman's record has a name of nobody", lambda r: r.images_json(lambda one: one["names"].append("x.example/y:z")), "podman-name",
     lambda r: "podmanStore/overlay-images/images.json", HERE),
    ("Podman's record has another top layer", lambda r: r.images_json(lambda one: one.update(layer="0" * 64)), "podman-image",
     lambda r: "podmanStore/overlay-images/images.json", HERE),
    ("Podman's record of a layer has another parent", lambda r: r.layers_json(lambda value: [one.update(parent="0" * 64)
                                                                                              for one in value if "parent" in one]),
     "podman-layer", lambda r: "podmanStore/overlay-layers/layers.json", HERE),
    ("Podman's list has a layer twice", lambda r: r.layers_json(lambda value: value.append(value[0])), "podman-lists",
     lambda r: "podmanStore/overlay-layers/layers.json", HERE),
    ("Podman's layer folder missing", lambda r: r.remove(r.podman), "podman-file", lambda r: r.podman, HERE),
    ("Podman's layer leads nowhere", lambda r: r.link(f"{r.podman}/diff", "nowhere"), "podman-file", lambda r: f"{r.podman}/diff", HERE),
    ("Podman's list of what is below wrong", lambda r: r.write(f"{r.podman}/lower", b"l/AAAA"), "podman-file",
     lambda r: f"{r.podman}/lower", HERE),
    ("Podman's short name missing", lambda r: r.remove("podmanStore/overlay/l/" + r.read(f"{r.podman}/link").decode()), "podman-file",
     lambda r: "podmanStore/overlay/l/", HERE),
    ("Podman's manifest wrong", lambda r: r.write(f"{r.record}/manifest", b"{}"), "podman-file", lambda r: f"{r.record}/manifest", HERE),
    ("Podman's lock missing", lambda r: r.remove("podmanStore/overlay-layers/layers.lock"), "podman-file",
     lambda r: "podmanStore/overlay-layers/layers.lock", HERE),
    ("leftover of a commit", lambda r: r.write(".ducc-staging/3/x", b""), "leftover", lambda r: ".ducc-staging", HERE),
    ("leftover of a layer", lambda r: r.write(f".layers/ab/ab{'0' * 62}/.metadata/layers.json", b"[]"), "leftover",
     lambda r: f".layers/ab/ab{'0' * 62}", HERE),
    ("something foreign among the layers", lambda r: r.write(".layers/ab/x", b""), "leftover", lambda r: ".layers/ab/x", HERE),
]


class VerifyTest(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        cls.work = tempfile.mkdtemp(prefix="ducc-verify-")
        cls.addClassCleanup(shutil.rmtree, cls.work, ignore_errors=True)
        cls.hub = cls.enterClassContext(Registry())
        cls.images = {"a": cls.hub.push_image("a/a", "1", [BASE, TOP]), "b": cls.hub.push_image("a/b", "1", [BASE, OTHER], index=True)}
        cls.hub.push_image("a/a", "2", [BASE, TOP])
        cls.config = os.path.join(cls.work, "ducc.yaml")
        with open(cls.config, "w", encoding="ascii") as out:
            out.write(f"registries:\n  hosts:\n    {cls.hub.host}:\n      insecure: http\n")
        cls.good = os.path.join(cls.work, "good")
        with Ducc() as ducc:
            ducc.run("convert", "--repo", cls.good, *(f"http://{cls.hub.host}/{one}" for one in ("a/a:1", "a/a:2", "a/b:1")), check=True)
        cls.expected = cls.contents(cls.good)

    @staticmethod
    def contents(root):
        """All of it but the times of what is ours, and the indexes: one made anew is not the same byte for byte."""
        found = {path: node if node.mtime is None else node._replace(mtime=None if node.type == "dir" or not path.startswith((b".layers", b".flat", b".chains"))
                                    or b"/.metadata/" in path or b".singularity.d" in path or path.endswith(b"/.cvmfscatalog") else node.mtime)
                for path, node in plain_whiteouts(tree(root, ignore=[".ducc-staging"])).items() if not path.startswith(b".layers/ab") and not path.endswith(b"/.metadata/index")}
        for path, node in found.items():        # in which order they stand means nothing
            if path.endswith((b"/origin.json", b"/images.json", b"/layers.json")):
                with contextlib.suppress(ValueError), open(os.path.join(os.fsencode(root), path), "rb") as source:
                    found[path] = node._replace(sha256=in_order(json.load(source)))
        return found

    def copy(self):
        shutil.rmtree(self.path("repo"), ignore_errors=True)
        # Without its hard links: a file that is damaged has no other names.
        shutil.copytree(self.good, self.path("repo"), symlinks=True, copy_function=self.copy_file)
        for top, folders, files in os.walk(self.good):
            for name in [*folders, *files]:
                info = os.lstat(os.path.join(top, name))
                target = os.path.join(self.path("repo"), os.path.relpath(os.path.join(top, name), self.good))
                os.chown(target, info.st_uid, info.st_gid, follow_symlinks=False)
        for top, _, _ in os.walk(self.good, topdown=False):
            info = os.lstat(top)
            os.utime(os.path.join(self.path("repo"), os.path.relpath(top, self.good)), ns=(info.st_atime_ns, info.st_mtime_ns))
        return Repository(self.path("repo"), self.images, self.hub.host)

    @staticmethod
    def copy_file(source, target):
        info = os.lstat(source)
        if not os.path.isfile(source) and not os.path.islink(source):
            os.mknod(target, info.st_mode, info.st_rdev)
            return      # a deletion, whose attributes mean nothing
        shutil.copy2(source, target, follow_symlinks=False)

    def findings(self, ducc, *options, check):
        events = [json.loads(line) for line in ducc.run("verify", "--json", *options, self.path("repo"), check=check).stdout.splitlines()]
        self.assertEqual(events[-1]["event"], "end")
        self.assertEqual(events[-1]["findings"], len(events) - 1)
        return events[:-1]

    def test_nothing_is_wrong(self):
        self.copy()
        for options in ((), ("--content",)):
            self.assertEqual(self.findings(self.ducc(), *options, check=0), [])

    def test_defects(self):
        """Each is found, by its kind and place, and mended."""
        self.assertGreaterEqual(len(DEFECTS), 25)
        ducc = self.ducc()
        for what, plant, kind, where, remedy, *options in DEFECTS:
            with self.subTest(what):
                repository = self.copy()
                keep_times(plant)(repository)
                before = self.contents(repository.root)
                found = self.findings(ducc, *options, check=1)
                hits = [one for one in found if one["kind"] == kind and one["path"].startswith(where(repository))]
                self.assertTrue(hits, found)
                self.assertEqual(hits[0]["remedy"], remedy)
                self.assertEqual(self.contents(repository.root), before, "verify changes nothing")
                done = ducc.run("repair", "--config", self.config, *options, repository.root)
                self.assertEqual(done.status, 0, done.stdout + done.stderr)
                self.assertEqual(self.findings(ducc, "--content", check=0), [])
                self.assert_same_tree(self.expected, self.contents(repository.root))

    @on_every_backend
    def test_on_every_backend(self, backend):
        """A flat image, a public name, a deletion's layer and Podman's list go; repair brings back what was there."""
        ducc, names = self.ducc(backend), [f"http://{self.hub.host}/a/{one}" for one in ("a:1", "a:2", "b:1")]
        ducc.run("convert", "--repo", backend.argument, *names, check=True)
        self.assertIn("3 names looked at, 0 findings", ducc.run("verify", "--content", backend.argument, check=0).stdout)
        expected = self.contents(backend.view)
        with backend.change() as top:
            repository = Repository(top, self.images, self.hub.host)
            for path in (repository.flat, repository.name, f"{repository.chain}/d/new", "podmanStore/overlay-images/images.json"):
                repository.remove(path)
        found = ducc.run("verify", backend.argument, check=1).stdout
        for kind in ("flat", "name", "chain", "podman-image"):
            self.assertIn(f": {kind}: ", found)
        done = ducc.run("repair", "--config", self.config, backend.argument)
        self.assertEqual(done.status, 0, done.stdout + done.stderr)
        self.assertIn("3 names looked at, 0 findings", ducc.run("verify", "--content", backend.argument, check=0).stdout)
        self.assert_same_tree(expected, self.contents(backend.view))
        backend.assert_sound(self)

    def test_other_ways_to_publish(self):
        """What was left out on purpose is no defect."""
        registry = self.registry()
        odd = TarBuilder().file("secret", b"x", 0o000).dir("closed", 0o600).bytes()
        images = [Image([BASE, odd]), Image([BASE, TOP, odd], architecture="arm64")]
        registry.push_index("a/m", "1", images)
        ways = [["--chains", "all"], ["--chains", "none"], ["--skip-flat"], ["--podman", "none"], ["--podman", "merged"], ["--fix-perms"],
                ["--skip-layers", "--podman", "none"], ["--platform", "linux/amd64", "--platform", "linux/arm64"]]
        for options in ways:
            with self.subTest(options):
                shutil.rmtree(self.path("repo"), ignore_errors=True)
                ducc = self.ducc()
                ducc.run("convert", "--repo", self.path("repo"), *options, f"http://{registry.host}/a/m:1", check=True)
                self.assertEqual(self.findings(ducc, "--content", check=0), [])
                if "--skip-flat" not in options:
                    shutil.rmtree(self.path("repo", place("flat", images[0].config_digest)))
                    self.assertIn("flat", {one["kind"] for one in self.findings(ducc, check=1)})

    def test_one_image(self):
        """Only what belongs to it is looked at; a name that is not there is an error."""
        repository, ducc = self.copy(), self.ducc()
        repository.remove(f".metadata/{self.hub.host}/a/b:1/config.json")
        result = ducc.run("verify", repository.root, repository.name, check=0)
        self.assertIn("1 name looked at, 0 findings", result.stdout)
        self.assertIn("a/b:1/config.json", ducc.run("verify", repository.root, f"{self.hub.host}/a/b:1", check=1).stdout)
        self.assertIn("no such image", ducc.run("verify", repository.root, "x.example/y:1", check=3).stderr)

    def test_collision(self):
        """Two lists with prefixes publish different images under one reference: Podman can have one of them."""
        registry = self.registry()
        registry.push_image("a/a", "1", [BASE])
        recipe = self.path("r.yaml")
        for prefix in ("one", "two"):
            with open(recipe, "w", encoding="ascii") as out:
                out.write(f"version: 2\nrepository: {self.path('repo')}\nprefix: {prefix}\nimages:\n  - http://{registry.host}/a/a:1\n")
            self.ducc().run("convert", recipe, check=True)
            registry.push_image("a/a", "1", [BASE, TOP])
        found = self.findings(self.ducc(), check=1)
        self.assertIn("collision", {one["kind"] for one in found})

    def test_against_the_registry(self):
        registry = self.registry()
        registry.push_image("a/a", "1", [BASE])
        registry.push_image("a/a", "2", [BASE])
        with open(self.path("c.yaml"), "w", encoding="ascii") as out:
            out.write(f"registries:\n  hosts:\n    {registry.host}:\n      insecure: http\n")
        self.ducc().run("convert", "--repo", self.path("repo"), *(f"http://{registry.host}/a/a:{tag}" for tag in (1, 2)), check=True)
        options = ("--config", self.path("c.yaml"), "--against-registry")
        self.assertEqual(self.findings(self.ducc(), *options, check=0), [])
        registry.push_image("a/a", "2", [BASE, TOP])
        found = self.findings(self.ducc(), *options, check=1)
        self.assertEqual([(one["kind"], one["image"], one["remedy"]) for one in found],
                         [("upstream", f"{registry.host}/a/a:2", BY_HAND)])
        registry.stop()
        found = self.findings(self.ducc(), *options, check=1)
        self.assertEqual({one["kind"] for one in found}, {"upstream"})
        self.assertEqual(len(found), 2)

    def test_what_the_registry_has_no_more_stays(self):
        """A damaged layer is not taken away unless another can be had."""
        registry = self.registry()
        image = registry.push_image("a/a", "1", [BASE])
        with open(self.path("c.yaml"), "w", encoding="ascii") as out:
            out.write(f"registries:\n  hosts:\n    {registry.host}:\n      insecure: http\n")
        self.ducc().run("convert", "--repo", self.path("repo"), f"http://{registry.host}/a/a:1", check=True)
        os.unlink(self.path("repo", layer_place(image.layer_digests[0]), "d/stays"))
        registry.stop()
        before = tree(self.path("repo"))
        done = self.ducc().run("repair", "--config", self.path("c.yaml"), self.path("repo"), check=1)
        self.assertIn("cannot be published again, so it stays", done.stderr)
        self.assert_same_tree(before, self.path("repo"))

    def test_dry_run(self):
        repository = self.copy()
        repository.remove(repository.flat)
        before = tree(repository.root)
        result = self.ducc().run("repair", "--dry-run", repository.root, check=1)
        self.assertIn(f"flat: {repository.flat}: it is missing", result.stdout)
        self.assert_same_tree(before, repository.root)

    def test_usage(self):
        ducc = self.ducc()
        self.assertIn("nothing at", ducc.run("verify", self.path("none"), state=False, check=3).stderr)
        self.assertIn("usage", ducc.run("verify", state=False, check=2).stderr)


if __name__ == "__main__":
    unittest.main()
