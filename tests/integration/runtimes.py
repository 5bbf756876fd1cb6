"""Published images as the programs see them that users start them with.

A container is started by Podman from the published store, and a small static program lists the tree from inside. On a
machine with fewer rights than Podman asks for (no CAP_SYS_RESOURCE, old control groups) that takes a mount namespace of
its own and some options; which way works is found out by trying. Where none does, the store's layers are stacked by hand
in the order that its records say, and the same lists are compared: the run says so, loudly, and nothing is skipped.
DUCC_CONTAINERS=no forces this, DUCC_CONTAINERS=must makes it a failure.
"""

import atexit
import contextlib
import functools
import glob
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import uuid

from ocilayout import Image
from references import Podman, overlay, run, unmount_below
from registry import need
from tarbuilder import TarBuilder
from trees import GHOST, TYPES, Node, tree

# Lists the root file system, or shows how it was started. Records are "NAME NUL NUMBERS NUL PAYLOAD"; the payload is
# a file's content or a link's target, as long as the size says.
PROBE = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

extern char **environ;
static char **left_out;
static char bytes[1 << 16];

static int fail(const char *what)
{
    perror(what);
    exit(3);
}

static void content(int dir, const char *name, struct stat *st)
{
    if (S_ISLNK(st->st_mode)) {
        ssize_t n = readlinkat(dir, name, bytes, sizeof bytes);
        if (n < 0)
            fail(name);
        fwrite(bytes, 1, (size_t)n, stdout);
    } else if (S_ISREG(st->st_mode)) {
        int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW);
        ssize_t n = -1;
        off_t sum = 0;
        while (fd >= 0 && (n = read(fd, bytes, sizeof bytes)) > 0)
            sum += (off_t)fwrite(bytes, 1, (size_t)n, stdout);
        if (n < 0 || sum != st->st_size)
            fail(name);
        close(fd);
    }
}

static void walk(int dir, const char *path)
{
    DIR *list = fdopendir(dir);
    if (!list)
        fail(path);
    for (struct dirent *e; (e = readdir(list));) {
        struct stat st;
        int skip = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
        for (char **p = left_out; !*path && *p; p++)
            skip |= !strcmp(*p, e->d_name);
        if (skip)
            continue;
        char *whole;
        if (asprintf(&whole, "%s%s%s", path, *path ? "/" : "", e->d_name) < 0)
            fail("memory");
        fwrite(whole, 1, strlen(whole) + 1, stdout);
        if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            if (errno != ENOENT)
                fail(whole);
            printf("ghost%c", 0);
            free(whole);
            continue;
        }
        printf("%u %u %u %lld %lld %u %u%c", st.st_mode, st.st_uid, st.st_gid, (long long)st.st_mtim.tv_sec,
               (long long)st.st_size, major(st.st_rdev), minor(st.st_rdev), 0);
        content(dir, e->d_name, &st);
        if (S_ISDIR(st.st_mode)) {
            int child = openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
            if (child < 0)
                fail(whole);
            walk(child, whole);
        }
        free(whole);
    }
    closedir(list);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--list")) {
        left_out = argv + 2;
        walk(open("/", O_RDONLY | O_DIRECTORY), "");
    } else {
        for (int i = 0; i < argc; i++)
            printf("%s%c", argv[i], 0);
        printf("%cENV%c", 0, 0);
        for (char **e = environ; *e; e++)
            printf("%s%c", *e, 0);
    }
    printf("%cEND%c", 0, 0);
    return fflush(stdout) || ferror(stdout) ? 3 : 0;
}
"""
END = b"\0END\0"         # Podman can lose what a container printed that ended at once
PLACE = "/.probe"       # where the probe is mounted in a container
# What Podman puts over each container's root, and the marker of the published tree.
COVERED = ("dev", "proc", "sys", PLACE[1:], ".cvmfscatalog")
ADDED = {b"run/.containerenv", b"etc/hosts", b"etc/hostname", b"etc/resolv.conf", b"etc/mtab"}


def scratch(prefix):
    """A directory that goes when the tests end. Its name suits Podman, which reads it as a part of an image's name."""
    directory = os.path.join(tempfile.gettempdir(), prefix + uuid.uuid4().hex)
    os.mkdir(directory, 0o700)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(unmount_below, directory)
    return directory


@functools.cache
def probe():
    """The static program; compiled once a run."""
    directory = scratch("probe-")
    os.chmod(directory, 0o755)
    source, target = os.path.join(directory, "probe.c"), os.path.join(directory, "probe")
    with open(source, "w", encoding="utf-8") as out:
        out.write(PROBE)
    run(need("gcc"), "-std=c17", "-O1", "-static", "-o", target, source)
    return target


def whole(output):
    """What the probe printed, if it is all there."""
    if not output.endswith(END):
        raise AssertionError(f"the probe's output is cut short or missing: {output[-200:]!r}")
    return output[:-len(END)]


