"""Published layers under containerd: in a container are the files of the image that it pulls and unpacks itself."""

import os
import shutil
import tempfile
import unittest

from containerd import Containerd, image_files
from ducc import Ducc
from harness import IntegrationTest, Registry, real_image, tree, umoci_unpack, unmount_below
from oddimages import CASES, REFUSES, DIFFERS, Cases
from published import LayoutImage, layer_place
from references import run
from servicesimage import PROGRAMS, services_image
from trees import differences


class ContainerdTest(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        cls.containerd = Containerd()
        cls.addClassCleanup(cls.containerd.close)

    def publish(self, repository, name, image):
        """As on a client of CernVM-FS: the tree is read-only."""
        view = self.path("view")
        os.makedirs(view, exist_ok=True)
        if not os.listdir(view):
            run("mount", "--bind", repository, view)
            run("mount", "-o", "remount,bind,ro", view)
        return self.containerd.publish(name, [(chain, os.path.join(view, layer_place(digest))) for chain, digest
                                              in zip(image.chain_ids(), image.layer_digests, strict=True)])


class OddImagesTest(ContainerdTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cases = Cases()
        cls.addClassCleanup(cls.cases.close)

    def test_published(self):
        for case in CASES:
            if b"" in case.layers:
                continue    # containerd takes no manifest that names a blob of 0 bytes; test_originals() sees that
            with self.subTest(case.name):
                name = self.cases.name(case.name)
                namespace = self.publish(self.cases.repository, name, self.cases.images[case.name])
                self.assert_same_tree(image_files(self.cases.trees[case.name]), self.containerd.listing(namespace, name))

    def test_originals(self):
        """The same as in the images that containerd pulls; where it cannot, or shows something else, the table says so."""
        for case in CASES:
            with self.subTest(case.name):
                name = self.cases.name(case.name)
                self.assertEqual(self.original(case, name) if self.containerd.pull(name) else REFUSES, case.containerd)

    def original(self, case, name):
        with self.containerd.mounted(name) as top:
            shown = image_files(tree(top))
        for path in set(case.unnamed) & shown.keys():
            shown[path] = shown[path]._replace(mtime=0)
        lines = list(differences(image_files(self.cases.trees[case.name]), shown))
        if lines and not case.containerd:
            self.fail("\n".join(lines[:20]))
        return DIFFERS if lines else ""


def without_directory_times(entries):
    return {path: node._replace(mtime=None) if node.type == "dir" else node for path, node in entries.items()}


class RealImagesTest(ContainerdTest):
    """Images of Debian packages: the same files, and programs that say the same in both."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.work = tempfile.mkdtemp(prefix="containerd-test-")
        cls.addClassCleanup(shutil.rmtree, cls.work, True)
        cls.addClassCleanup(unmount_below, cls.work)
        cls.registry = cls.enterClassContext(Registry())

    def both(self, layout, tag):
        """(name, namespace) of an image, published there, and pulled by containerd in the other one."""
        self.registry.push_layout(layout, tag, "lib/real", tag)
        name, repository = f"{self.registry.host}/lib/real:{tag}", self.path("repository")
        with Ducc() as ducc:
            ducc.run("convert", "--repo", repository, "http://" + name, check=True)
        self.assertTrue(self.containerd.pull(name))
        return name, self.publish(repository, name, LayoutImage(layout, tag))

    def check_files(self, name, namespace, expected):
        with self.containerd.mounted(name) as top:  # directories that a layer implies have the time of its pull
            self.assert_same_tree(without_directory_times(expected), without_directory_times(image_files(tree(top))), "containerd's own")
        self.assert_same_tree(expected, self.containerd.listing(namespace, name), "published")

    def test_odd_real_image(self):
        layout, tag = real_image()
        self.check_files(*self.both(layout, tag), image_files(tree(umoci_unpack(layout, tag, self.path("umoci")))))

    def test_services(self):
        layout, tag = services_image()
        name, namespace = self.both(layout, tag)
        self.check_files(name, namespace, image_files(tree(umoci_unpack(layout, tag, self.path("umoci")))))
        for program, script in PROGRAMS.items():
            with self.subTest(program):
                expected, found = (self.containerd.run(one, name, "/bin/bash", "-c", script, options=["--allow-new-privs"])
                                   for one in (self.containerd.original, namespace))
                self.assertTrue(expected)
                self.assertEqual(found, expected)


if __name__ == "__main__":
    unittest.main()
