"""systemd: the units of deploy/systemd, what the service tells systemd, and its messages in a real journal."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
import unittest

from backends import Directory, StandIn
from failing import add, layer
from harness import Image, IntegrationTest
from service import ServiceTest

UNITS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "systemd")
SCORE_MAX = 6.0     # docs/systemd.md names it, too

# exec_needs_mount_namespace() of systemd: with one of these, mounts of cvmfs_server do not reach the machine.
MOUNT_NAMESPACE = set("""
    BindPaths BindReadOnlyPaths DynamicUser ExecPaths ExtensionDirectories ExtensionImages InaccessiblePaths IPCNamespacePath
    LogNamespace MountFlags MountImages NoExecPaths PrivateDevices PrivateIPC PrivateMounts PrivateNetwork PrivatePIDs PrivateTmp
    ProcSubset ProtectControlGroups ProtectHome ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc
    ProtectSystem ReadOnlyPaths ReadWritePaths RootDirectory RootImage TemporaryFileSystem
""".split())


class UnitTest(IntegrationTest):
    def setUp(self):
        super().setUp()
        self.units = {}
        for name in sorted(os.listdir(UNITS)):
            with open(os.path.join(UNITS, name), encoding="utf-8") as source:
                self.units[name] = source.read()
        self.assertEqual(list(self.units), ["ducc-poll.service", "ducc-poll.timer", "ducc.service"])

    def written(self):
        """The units in a folder, the program being the one under test."""
        for name, text in self.units.items():
            with open(self.path(name), "w", encoding="utf-8") as out:
                out.write(text.replace("/usr/bin/ducc", self.ducc().binary))
        return [self.path(name) for name in self.units]

    def test_verify(self):
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *self.written()],
                              capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_security_score(self):
        for name in ("ducc.service", "ducc-poll.service"):
            done = subprocess.run(["systemd-analyze", "security", "--offline=true", os.path.join(UNITS, name)],
                                  capture_output=True, text=True, check=True)
            score = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout).group(1))
            print(f"systemd-analyze security {name}: {score}", flush=True)
            self.assertLessEqual(score, SCORE_MAX, done.stdout)

    def test_no_mount_namespace(self):
        for name, text in self.units.items():
            keys = {line.split("=")[0] for line in text.splitlines() if "=" in line and not line.startswith("#")}
            self.assertEqual(keys & MOUNT_NAMESPACE, set(), name)

    def test_both_services_are_hardened_alike(self):
        def hardening(text):
            return text[text.index("# Hardening."):].split("\n\n")[0].rstrip()
        self.assertEqual(hardening(self.units["ducc.service"]), hardening(self.units["ducc-poll.service"]))


class NotifySocket:
    """What systemd listens at."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.path, self.got = path, []

    def look(self):
        while select.select([self.socket], [], [], 0)[0]:
            self.got += self.socket.recv(4096).decode().split()

    def has(self, text):
        self.look()
        return text in self.got