def parse_listing(output):
    """The probe's list as {path: Node}."""
    found, position, output = {}, 0, whole(output)

    def until_nul():
        nonlocal position
        end = output.index(b"\0", position)
        part, position = output[position:end], end + 1
        return part

    while position < len(output):
        path, numbers = until_nul(), until_nul()
        if numbers == b"ghost":
            found[path] = GHOST
            continue
        mode, uid, gid, mtime, size, major, minor = (int(number) for number in numbers.split())
        kind, payload = TYPES[stat.S_IFMT(mode)], None
        if kind in ("file", "symlink"):
            payload, position = output[position:position + size], position + size
        found[path] = Node(kind, stat.S_IMODE(mode), uid, gid, mtime, size if kind == "file" else 0,
                           hashlib.sha256(payload).hexdigest() if kind == "file" else None,
                           payload if kind == "symlink" else None,
                           (major, minor) if kind in ("char", "block") else None)
    return found


def image_only(entries):
    """A tree without what Podman adds to a container; for the original and for what the container shows."""
    kept = {path: node for path, node in entries.items()
            if path not in ADDED and os.fsdecode(path.split(b"/")[0]) not in COVERED}
    for parent in (b"etc", b"run"):     # a file was added, so the directory is newer, or there only for that
        if parent in kept:
            kept[parent] = kept[parent]._replace(mtime=None)
            if not any(path.startswith(parent + b"/") for path in kept):
                del kept[parent]
    return kept


def parse_start(output):
    """What the probe says of its start: (arguments, {name: value} of the environment)."""
    words, _, environment = whole(output).partition(b"\0ENV\0")
    pairs = (pair.partition(b"=") for pair in environment.split(b"\0")[:-1])
    return words.split(b"\0")[:-1], {name: value for name, _, value in pairs}


# Ways to start a container -------------------------------------------------------------------------------------------

# A kernel with control groups of the first kind, where crun wants the second: nobody outside the namespace sees it.
NAMESPACE = ("unshare", "--mount", "--propagation", "private", "sh", "-c",
             'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"', "sh")
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")
FEWER = ("--cgroups=disabled", *LIMITS, "--security-opt", "seccomp=unconfined")
# The same for a system manager, which takes all control groups that it sees for its own: a group is all it sees.
OWN_GROUP = ("unshare", "--mount", "--propagation", "private", "sh", "-c",
             'group=/sys/fs/cgroup/ducc-test-$$; mount -t cgroup2 none /sys/fs/cgroup && mkdir "$group" && '
             'echo $$ > "$group/cgroup.procs" && exec unshare --cgroup sh -c \'umount /sys/fs/cgroup; '
             'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"\' sh "$@"', "sh")
WAYS = {"as it is": ((), ()), "fewer demands": ((), FEWER), "own namespace, fewer demands": (NAMESPACE, FEWER)}


@functools.cache
def way_to_start():
    """(prefix of the command, options of `podman run`) that can start a container here, or None."""
    wanted = os.environ.get("DUCC_CONTAINERS", "")
    if wanted == "no":
        print("runtimes: DUCC_CONTAINERS=no: layers are stacked by hand instead", file=sys.stderr)
        return None
    reasons = []
    layout = Image([TarBuilder().dir("d").bytes()]).write_layout(os.path.join(scratch("trial-"), "layout"), "t")
    with Podman() as podman:
        image = podman.pull(f"oci:{layout}:t")
        for name, (prefix, options) in WAYS.items():
            done = subprocess.run([*prefix, *podman.command("run", *run_options(options), image, PLACE, "--list", *COVERED)],
                                  capture_output=True, check=False, env=environment(prefix))
            if done.returncode == 0 and done.stdout.endswith(END) and list(image_only(parse_listing(done.stdout))) == [b"d"]:
                print(f"runtimes: containers start: {name}", file=sys.stderr)
                return prefix, options
            reasons.append(f"  {name}: {os.fsdecode(done.stderr).strip()}")
    text = "\n".join(["runtimes: no container can be started here, layers are stacked by hand instead:", *reasons])
    if wanted == "must":
        raise AssertionError(text)
    print(text, file=sys.stderr)
    return None


