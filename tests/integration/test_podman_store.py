"""The published image store, used by Podman: what it shows, runs and builds on, and which records it would write itself.

Podman's own pull of the same image is the reference, and umoci's tree for what is seen inside.
"""

import base64
import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from backends import StandIn
from ducc import Ducc
from harness import IntegrationTest, Image, Podman, Registry, TarBuilder, real_image, tree, umoci_unpack, unmount_below
from published import hexadecimal, layer_place, place
from runtimes import PublishedStore, image_only, store_records, way_to_start

MODES = ("layers", "merged")
SAMPLE = os.path.join(os.environ.get("DUCC_SHARED", os.path.join(os.path.dirname(__file__), "../../../shared")),
                      "go-ducc-sample.tar.zst")
SMALL = [TarBuilder().dir("d", uid=5).file("d/old", b"1", gid=7).file("d/stays", b"2").bytes(), TarBuilder().bytes(),
         TarBuilder().whiteout("d/old").file("d/new", b"3", uid=70000).hardlink("d/link", "d/new", uid=70000).bytes()]


def load(*parts):
    with open(os.path.join(*parts), "rb") as source:
        return json.load(source)


def podman_pulls(registry, names):
    """A Podman that pulled all these names; the caller closes it."""
    podman = Podman()
    for name in names:
        podman.pull(f"docker://{registry.host}/{name}")
    return podman


class Published:
    """Images of all kinds in a registry, published in both modes, and pulled by Podman; once for this file."""

    def __init__(self, new_ducc):
        self.work = tempfile.mkdtemp(prefix="podman-store-")
        self.registry = Registry().start()
        layout, tag = real_image()
        for name in ("a", "b"):
            self.registry.push_layout(layout, tag, "lib/real", name, "oci")
        self.registry.push_layout(layout, tag, "lib/real", "docker", "v2s2")
        self.registry.push_image("lib/small", "index", SMALL, index=True, media="docker", config={"Cmd": ["x"]})
        self.registry.push_image("lib/small", "mixed", SMALL, compression=["zstd", "none", "gzip"],
                                 config={"Labels": {"l": "mixed"}}, edit_config=created)
        self.names = [f"lib/real:{name}" for name in ("a", "b", "docker")] + ["lib/small:index", "lib/small:mixed"]
        self.full = [f"{self.registry.host}/{name}" for name in self.names]
        self.tree = image_only(tree(umoci_unpack(layout, tag, os.path.join(self.work, "umoci"))))
        self.repositories = {mode: os.path.join(self.work, mode) for mode in MODES}
        for mode, repository in self.repositories.items():
            for names in (self.full[:2] + self.full[3:], self.full[2:3]):   # another manifest of "a" comes later
                new_ducc().run("convert", "--repo", repository, "--podman", mode, *("http://" + name for name in names),
                               check=True)
        self.podman = podman_pulls(self.registry, self.names)

    def store(self, mode):
        return os.path.join(self.repositories[mode], "podmanStore")

    def close(self):
        self.podman.close()
        self.registry.stop()
        unmount_below(self.work)
        shutil.rmtree(self.work, ignore_errors=True)


def created(config):
    config["created"] = "2020-02-02T02:02:02.123456789Z"


class StoreTest(IntegrationTest):
    def store(self, repository, fuse=False):
        return self.enterContext(PublishedStore(repository, fuse=fuse))


class PublishedTest(StoreTest):
    @classmethod
    def setUpClass(cls):
        with contextlib.ExitStack() as stack:
            cls.published = Published(lambda: stack.enter_context(Ducc()))
        cls.addClassCleanup(cls.published.close)


