"""systemd: the units of deploy/systemd, what the service tells systemd, and its messages in a real journal."""

import contextlib
import hashlib
import hmac
import http.server
import json
import os
import re
import select
import signal
import socket
import subprocess
import threading
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

    def test_tries_do_not_pile_up_behind_a_registry_that_hangs(self):
        """What systemd is told is at work stays what it is, however often the time of a next try comes."""
        source, backend = self.misbehaving(), Directory(self.scratch)
        source.behave("/v2/", status=500)
        names = [f"{source.host}/a/b:{number}" for number in range(5)]
        config = self.configure([self.recipe("list.yaml", backend.argument, names)], {"interval": "1m"})
        ducc = self.ducc()
        self.poll(ducc, config, status=1)   # all failed
        source.forget_requests()
        source.behave("/v2/", delay=3600)
        systemd = NotifySocket(self.path("notify"))
        self.addCleanup(systemd.socket.close)
        service = self.service(ducc, "daemon", "--config", config, env={
            "NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "600000", "DUCC_CLOCK_SPEED": 1200})    # 10 minutes in 0.5 s
        self.wait_for(lambda: source.seen("/v2/"), service)
        time.sleep(10)
        systemd.look()
        at_work = [int(found[1]) for found in (re.fullmatch(r"STATUS=(\d+)", word) for word in systemd.got) if found]
        self.assertGreater(len(at_work), 0, systemd.got)
        self.assertLessEqual(max(at_work), 4, at_work)
        self.assertEqual(service.stop(20), 0)

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



BOOT = r"""
set -e
top=$1 root=$1/root
mount -t tmpfs tmpfs "$top"
mkdir "$top/upper" "$top/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$top/upper,workdir=$top/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount --make-rslave "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mount --make-rshared "$root"        # as systemd has it where it boots a machine: credentials are mounts
units=$root/etc/systemd/system
rm -rf "$units"; mkdir -p "$units/ducc.service.d" "$root/etc/ducc"
cp "$2" "$root/usr/bin/ducc"
cp "$3"/* "$units/"
cp "$4"/* "$root/etc/ducc/"
# Leaks are looked for with ptrace, which the unit forbids.
printf '[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\nWatchdogSec=4\nRestartSec=1\n%s\n' \
    'LoadCredential=hook.secret:/etc/ducc/hook.secret' > "$units/ducc.service.d/test.conf"
printf '[Unit]\nRequires=ducc.service\nAfter=ducc.service\n' > "$units/test.target"
for unit in systemd-{udevd,udev-trigger,timesyncd,logind,networkd,resolved,sysctl,binfmt,modules-load,sysusers,update-utmp}.service \
    systemd-{tmpfiles-setup,tmpfiles-setup-dev,remount-fs,journal-flush,pcrphase,pcrphase-sysinit}.service modprobe@.service \
    dbus.service getty.target network-online.target proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount \
    sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount; do
    ln -s /dev/null "$units/$unit"
done
exec chroot "$root" env -i container=oci PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=test.target
"""


class Machine:
    """systemd as process 1 of a copy of this machine's files, with the units of deploy/systemd."""

    def __init__(self, top, ducc, configuration, log):
        os.mkdir(top)
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--cgroup", "bash", "-c", BOOT, "bash", top,
                 ducc, UNITS, configuration], stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def leader(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as children:
            return children.read().split()[0]

    def call(self, script):
        try:
            done = subprocess.run(["nsenter", "--target", self.leader(), "--mount", "--pid", "--cgroup", "--root", "--wd", "sh", "-c", script],
                                  capture_output=True, text=True, timeout=30, check=False)
        except (IndexError, FileNotFoundError):
            return ""       # it has not begun
        return done.stdout.strip()

    def show(self, what):
        return self.call(f"systemctl show --property {what} --value ducc.service")

    def close(self):
        self.process.kill()     # and with it process 1 of the machine
        self.process.wait()


class Hook(http.server.BaseHTTPRequestHandler):
    got = []

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        right = "sha256=" + hmac.new(b"a secret", body, hashlib.sha256).hexdigest()
        self.got.append((self.headers["X-Hub-Signature-256"] == right, json.loads(body)["action"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class BootTest(ServiceTest):
    """The unit under a real systemd: hardened, with its credentials, watched."""

    def configuration(self, name):
        hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        threading.Thread(target=hook.serve_forever, daemon=True).start()
        self.addCleanup(hook.server_close)
        self.addCleanup(hook.shutdown)
        folder = self.path("etc")
        os.mkdir(folder)
        files = {"hook.secret": "a secret\n",
                 "list.yaml": json.dumps({"version": 2, "lists": [{"repository": "/var/lib/images", "images": [f"http://{name}"]}]}),
                 "ducc.yaml": json.dumps({"service": {"interval": "10s"}, "lists": [{"source": "list.yaml"}], "notifications": {"webhooks": [{
                     "url": f"http://127.0.0.1:{hook.server_address[1]}/", "secret_file": "$CREDENTIALS_DIRECTORY/hook.secret"}]}})}
        for file, text in files.items():
            with open(os.path.join(folder, file), "w", encoding="utf-8") as out:
                out.write(text)
        return folder

    def test_the_unit(self):
        source = self.misbehaving()
        name = f"{source.host}/a/b:1"
        add(source, "a/b", "1", Image([layer("one")]))
        machine = Machine(self.path("machine"), self.ducc().binary, self.configuration(name), self.path("boot.log"))
        self.addCleanup(machine.close)
        self.wait_for(lambda: machine.call(f"test -d /var/lib/images/{name} && echo yes") == "yes", message="publishing")
        self.assertEqual((machine.show("ActiveState"), machine.show("Type")), ("active", "notify"))
        self.wait_for(lambda: machine.show("StatusText") == "everything is up to date")
        self.wait_for(lambda: Hook.got)
        self.assertEqual(Hook.got, [(True, "publish_flat_image")])
        pid = machine.show("MainPID")
        self.assertEqual(machine.call(f"readlink /proc/{pid}/ns/mnt"), machine.call("readlink /proc/1/ns/mnt"),
                         "mounts that cvmfs_server makes would not reach the machine")
        self.assertIn("Seccomp:\t2", machine.call(f"cat /proc/{pid}/status"))
        published, = [json.loads(line) for line in machine.call("journalctl -u ducc -o json").splitlines() if ": published" in line]
        self.assertEqual((published["IMAGE"], published["REGISTRY"], published["REPOSITORY"], published["PRIORITY"]),
                         (name, source.host, "/var/lib/images", "6"))
        machine.call("systemctl reload ducc")
        self.assertEqual((machine.show("ActiveState"), machine.show("MainPID")), ("active", pid))
        machine.call(f"kill -STOP {pid}")
        self.wait_for(lambda: machine.show("NRestarts") == "1" and machine.show("ActiveState") == "active", message="the watchdog")
        self.assertNotEqual(machine.show("MainPID"), pid)
        machine.call("systemctl stop ducc")
        self.assertEqual((machine.show("ActiveState"), machine.show("Result")), ("inactive", "success"))
        machine.call("echo nonsense > /etc/ducc/ducc.yaml; systemctl start ducc; sleep 2")
        self.assertEqual((machine.show("ActiveState"), machine.show("ExecMainStatus"), machine.show("NRestarts")), ("failed", "2", "0"))


if __name__ == "__main__":
    unittest.main()