class NotifyTest(ServiceTest):
    def test_life(self):
        source, backend = self.misbehaving(), Directory(self.scratch)
        name = f"{source.host}/a/b:1"
        image = add(source, "a/b", "1", Image([layer("one")]))
        config = self.configure([self.recipe("list.yaml", backend.argument, [name])])
        systemd = NotifySocket(self.path("notify"))
        self.addCleanup(systemd.socket.close)
        service = self.service(self.ducc(), "daemon", "--config", config,
                               env={"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "600000"})
        self.wait_for(lambda: systemd.has("READY=1"), service)
        self.wait_published(backend, name, image, service)
        self.wait_for(lambda: systemd.got.count("WATCHDOG=1") >= 3 or systemd.look(), service)
        self.assertNotIn("RELOADING=1", systemd.got)
        systemd.got.clear()
        before = time.monotonic_ns() // 1000
        service.reload()
        self.wait_for(lambda: systemd.has("READY=1"), service)
        self.assertLess(systemd.got.index("RELOADING=1"), systemd.got.index("READY=1"))
        said = [int(line.split("=")[1]) for line in systemd.got if line.startswith("MONOTONIC_USEC=")]
        self.assertTrue(before <= said[0] <= time.monotonic_ns() // 1000, said)
        self.assertEqual(service.stop(), 0)
        self.assertTrue(systemd.has("STOPPING=1"))

    def test_one_that_hangs_does_not_feed_the_watchdog(self):
        source, backend = self.misbehaving(), Directory(self.scratch)
        config = self.configure([self.recipe("list.yaml", backend.argument, [f"{source.host}/a/b:1"])])
        systemd = NotifySocket(self.path("notify"))
        self.addCleanup(systemd.socket.close)
        service = self.service(self.ducc(), "daemon", "--config", config,
                               env={"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "400000"})
        self.wait_for(lambda: systemd.has("WATCHDOG=1"), service)
        service.process.send_signal(signal.SIGSTOP)
        systemd.look()
        systemd.got.clear()
        time.sleep(1)
        self.assertFalse(systemd.has("WATCHDOG=1"))


JOURNAL = r"""
set -e
mkdir -p /run/systemd /run/log
mount -t tmpfs tmpfs /run/systemd
mount -t tmpfs tmpfs /run/log
mkdir -p /run/systemd/journal /run/log/journal
echo 0123456789abcdef0123456789abcdef > /run/systemd/machine-id
mount --bind /run/systemd/machine-id /etc/machine-id
/lib/systemd/systemd-journald > "$1" 2>&1 &
until [ -S /run/systemd/journal/stdout ]; do sleep 0.05; done
shift
echo ready
# As systemd does for a service: which systemd-cat does not.
systemd-cat bash -c 'JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec "$@"' bash "$@" < /dev/null &
ducc=$!
while read -r what; do
    case $what in
        show) journalctl -q -D /run/log/journal -o json SYSLOG_IDENTIFIER=ducc || true; echo end ;;
        stop) kill -TERM $ducc; wait $ducc; echo "ended with $?" ;;
    esac
done
kill %1
"""


class Journal:
    """`ducc`, its standard error being read by a systemd-journald of its own, in mounts of its own."""

    def __init__(self, log, command, env):
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", JOURNAL, "bash", log, *command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()

    def messages(self):
        self.ask("show")
        return [json.loads(line) for line in iter(self.process.stdout.readline, "end\n")]

    def stop(self):
        self.ask("stop")
        return self.process.stdout.readline().strip()

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class JournalTest(ServiceTest):
    def journal(self, ducc, *arguments):
        journal = Journal(self.path("journald.log"), ducc.command(*arguments), ducc.variables(None))
        self.addCleanup(journal.close)
        return journal

    def test_fields(self):
        source, backend = self.misbehaving(), StandIn(self.scratch)
        names = {what: f"{source.host}/lib/{what}:1" for what in ("good", "absent")}
        add(source, "lib/good", "1", Image([layer("good")]))
        config = self.configure([self.recipe("list.yaml", backend.argument, names.values())])
        journal = self.journal(self.ducc(backend), "daemon", "--config", config)

        def about(what):
            return [m for m in journal.messages() if m.get("IMAGE") == names[what]]
        self.wait_for(lambda: about("absent") and any("published" in m["MESSAGE"] for m in about("good")))
        self.assertEqual(journal.stop(), "ended with 0")
        failed, = about("absent")
        self.assertEqual((failed["PRIORITY"], failed["REGISTRY"], failed["REPOSITORY"]), ("3", source.host, backend.argument))
        self.assertTrue(failed["MESSAGE"].startswith(names["absent"]), failed["MESSAGE"])     # no time, no level
        self.assertIn("no such image or tag", failed["MESSAGE"])
        published, = [m for m in about("good") if "published" in m["MESSAGE"]]
        self.assertEqual((published["PRIORITY"], published["REVISION"]), ("6", str(backend.revisions())))
        self.assertEqual(published["_TRANSPORT"], "journal")
        committed, = [m for m in journal.messages() if m["MESSAGE"].startswith("committed")]
        self.assertEqual((committed["REVISION"], committed["REPOSITORY"]), (str(backend.revisions()), backend.argument))
        self.assertNotIn("IMAGE", committed)

    def test_elsewhere_lines_on_standard_error(self):
        """$JOURNAL_STREAM is inherited by what writes elsewhere."""
        done = self.ducc().run("poll", "--config", self.path("missing.yaml"), env={"JOURNAL_STREAM": "1:2"}, check=2)
        self.assertIn("missing.yaml", done.stderr)


if __name__ == "__main__":
    unittest.main()