class RecordsTest(PublishedTest):
    """The store's files against those that Podman writes when it pulls the images."""

    def test_images_json(self):
        ours, podmans = (store_records(store)[0] for store in (self.published.store("layers"), self.published.podman.root))
        self.assertEqual(ours.keys(), podmans.keys())
        for image in ours:
            expected = dict(podmans[image], layer=self.our_layers()[podmans[image]["layer"]])
            self.assertEqual(comparable(ours[image]), comparable(expected))
        times = {one["created"] for one in ours.values()}
        self.assertIn("2020-02-02T02:02:02.123456789Z", times, "the image's own time of creation")

    def test_layers_json(self):
        ours, podmans = (store_records(store)[1] for store in (self.published.store("layers"), self.published.podman.root))
        translate = self.our_layers()
        self.assertEqual(ours.keys(), set(translate.values()))
        for layer, record in podmans.items():
            expected = {**record, "id": translate[layer]}
            if "parent" in record:
                expected["parent"] = translate[record["parent"]]
            self.assertEqual(comparable(ours[translate[layer]]), comparable(expected))

    def test_layer_ids_are_chain_ids(self):
        images = store_records(self.published.store("layers"))[0]
        for image, record in images.items():
            config = load(self.published.store("layers"), "overlay-images", image, big_data_file(f"sha256:{image}"))
            chain = Image.chain_ids(type("Config", (), {"diff_ids": config["rootfs"]["diff_ids"]}))
            self.assertEqual([hexadecimal(one) for one in chain],
                             layer_chain(self.published.store("layers"), record["layer"]))

    def test_big_data(self):
        ours, podmans = (os.path.join(store, "overlay-images") for store in
                         (self.published.store("layers"), self.published.podman.root))
        for image in store_records(self.published.store("layers"))[0]:
            self.assertEqual(contents(os.path.join(ours, image)), contents(os.path.join(podmans, image)))

    def test_links(self):
        """`link`, `lower`, `l/LINK` and `diff`, with Podman's ids and short names translated to ours."""
        ours, podmans = (os.path.join(store, "overlay") for store in
                         (self.published.store("layers"), self.published.podman.root))
        translate = self.our_layers()
        links = {content(podmans, layer, "link"): content(ours, translate[layer], "link") for layer in translate}
        self.assertEqual(len(set(links.values())), len(links))
        self.assertEqual(set(os.listdir(os.path.join(ours, "l"))), {link.decode() for link in links.values()})
        for layer, mine in translate.items():
            self.assertRegex(content(ours, mine, "link"), rb"^[A-Z2-7]{26}$")
            # Podman's own lead to ../ID/diff; of two symlinks in a row it follows one only, when a build reads a layer.
            self.assertEqual(os.readlink(os.path.join(ours, "l", content(ours, mine, "link").decode())),
                             os.readlink(os.path.join(ours, mine, "diff")))
            expected = content(podmans, layer, "lower")
            self.assertEqual(content(ours, mine, "lower"),
                             expected and re.sub(rb"l/(\w+)", lambda found: b"l/" + links[found[1]], expected))
            self.assertRegex(os.readlink(os.path.join(ours, mine, "diff")), r"^(\.\./){3}\.layers/../[0-9a-f]{64}/layerfs$")

    def test_locks_are_there(self):
        for mode in MODES:
            for name in ("images", "layers"):
                self.assertEqual(content(self.published.store(mode), f"overlay-{name}", f"{name}.lock"), b"")

    def test_merged_images_differ_in_their_layer_only(self):
        stacked, merged = (store_records(self.published.store(mode)) for mode in MODES)
        self.assertEqual(stacked[0].keys(), merged[0].keys())
        for image, record in merged[0].items():
            self.assertEqual(comparable(record, "layer"), comparable(stacked[0][image], "layer"))
            self.assertFalse(set(one["diff-digest"] for one in stacked[1].values())
                             & {merged[1][record["layer"]].get("diff-digest")}, "a pull would take it for the blob's content")
            layer = merged[1][record["layer"]]
            self.assertNotIn("parent", layer)
            self.assertNotIn(layer["id"], stacked[1], "one id for two trees")
            top = os.path.join(self.published.store("merged"), "overlay", layer["id"])
            self.assertNotIn("lower", os.listdir(top))
            self.assertEqual(os.readlink(os.path.join(top, "diff")), "../../../" + place("chains", stacked_id(record, stacked)))

    def our_layers(self):
        """{Podman's layer id: ours}. Podman numbers layers above the first by a rule of its own (SHA-256 of
        "PARENT+DIFFID"), the contract here is the chain id: they are paired by their places."""
        found = {}
        ours, podmans = self.published.store("layers"), self.published.podman.root
        for image, record in store_records(podmans)[0].items():
            found.update(zip(layer_chain(podmans, record["layer"]),
                             layer_chain(ours, store_records(ours)[0][image]["layer"]), strict=True))
        return found


