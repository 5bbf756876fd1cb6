"""The layer engine: one odd image for each rule (oddimages.py), published, and compared with what umoci and Podman make
of it."""

import os
import unittest

from backends import StandIn
from harness import IntegrationTest, Image, overlay, tree, umoci_unpack
from oddimages import BASE, CASES, DIFFERS, REFUSES, Cases, T, tar
from published import assert_flat, layer_place, place, published_tree
from runtimes import ContainerPodman, PublishedStore, image_only
from trees import differences

# What nobody can publish: (name, layers, what the message says).
REFUSED = [
    ("leaves-the-root", [tar().file("../x", b"").bytes()], "../x"),
    ("leaves-the-root-from-inside", [tar().dir("a").file("a/../../x", b"").bytes()], "a/../../x"),
    ("absolute-and-out", [tar().file("/../x", b"").bytes()], "/../x"),
    ("long-component", [tar().file("n" * 256, b"").bytes()], "nnn"),
    ("long-path", [tar().file("/".join(["n" * 200] * 25), b"").bytes()], "nnn"),
    ("nul", [tar().file("x", b"", pax={"path": b"a\0b"}).bytes()], "NUL"),
    ("link-out", [tar().hardlink("x", "../../etc/passwd").bytes()], "etc/passwd"),
    ("link-to-nothing", [tar().hardlink("x", "nowhere").bytes()], "nowhere"),
    ("link-before-its-target", [tar().hardlink("x", "y").file("y", b"").bytes()], "y"),
    ("link-to-deleted", [BASE, tar().whiteout("f").bytes(), tar().hardlink("x", "f").bytes()], "f"),
    ("below-a-file", [tar().file("f", b"").file("f/x", b"").bytes()], "f"),
    ("unknown-kind", [tar().entry("x", b"s").bytes()], "x"),
    ("cut-short", [tar().file("f", b"x" * 5000).bytes()[:3000]], ""),
    ("rubbish", [b"\x1f\x00rubbish" * 200], ""),
]