class Booted:
    """A container that runs its image's system manager, while the with block runs."""

    def __init__(self, podman, image):
        prefix, options = way_to_start()
        self._podman, self._name = podman, "booted-" + uuid.uuid4().hex
        self._process = subprocess.Popen(
            [*(OWN_GROUP if prefix else ()), *podman.command("run", "--rm", "--name", self._name, "--network", "none", *options,
                                                             "--systemd=always", "--no-healthcheck", image)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(prefix))

    def __enter__(self):
        end = time.monotonic() + 30
        while not self._pid():
            if self._process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"the container does not start: {os.fsdecode(self._process.communicate()[1])}")
            time.sleep(0.1)
        return self

    def _pid(self):
        found = self._podman.call("container", "inspect", "--format", "{{.State.Pid}}", self._name, check=False).strip()
        return int(found or 0)

    def call(self, *command, check=True):
        """What a command prints that joins the container's namespaces."""
        done = subprocess.run(["nsenter", "--target", str(self._pid()), "--mount", "--pid", "--uts", "--ipc", "--root",
                               "--wd", *command], capture_output=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{command} in the container: {os.fsdecode(done.stderr)}")
        return os.fsdecode(done.stdout)

    def __exit__(self, *_):
        self._podman.call("kill", "--signal", "KILL", self._name, check=False)
        self._process.communicate(timeout=30)
        remove_groups("ducc-test-" + str(self._process.pid))


def remove_groups(name):
    """Control groups (a pattern) that nothing is in any more, in each hierarchy."""
    for place in glob.glob("/sys/fs/cgroup/*/" + name) + glob.glob("/sys/fs/cgroup/" + name):
        for top, _, _ in os.walk(place, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(top)


def run_options(options):
    return ["--rm", "--network", "none", *options, "-v", f"{probe()}:{PLACE}:ro"]


@functools.cache
def lower_limits():
    """containers.conf for machines where Podman may not raise limits."""
    path = os.path.join(scratch("containers-"), "containers.conf")
    with open(path, "w", encoding="utf-8") as out:
        out.write('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]\n')
    return path


def environment(prefix=()):
    return dict(os.environ, CONTAINERS_CONF=lower_limits()) if prefix else dict(os.environ)


# Images in containers ------------------------------------------------------------------------------------------------

class ContainerPodman(Podman):
    """Podman that starts containers in whichever way works here."""

    def call(self, *arguments, check=True):
        """Any Podman command, in the surroundings in which containers start; gives its output as bytes."""
        prefix = (way_to_start() or ((), ()))[0]
        done = subprocess.run([*prefix, *self.command(*arguments)], capture_output=True, check=False,
                              env=environment(prefix))
        if check and done.returncode:
            raise AssertionError(f"podman {' '.join(map(os.fsdecode, arguments))}\n{os.fsdecode(done.stderr)}")
        return done.stdout

    def container(self, image, *command, options=(), attempts=3):
        """What the probe says in a container of the image."""
        for _ in range(attempts):
            output = self.call("run", *run_options(way_to_start()[1]), *options, image, *command)
            if output.endswith(END):
                break
            print(f"runtimes: Podman lost what a container printed: {output[-100:]!r}", file=sys.stderr)
        return output

    def listing(self, image):
        """The root file system that a user of the image sees: see image_only()."""
        if not way_to_start():
            return self.stacked(image)
        return image_only(parse_listing(self.container(image, "--list", *COVERED, options=["--entrypoint", PLACE])))

    def stacked(self, image):
        """The same without a container: mounted by Podman."""
        merged = self.run("image", "mount", image).strip()
        try:
            return image_only(tree(merged, ignore=COVERED))
        finally:
            self.run("image", "umount", image)

    def start(self, image, *arguments):
        """(arguments, environment) that the probe gets as the image's entry point or command."""
        if way_to_start():
            return parse_start(self.container(image, *arguments))
        name = self.call("create", image, *arguments).decode().strip()
        try:
            found = json.loads(self.call("inspect", name))[0]
        finally:
            self.call("rm", name)
        pairs = (os.fsencode(pair).partition(b"=") for pair in found["Config"]["Env"])
        return ([os.fsencode(word) for word in [found["Path"], *found["Args"]]],
                {key: value for key, _, value in pairs})


class PublishedStore(ContainerPodman):
    """Podman with the store of a published tree as additional image store; its own storage is empty.

    The tree is seen through a read-only mount, as on a client of CernVM-FS.
    """

    def __init__(self, repository, fuse=False):
        super().__init__("overlay", fuse)
        view = os.path.join(self.directory, "view")
        os.mkdir(view)
        run("mount", "--bind", repository, view)
        run("mount", "-o", "remount,bind,ro", view)
        self.store = os.path.join(view, "podmanStore")

    def command(self, *arguments):
        plain = super().command()
        return [*plain, "--storage-opt", f"additionalimagestore={self.store}", *arguments]

    def stacked(self, image):
        """The layers stacked by hand."""
        with overlay(self.stack(image), fuse=self._fuse) as merged:
            return image_only(tree(merged, ignore=COVERED))

    def stack(self, image):
        """Directories of an image's layers, lowest first, as the store's own files lead to them."""
        return store_stack(self.store, json.loads(self.call("image", "inspect", image))[0]["Id"])


def store_records(store):
    """({image id: record}, {layer id: record}) of a store; each must be there once."""
    found = []
    for name in ("images", "layers"):
        with open(os.path.join(store, f"overlay-{name}", f"{name}.json"), encoding="utf-8") as source:
            records = json.load(source)
        found.append({one["id"]: one for one in records})
        if len(found[-1]) != len(records):
            raise AssertionError(f"{name}.json holds a record twice")
    return found


def store_stack(store, image):
    """An image's layers, lowest first, by `layer`, `lower` and the short names, as containers/storage goes."""
    layer = store_records(store)[0][image].get("layer")
    if not layer:
        return []
    top = os.path.join(store, "overlay", layer)
    lower = os.path.join(top, "lower")
    links = []
    if os.path.exists(lower):
        with open(lower, encoding="ascii") as source:
            links = source.read().split(":")
    return [os.path.join(store, "overlay", link) for link in reversed(links)] + [os.path.join(top, "diff")]