def stacked_id(record, stacked):
    return stacked[0][record["id"]]["layer"]


def layer_chain(store, layer):
    """Ids of a layer and those below it, lowest first."""
    records, found = store_records(store)[1], []
    while layer:
        found.append(layer)
        layer = records[layer].get("parent")
    return found[::-1]


def comparable(record, *left_out):
    """A record without times; Podman lists the newest name first."""
    record = {key: value for key, value in record.items() if key not in ("created", *left_out)}
    for key in ("names", "names-history"):
        if key in record:
            record[key] = sorted(record[key])
    return record


def content(*parts):
    path = os.path.join(*parts)
    if not os.path.exists(path):
        return None
    with open(path, "rb") as source:
        return source.read()


def contents(directory):
    return {name: content(directory, name) for name in os.listdir(directory)}


def big_data_file(name):
    return "=" + base64.b64encode(name.encode()).decode()


def in_both_modes(fuse=(False,), modes=MODES):
    """Runs a test method once for each mode of the store (and overlay), with a Podman that has it."""
    def decorate(test):
        @functools.wraps(test)
        def run_all(self):
            for mode in modes:
                for one in fuse:
                    self.mode = mode
                    with self.subTest(mode, fuse=one), PublishedStore(self.published.repositories[mode], fuse=one) as store:
                        test(self, store)
        return run_all
    return decorate


