"""Everything that integration tests use, in one import: `from harness import Registry, TarBuilder, …`.

tarbuilder.py writes layer tars, ocilayout.py images, realimage.py one built of Debian packages; registry.py runs a
registry, cvmfs.py a stand-in CernVM-FS, ducc.py the program; trees.py compares, references.py asks umoci and Podman.
"""

import os
import secrets
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from cvmfs import STANDIN, StandInRepository                                                        # noqa: E402,F401
from ducc import Ducc, Result                                                                       # noqa: E402,F401
from ocilayout import DOCKER_TYPES, OCI_TYPES, Image, digest_of, index_of, write_layout             # noqa: E402,F401
from realimage import cache_directory, chroot_shell, real_image                                     # noqa: E402,F401
from references import Podman, overlay, umoci_unpack, unmount_below                                 # noqa: E402,F401
from registry import Registry, Request, need, stop_process                                          # noqa: E402,F401
from tarbuilder import TarBuilder                                                                   # noqa: E402,F401
from trees import NO_ATTRIBUTES, NO_MTIME, Node, assert_same_tree, differences, tree                # noqa: E402,F401


class IntegrationTest(unittest.TestCase):
    """A test with a scratch directory, and one-line access to the pieces, all cleaned up in the end."""

    maxDiff = None

    def setUp(self):
        # mkdtemp() makes names that Podman does not take for a part of an image's name, such as x_.
        self.scratch = os.path.join(tempfile.gettempdir(), f"ducc-test-{secrets.token_hex(6)}")
        os.mkdir(self.scratch, 0o700)
        self.addCleanup(shutil.rmtree, self.scratch, ignore_errors=True)
        self.addCleanup(unmount_below, self.scratch)

    def path(self, *parts):
        """A path below the scratch directory."""
        return os.path.join(self.scratch, *parts)

    def registry(self, **options):
        return self.enterContext(Registry(**options))

    def repository(self, name="images.test.example", *options):
        return StandInRepository(self.path("cvmfs-standin"), name).create(*options)

    def ducc(self, repository=None, **options):
        """The program; with a repository it finds that one's cvmfs_server."""
        environment = repository.environment() if repository else None
        return self.enterContext(Ducc(environment=environment, **options))

    def podman(self, **options):
        return self.enterContext(Podman(**options))

    def assert_same_tree(self, expected, actual, message="", **options):
        assert_same_tree(self, expected, actual, message, **options)