class EngineTest(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        cls.cases = Cases()
        cls.addClassCleanup(cls.cases.close)

    def each(self, check, **note):
        """Calls check(case, expected tree) for every case."""
        for case in CASES:
            with self.subTest(case.name, **note):
                check(case, self.cases.trees[case.name])

    def assert_published(self, root, case, expected):
        image = self.cases.images[case.name]
        self.assert_same_tree(expected, published_tree(root, place("chains", image.chain_ids()[-1])), "chain")
        assert_flat(self, expected, root, image.config_digest)

    def test_chain_and_flat_image(self):
        self.each(lambda case, expected: self.assert_published(self.cases.repository, case, expected))

    def test_verified(self):
        for repository in (self.cases.repository, self.cases.merged):
            result = self.ducc().run("verify", "--content", repository, check=0)
            self.assertIn(f"{len(CASES)} names looked at, 0 findings", result.stdout)

    def test_stand_in(self):
        backend = StandIn(self.scratch)
        self.cases.publish(backend.argument, ducc=self.ducc(backend))
        self.each(lambda case, expected: self.assert_published(backend.view, case, expected))
        self.each(lambda case, expected: self.assert_stacks(backend.view, case, expected))
        backend.assert_sound(self)

    def assert_stacks(self, root, case, expected):
        digests = self.cases.images[case.name].layer_digests    # a mount takes a directory once: the topmost counts
        layers = [os.path.join(root, layer_place(digest)) for digest in reversed(dict.fromkeys(reversed(digests)))]
        for fuse in (False, True):
            with overlay(layers, fuse=fuse) as merged:
                self.assert_same_tree(expected, tree(merged, ignore=[".cvmfscatalog"]), f"fuse: {fuse}")

    def test_stacked_by_hand(self):
        """As the containerd snapshotter does: mount -t overlay over .layers/xx/DIGEST/layerfs."""
        self.each(lambda case, expected: self.assert_stacks(self.cases.repository, case, expected))

    def test_a_refused_image_leaves_nothing(self):
        """Each fails alone, by name and with a reason, and nothing is written outside or below the repository."""
        registry, repository, outside = self.registry(), self.path("top", "repo"), self.path("top")
        registry.push_image("engine/good", "t", [BASE])
        images = {name: registry.push_image("engine/bad", name, layers, compression="none") for name, layers, _ in REFUSED}
        os.mkdir(outside)
        result = self.ducc().run("convert", "--repo", repository, f"http://{registry.host}/engine/good:t",
                                 *(f"http://{registry.host}/engine/bad:{name}" for name, _, _ in REFUSED), check=1)
        self.assertEqual(os.listdir(outside), ["repo"])
        self.assertEqual(os.listdir(os.path.join(repository, registry.host, "engine")), ["good:t"])
        self.assertEqual(sum(len(names) for names in (os.listdir(os.path.join(repository, ".flat", one)) for one in os.listdir(
            os.path.join(repository, ".flat")) if len(one) == 2)), 2)   # the image, and the catalog's marker
        for name, _, says in REFUSED:
            with self.subTest(name):
                lines = [line for line in result.stderr.splitlines() if f" error {registry.host}/engine/bad:{name}: " in line]
                self.assertEqual(len(lines), 1, result.stderr)
                self.assertIn(f" layer {images[name].layer_digests[-1]}: ", lines[0])
                self.assertIn(says, lines[0])
                self.assertIn(f"failed     {registry.host}/engine/bad:{name}\n", result.stdout)

    def test_devices_can_be_dropped(self):
        case = next(one for one in CASES if one.name == "devices")
        repository = self.path("repo")
        self.ducc().run("convert", "--repo", repository, "--devices", "drop", "http://" + self.cases.name("devices"), check=True)
        expected = {path: one for path, one in self.cases.trees["devices"].items() if one.type not in ("char", "block")}
        self.assertLess(len(expected), len(self.cases.trees["devices"]))
        image = self.cases.images["devices"]
        assert_flat(self, expected, repository, image.config_digest)
        self.assert_stacks(repository, case, expected)

    def test_a_hundred_layers(self):
        """More than a mount's options hold where Podman spells out each layer of an additional store: `merged` works."""
        registry = self.registry()
        layers = [tar().dir("d").file(f"d/{n}", b"%d" % n).whiteout(f"d/{n - 5}").bytes() for n in range(100)]
        registry.push_image("engine/many", "t", layers, compression="none")
        layout = Image(layers, compression="none").write_layout(self.path("layout"), "t")
        expected = tree(umoci_unpack(layout, "t", self.path("umoci")))
        self.ducc().run("convert", "--repo", self.path("repo"), "--podman", "merged", f"http://{registry.host}/engine/many:t",
                        check=True)
        for fuse in (False, True):
            with PublishedStore(self.path("repo"), fuse=fuse) as podman:
                self.assert_same_tree(image_only(expected), podman.listing(f"{registry.host}/engine/many:t"))

    def test_extended_attributes(self):
        """Kept by the directory back end, in the layer, the chain and the flat image."""
        value = bytes.fromhex("0100000202000000000000000000000000000000")     # cap_net_raw=ep
        layers = [tar().file("ping", b"x", 0o755, pax={"SCHILY.xattr.security.capability": value})
                  .file("plain", b"x", pax={"SCHILY.xattr.user.note": b"a\xff=b"}).dir("d", pax={"SCHILY.xattr.user.dir": "1"}).bytes()]
        registry = self.registry()
        image = registry.push_image("engine/xattrs", "t", layers)
        self.ducc().run("convert", "--repo", self.path("repo"), f"http://{registry.host}/engine/xattrs:t", check=True)
        for top in (layer_place(image.layer_digests[0]), place("chains", image.chain_ids()[0]), place("flat", image.config_digest)):
            for name, attribute, expected in (("ping", "security.capability", value), ("plain", "user.note", b"a\xff=b"),
                                              ("d", "user.dir", b"1")):
                with self.subTest(top, name=name):
                    self.assertEqual(os.getxattr(self.path("repo", top, name), attribute), expected)

    def test_in_containers(self):
        """What is seen inside a container that Podman starts from the store."""
        for repository, fuse in ((self.cases.repository, False), (self.cases.repository, True), (self.cases.merged, False)):
            with PublishedStore(repository, fuse=fuse) as podman:
                self.each(lambda case, expected, podman=podman: self.assert_same_tree(
                    image_only(expected), podman.listing(self.cases.name(case.name))), store=repository, fuse=fuse)

    def test_containers_of_the_originals(self):
        """The same lists as of the images that Podman pulls; where it cannot, or shows something else, the table says
        so."""
        with ContainerPodman() as podman:
            self.each(lambda case, expected: self.assertEqual(self.original(podman, case, image_only(expected)), case.podman))

    def original(self, podman, case, expected):
        """How Podman takes the original: "", REFUSES or DIFFERS."""
        try:
            podman.call("pull", "-q", "--tls-verify=false", f"docker://{self.cases.name(case.name)}")
        except AssertionError:
            return REFUSES
        found = podman.listing(self.cases.name(case.name))
        for path in case.unnamed:
            if path in found:
                found[path] = found[path]._replace(mtime=0)
        self.shown = list(differences(expected, found))
        if self.shown and not case.podman:
            self.fail("\n".join(self.shown[:20]))
        return DIFFERS if self.shown else ""


if __name__ == "__main__":
    unittest.main()