class PodmanTest(PublishedTest):
    """What users do."""

    @in_both_modes(fuse=(False, True))
    def test_images(self, store):
        """All tags, by name and id, as read-only images. (Podman's sizes come from its own unpacking.)"""
        def rows(output):
            return sorted({(name, one["Id"]) for one in json.loads(output) for name in one["Names"] or []})
        expected = rows(self.published.podman.run("images", "--format", "json"))
        self.assertEqual(len(expected), len(self.published.full))
        self.assertEqual(rows(store.call("images", "--format", "json")), expected)
        self.assertEqual({one["ReadOnly"] for one in json.loads(store.call("images", "--format", "json"))}, {True})

    @in_both_modes()
    def test_inspect(self, store):
        for name in self.published.full:
            expected, found = (json.loads(text)[0] for text in (
                self.published.podman.run("image", "inspect", name), store.call("image", "inspect", name)))
            for one in (expected, found):
                for key in ("GraphDriver", "Size", "VirtualSize"):  # where it lies; how much the driver counts
                    one.pop(key)
                one["RepoTags"].sort()
                one["NamesHistory"] = sorted(one["NamesHistory"] or [])
                if "mixed" not in name:
                    one.pop("Created")      # the image says none
            self.assertEqual(expected, found)

    @in_both_modes(fuse=(False, True))
    def test_run(self, store):
        """The file list inside a container is that of umoci's tree; each name leads to its image."""
        self.assert_same_tree(self.published.tree, store.listing(self.published.full[0]))
        self.assertEqual(set(store.listing(self.published.full[3])), {b"d", b"d/stays", b"d/new", b"d/link"})

    @in_both_modes(fuse=(False, True))
    def test_run_by_hand_stacked(self, store):
        """The fallback for machines where no container starts gives the same lists."""
        self.assert_same_tree(self.published.tree, store.stacked(self.published.full[0]))

    @in_both_modes(fuse=(False, True))
    def test_programs_run(self, store):
        if not way_to_start():
            return      # reported by way_to_start(); the trees are compared above
        script = "cat /etc/motd; test -e /etc/issue || echo gone; ls /usr/share/doc; rm -r /usr/share/doc /odd; ls -d /odd"
        output = store.call("run", "--rm", "--network", "none", *way_to_start()[1], "--entrypoint", "/bin/bash",
                            self.published.full[1], "-c", script + " 2>&1; :")
        self.assertEqual(output, b"changed\ngone\nown\nls: cannot access '/odd': No such file or directory\n")

    @in_both_modes()
    def test_image_tree(self, store):
        """Names, and for stacked layers as many as Podman has."""
        expected = self.published.podman.run("image", "tree", self.published.full[0])
        found = store.call("image", "tree", self.published.full[0]).decode()
        layers = expected.count("─ ID:") if self.mode == "layers" else 1
        self.assertEqual(found.count("─ ID:"), layers, found)
        for name in self.published.full[:2]:
            self.assertIn(name, found)

    @in_both_modes(fuse=(False, True), modes=("layers",))
    def test_build_from(self, store):
        """A build takes the published image as its base: its files, its configuration, a command run in it."""
        with open(self.path("added"), "wb") as out:
            out.write(b"new\n")
        lines = [f"FROM {self.published.full[0]}", "COPY added /etc/added", "LABEL derived=yes"]
        if way_to_start():
            lines.insert(2, 'RUN ["/bin/bash", "-c", "rm /etc/motd && rm -r /odd && echo $DOLLAR > /etc/built"]')
        with open(self.path("Containerfile"), "w", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")
        store.call("build", "-q", "--isolation=chroot", "--network=host", "-t", "derived", self.scratch)
        found = json.loads(store.call("image", "inspect", "derived"))[0]
        base = json.loads(store.call("image", "inspect", self.published.full[0]))[0]
        self.assertEqual(found["Labels"], {**base["Labels"], "derived": "yes", **buildah(found["Labels"])})
        self.assertEqual(found["Config"]["Env"], base["Config"]["Env"])
        expected = dict(self.published.tree)
        for path in list(expected):
            if way_to_start() and (path == b"etc/motd" or path.split(b"/")[0] == b"odd"):
                del expected[path]
        derived = self.derived_tree(store)
        self.assertEqual(derived.pop(b"etc/added").size, 4)
        if way_to_start():
            self.assertEqual(derived.pop(b"etc/built").size, len("$HOME ${X} `id`\n"))
        self.assert_same_tree(expected, {path: node for path, node in derived.items()
                                         if path in expected or not path.startswith(b"proc")})

    @in_both_modes(modes=("merged",))
    def test_build_from_a_merged_image_fails(self, store):
        """Podman counts the layers that the image's history names (docs/layout.md): no broken image comes of it."""
        with open(self.path("Containerfile"), "w", encoding="utf-8") as out:
            out.write(f"FROM {self.published.full[0]}\nCOPY Containerfile /x\n")
        with self.assertRaises(AssertionError):
            store.call("build", "-q", "--isolation=chroot", "--network=host", "-t", "derived", self.scratch)
        self.assert_same_tree(self.published.tree, store.listing(self.published.full[0]))

    def derived_tree(self, store):
        """Of a derived image, whose top layer lies in the caller's own storage."""
        if way_to_start():
            return store.listing("derived")
        merged = store.call("image", "mount", "derived").decode().strip()
        try:
            return image_only(tree(merged))
        finally:
            store.call("image", "umount", "derived")


def buildah(labels):
    return {key: value for key, value in labels.items() if key.startswith("io.buildah")}


class PullTest(StoreTest):
    """A store that is listed beside one's own must not change what a pull gives."""

    def test_an_image_that_shares_layers_with_a_published_one(self):
        """Podman takes layers that it finds by their digest: those must be what the digest says."""
        registry = self.registry()
        base = TarBuilder().dir("only-below").file("only-below/f", b"1").dir("d").file("d/gone", b"").bytes()
        other = TarBuilder().dir("other").dir("d", 0o700).bytes()
        top = TarBuilder().whiteout("d/gone").file("d/top", b"2").dir("d").bytes()
        registry.push_image("a/published", "t", [base, top])
        registry.push_image("a/wanted", "t", [other, top])
        layout = Image([other, top]).write_layout(self.path("layout"), "t")
        expected = image_only(tree(umoci_unpack(layout, "t", self.path("umoci"))))
        for mode in MODES:
            with self.subTest(mode):
                self.ducc().run("convert", "--repo", self.path(mode), "--podman", mode, f"http://{registry.host}/a/published:t",
                                check=True)
                store = self.store(self.path(mode))
                store.call("pull", "-q", "--tls-verify=false", f"docker://{registry.host}/a/wanted:t")
                merged = store.run("image", "mount", f"{registry.host}/a/wanted:t").strip()
                self.assert_same_tree(expected, image_only(tree(merged)))


class NamesTest(StoreTest):
    """Which names the records hold, run after run."""

    def setUp(self):
        super().setUp()
        self.hub = self.registry()
        self.first = self.hub.push_image("a/b", "1", SMALL)
        self.hub.push_image("a/b", "2", SMALL)
        self.second = Image([*SMALL, TarBuilder().file("more", b"").bytes()])

    def publish(self, backend, *tags, mode="layers", check=True):
        repository = backend if isinstance(backend, str) else backend.argument
        return self.ducc(None if isinstance(backend, str) else backend).run(
            "convert", "--repo", repository, "--podman", mode, *(f"http://{self.hub.host}/a/b:{tag}" for tag in tags),
            check=check)

    def names(self, repository):
        return {image: sorted(name.rpartition(":")[2] for name in record.get("names", []))
                for image, record in store_records(os.path.join(repository, "podmanStore"))[0].items()}

    def test_two_tags_are_one_image(self):
        self.publish(self.path("repo"), "1", "2")
        self.assertEqual(self.names(self.path("repo")), {hexadecimal(self.first.config_digest): ["1", "2"]})

    def test_a_tag_that_comes_later(self):
        self.publish(self.path("repo"), "1")
        self.publish(self.path("repo"), "2")
        self.assertEqual(self.names(self.path("repo")), {hexadecimal(self.first.config_digest): ["1", "2"]})

    def test_a_moved_tag_leaves_the_old_record(self):
        for mode in MODES:
            with self.subTest(mode):
                repository = self.path(mode)
                self.hub.push("a/b", "2", self.first)
                self.publish(repository, "1", "2", mode=mode)
                self.hub.push("a/b", "2", self.second)
                self.publish(repository, "1", "2", mode=mode)
                self.assertEqual(self.names(repository), {hexadecimal(self.first.config_digest): ["1"],
                                                          hexadecimal(self.second.config_digest): ["2"]})
                store = self.store(repository)
                self.assertIn(b"more", store.listing(f"{self.hub.host}/a/b:2"))
                self.assertNotIn(b"more", store.listing(f"{self.hub.host}/a/b:1"))

    def test_a_tag_that_moves_back(self):
        self.publish(self.path("repo"), "2")
        self.hub.push("a/b", "2", self.second)
        self.publish(self.path("repo"), "2")
        self.hub.push("a/b", "2", self.first)
        self.publish(self.path("repo"), "2")
        self.assertEqual(self.names(self.path("repo")), {hexadecimal(self.first.config_digest): ["2"],
                                                         hexadecimal(self.second.config_digest): []})
        with self.assertRaises(AssertionError):     # its name is gone, but who knows its id may use it
            self.store(self.path("repo")).call("image", "inspect", f"{self.hub.host}/a/b:1")
        self.store(self.path("repo")).call("image", "inspect", hexadecimal(self.second.config_digest))

    def test_each_once_and_the_same_bytes_whatever_is_published_again(self):
        self.publish(self.path("repo"), "1", "2")
        before = self.lists(self.path("repo"))
        self.publish(self.path("repo"), "2", "1")
        self.ducc().run("convert", "-g", "--repo", self.path("repo"), f"http://{self.hub.host}/a/b:2", check=True)
        self.assertEqual(self.lists(self.path("repo")), before)
        self.publish(self.path("other"), "1", "2")
        self.assertEqual(self.lists(self.path("other")), before, "another machine writes the same bytes")

    def test_both_modes_in_one_store(self):
        """The image is in the mode that was asked for last; the other mode's layers stay."""
        repository = self.path("repo")
        for mode in ("layers", "merged", "layers"):
            self.publish(repository, "1", mode=mode)
            store = self.store(repository)
            self.assertEqual(set(store.listing(f"{self.hub.host}/a/b:1")), {b"d", b"d/stays", b"d/new", b"d/link"})

    def test_one_revision_an_image(self):
        backend = StandIn(self.scratch)
        self.publish(backend, "1")
        before = backend.revisions()
        self.hub.push("a/b", "3", self.second)
        self.publish(backend, "3")
        self.assertEqual(backend.revisions(), before + 1)
        self.publish(backend, "1", "3")
        self.assertEqual(backend.revisions(), before + 1)
        backend.assert_sound(self)
        self.assertEqual(len(self.names(backend.view)), 2)

    def test_the_store_on_a_mount_of_the_stand_in(self):
        backend = StandIn(self.scratch)
        self.publish(backend, "1")
        for fuse in (False, True):
            store = self.store(backend.view, fuse=fuse)
            self.assertEqual(set(store.listing(f"{self.hub.host}/a/b:1")), {b"d", b"d/stays", b"d/new", b"d/link"})

    def test_skip_podman(self):
        for options in (["--skip-podman"], ["--podman", "none"], ["-p"]):
            repository = self.path(options[-1])
            self.ducc().run("convert", "--repo", repository, *options, f"http://{self.hub.host}/a/b:1", check=True)
            self.assertFalse(os.path.lexists(os.path.join(repository, "podmanStore")))

    def test_broken_lists_stop_all_writing(self):
        """What they name would be lost: exit status 3, nothing fetched, nothing written."""
        for name, text in [("images", b"{"), ("images", b"{}"), ("images", b'[{"names": []}]'), ("layers", b"[1]"),
                           ("layers", b"[] x"), ("images", b"[\xff]"), ("layers", b'[{"id": 7}]')]:
            with self.subTest(name, text=text):
                shutil.rmtree(self.path("repo"), ignore_errors=True)
                self.publish(self.path("repo"), "1")
                path = self.path("repo", "podmanStore", f"overlay-{name}", f"{name}.json")
                os.chmod(path, 0o644)
                with open(path, "wb") as out:
                    out.write(text)
                before = tree(self.path("repo"))
                self.hub.push("a/b", "3", self.second)
                self.hub.forget_requests()
                result = self.publish(self.path("repo"), "3", check=3)
                self.assertIn(f"{name}.json", result.stderr)
                self.assertIn("ducc repair", result.stderr)
                self.assertEqual(self.hub.requests(), [], "nothing is asked for that cannot be published")
                self.assert_same_tree(before, self.path("repo"))
        with self.subTest("a run that wants no store does not read them"):
            result = self.ducc().run("convert", "--repo", self.path("repo"), "--podman", "none",
                                     f"http://{self.hub.host}/a/b:3", check=True)
            self.assertIn("1 published", result.stdout)

    def lists(self, repository):
        store = os.path.join(repository, "podmanStore")
        return [content(store, f"overlay-{name}", f"{name}.json") for name in ("images", "layers")] + [
            sorted(tree(store))]


class GoToolTest(StoreTest):
    """A repository that the Go tool filled."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("repo"))
        if os.path.exists(SAMPLE):
            subprocess.run(["tar", "--zstd", "-xf", SAMPLE, "-C", self.path("repo")], check=True)
            self.old = ["127.0.0.1:5000/test/small:1", "127.0.0.1:5000/test/small:2"]
        else:
            self.old = [f"127.0.0.1:5000/{write_as_go(self.path('repo'))}"]

    def test_images_are_added_and_none_is_lost(self):
        registry = self.registry()
        image = registry.push_image("a/b", "t", SMALL)
        path = self.path("repo", "podmanStore")
        before = {one["id"]: one for one in load(path, "overlay-images", "images.json")}
        layers = {one["id"]: one for one in load(path, "overlay-layers", "layers.json")}
        self.ducc().run("convert", "--repo", self.path("repo"), f"http://{registry.host}/a/b:t", check=True)
        images, after = store_records(path)     # which says if a record is there twice, as it was
        self.assertEqual({key: images.pop(key) for key in before}, before)
        self.assertEqual({key: after.pop(key) for key in layers}, layers)
        self.assertEqual(list(images), [hexadecimal(image.config_digest)])
        self.assertEqual(len(after), 3)
        store = self.store(self.path("repo"))
        found = {name for one in json.loads(store.call("images", "--format", "json")) for name in one["Names"]}
        self.assertEqual(found, {*self.old, f"{registry.host}/a/b:t"})
        self.assertEqual(set(store.listing(f"{registry.host}/a/b:t")), {b"d", b"d/stays", b"d/new", b"d/link"})
        for name in self.old:
            store.call("image", "inspect", name)
            self.assertTrue(store.listing(name))


def write_as_go(repository):
    """A store as the Go tool writes it (a layer twice, ids that are diff ids, no big-data fields), where there is no
    sample of a real one. Returns the image's name without its registry."""
    raw = TarBuilder().dir("d").bytes()
    image = Image([raw])
    layer, config = hexadecimal(image.diff_ids[0]), hexadecimal(image.config_digest)
    store = os.path.join(repository, "podmanStore")
    tree_folder = os.path.join(repository, layer_place(image.layer_digests[0]))
    os.makedirs(os.path.join(tree_folder, "d"))
    for folder in (f"overlay/{layer}", "overlay/l", f"overlay-images/{config}", "overlay-layers"):
        os.makedirs(os.path.join(store, folder))
    os.symlink("../../../" + layer_place(image.layer_digests[0]), os.path.join(store, "overlay", layer, "diff"))
    os.symlink(f"../{layer}/diff", os.path.join(store, "overlay/l", "A" * 26))
    record = {"id": layer, "created": "2026-11-20T21:26:41.901719371Z", "compressed-diff-digest": image.layer_digests[0],
              "compressed-size": 100, "diff-digest": image.diff_ids[0], "diff-size": len(raw)}
    for path, data in {f"overlay/{layer}/link": b"A" * 26, "overlay-images/images.lock": b"", "overlay-layers/layers.lock": b"",
                       f"overlay-images/{config}/{big_data_file('sha256:' + config)}": image.config,
                       f"overlay-images/{config}/manifest": image.manifest,
                       "overlay-layers/layers.json": json.dumps([record, record], indent=1).encode(),
                       "overlay-images/images.json": json.dumps([{
                           "id": config, "names": ["127.0.0.1:5000/test/old:1"], "layer": layer,
                           "created": "2026-11-20T21:26:48.318806921Z"}], indent=1).encode()}.items():
        with open(os.path.join(store, path), "wb") as out:
            out.write(data)
    return "test/old:1"


if __name__ == "__main__":
    unittest.main()
