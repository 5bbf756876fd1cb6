"""A real image of many services (servicesimage.py), published: for Podman it is what the original is."""

import json
import os
import shutil
import tempfile
import time
import unittest

from ducc import Ducc
from harness import IntegrationTest, Registry, tree, umoci_unpack, unmount_below
from published import LayoutImage, assert_flat
from runtimes import Booted, ContainerPodman, PublishedStore, image_only, way_to_start
from servicesimage import CONFIG, ENABLED, PROGRAMS, services_image


class ServicesTest(IntegrationTest):
    @classmethod
    def setUpClass(cls):
        cls.work = tempfile.mkdtemp(prefix="services-test-")
        cls.addClassCleanup(shutil.rmtree, cls.work, True)
        cls.addClassCleanup(unmount_below, cls.work)
        cls.registry = Registry().start()
        cls.addClassCleanup(cls.registry.stop)
        cls.layout, cls.tag = services_image()
        cls.registry.push_layout(cls.layout, cls.tag, "lib/services", "v2s2", "v2s2")   # OCI has no health checks
        cls.name = f"{cls.registry.host}/lib/services:v2s2"
        cls.repository = os.path.join(cls.work, "repository")
        with Ducc() as ducc:
            ducc.run("convert", "--repo", cls.repository, "http://" + cls.name, check=True)
        cls.original = ContainerPodman()
        cls.addClassCleanup(cls.original.close)
        cls.original.pull(f"docker://{cls.name}")

    def test_configuration(self):
        """All that Podman shows of the image, but for where it lies and how much its driver counts."""
        def shown(podman):
            found = json.loads(podman.call("image", "inspect", self.name))[0]
            return {key: value for key, value in found.items() if key not in ("GraphDriver", "Size", "VirtualSize")}
        with PublishedStore(self.repository) as store:
            expected, found = shown(self.original), shown(store)
        self.assertIn("Healthcheck", found)
        for key, value in CONFIG.items():
            if key in found["Config"]:
                self.assertEqual(found["Config"][key], value, key)
        self.assertEqual(found, expected)

    def test_history_and_tree(self):
        with PublishedStore(self.repository) as store:
            for command in (["history", "--no-trunc", "--format", "json", self.name],):
                self.assertEqual(store.call(*command), self.original.call(*command))

    def test_files(self):
        expected = tree(umoci_unpack(self.layout, self.tag, os.path.join(self.work, "umoci")))
        assert_flat(self, expected, self.repository, LayoutImage(self.layout, self.tag).config_digest)
        for fuse in (False, True):
            with self.subTest(fuse=fuse), PublishedStore(self.repository, fuse=fuse) as store:
                found = store.listing(self.name)
                kept = image_only(expected)
                for one in (kept, found):   # Podman mounts volumes there, and makes what is missing for them
                    for path in (b"var/lib/data", b"var/spool/jobs", b"var/spool", b"var"):
                        one.pop(path, None)
                self.assert_same_tree(kept, found)

    def shell(self, podman, script, *options):
        done = podman.call("run", "--rm", "--network", "none", *way_to_start()[1], "--no-healthcheck", *options, "--entrypoint", "/bin/bash", self.name,
                           "-c", script)
        return done.decode()

    def test_programs(self):
        """What runs, and what it says, is the same as in the original."""
        if not way_to_start():
            return      # said loudly by way_to_start(); the trees are compared above
        expected = {name: self.shell(self.original, script) for name, script in PROGRAMS.items()}
        self.assertTrue(all(expected.values()), expected)
        self.assertIn("systemd 252", expected["systemd"])
        self.assertIn("uid=0(root)", expected["sudo"])
        self.assertIn("uid=65534(nobody)", expected["sudo"])
        for fuse in (False, True):
            with PublishedStore(self.repository, fuse=fuse) as store:
                for name, script in PROGRAMS.items():
                    with self.subTest(name, fuse=fuse):
                        self.assertEqual(self.shell(store, script), expected[name])

    def booted(self, podman):
        """What runs once the system is up: (units and their states, processes)."""
        with Booted(podman, self.name) as system:
            for _ in range(100):
                state = system.call("systemctl", "is-system-running", "--wait", check=False).strip()
                if state in ("running", "degraded"):
                    break
                time.sleep(0.2)     # no system manager answers yet
            units = system.call("systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager")
            processes = system.call("sh", "-c", "for one in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $one; echo; done")
        return (state, sorted(" ".join(line.split()[:4]) for line in units.splitlines() if ".device " not in line),
                sorted(line.strip() for line in processes.splitlines() if line.strip() and not line.startswith("sh -c")))

    def test_systemd_boots(self):
        """The entry point is process 1 and brings the daemons up, the same ones as in the original."""
        if not way_to_start():
            return
        expected = self.booted(self.original)
        self.assertEqual(expected[0], "running")
        for unit in (*ENABLED, "dbus.service", "systemd-logind.service", "multi-user.target"):
            self.assertTrue(any(line.startswith(f"{unit} loaded active ") for line in expected[1]), (unit, expected))
        for process in ("/lib/systemd/systemd --system --unit=multi-user.target", "/usr/sbin/cron -f"):
            self.assertIn(process, expected[2])
        for fuse in (False, True):
            with self.subTest(fuse=fuse), PublishedStore(self.repository, fuse=fuse) as store:
                self.assertEqual(self.booted(store), expected)

    def test_ping_has_its_capability(self):
        """A user may ping only by the file's capability: extended attributes of the directory back end reach the container."""
        if not way_to_start():
            return
        script = ("cp /usr/bin/ping /tmp/without; for one in /usr/bin/ping /tmp/without; do "
                  "sudo -n -u www $one -c 1 -W 2 127.0.0.1 > /dev/null 2>&1; echo $?; done")
        options = ("--cap-add", "NET_RAW", "--sysctl", "net.ipv4.ping_group_range=1 0")
        expected = self.shell(self.original, script, *options)
        self.assertRegex(expected, r"^0\n[1-9]\d*\n$")
        for fuse in (False, True):
            with self.subTest(fuse=fuse), PublishedStore(self.repository, fuse=fuse) as store:
                self.assertEqual(self.shell(store, script, *options), expected)


if __name__ == "__main__":
    unittest.main()
