"""The stand-in's repositories: where their state lies, and how a change becomes a revision.

Below the root directory (CVMFS_STANDIN_ROOT), for a repository R:

    spool/R/rdonly/             the last revision as every client sees it: the truth
    spool/R/in_transaction.lock marks an open transaction
    spool/R/scratch/            what a running ingest has read so far
    spool/R/journal             a change that is decided, while it is being applied
    cvmfs/R/                    the publisher's view: the same inodes by hard links, without 0:0 devices
    state/R.json                revision number, tags, damage

A change is decided by the rename of its journal, and applied after that. Whoever comes next after a kill in between
applies it again, so a revision is there wholly or not at all (for whoever asks through a command).

Not modelled: in the real publisher's view a 0:0 device in a directory of an old revision is a name that a listing still
shows and that nobody can stat (overlayfs filters only merged directories); here it is not listed. And a file changed in place in a transaction changes the last revision too, as both are one inode. Files that
are written anew and renamed are safe.
"""

import contextlib
import errno
import fcntl
import json
import os
import pickle
import shutil
import stat
import sys
import time

NOBODY = 65534
HIDDEN = "not seen by check: "    # damage that even the real check misses
CHUNKS = "user.chunks"
REVISION = "user.revision"  # of the client, at the root
CHUNK_LIMIT = 16 << 20      # an ordinary publish splits at the latest here


class Failure(Exception):
    """The command ends with this status and message on standard error."""

    def __init__(self, message, status=1):
        super().__init__(message)
        self.status = status


def lstat(path):
    """The stat of a path, or None where there is nothing."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


@contextlib.contextmanager
def directory_lock(path):
    """One process at a time; a killed one lets go by itself."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_whiteout(info):
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def remove(path):
    """Remove whatever lies at a path; nothing there is fine."""
    info = lstat(path)
    if info is None:
        return
    if stat.S_ISDIR(info.st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def write_whole(path, data):
    """Replace a file in one step."""
    with open(path + ".new", "wb") as out:
        out.write(data)
    os.rename(path + ".new", path)


def chunks(path):
    """Into how many chunks a publish split this file."""
    try:
        return int(os.getxattr(path, CHUNKS, follow_symlinks=False))
    except OSError:
        return 1


class Repository:
    """One repository on disk."""

    def __init__(self, root, name):
        self.name = name
        self.mount = os.path.join(root, "cvmfs", name)
        self.spool = os.path.join(root, "spool", name)
        self.rdonly = os.path.join(self.spool, "rdonly")
        self.scratch = os.path.join(self.spool, "scratch")
        self.lock = os.path.join(self.spool, "in_transaction.lock")
        self.worker = os.path.join(self.spool, "ingest.pid")
        self._journal = os.path.join(self.spool, "journal")
        self._state = os.path.join(root, "state", name + ".json")

    @classmethod
    def load(cls, root, name):
        """The repository of that name; finishes what a killed command had decided."""
        repository = cls(root, name)
        if not name or not os.path.exists(repository._state):
            raise Failure(f"The repository {name} does not exist.")
        repository.recover()
        return repository

    # State ------------------------------------------------------------------------------------------------------

    def create(self, owner, garbage_collectable, auto_tag):
        for directory in (self.mount, self.rdonly, self.scratch, os.path.dirname(self._state)):
            os.makedirs(directory, exist_ok=True)
        for directory in (self.mount, self.rdonly):
            os.chown(directory, *owner)
            os.chmod(directory, 0o755)
        self.save({"revision": 1, "tags": ["trunk"], "damage": [], "owner": list(owner), "auto_tag": auto_tag,
                   "gc": garbage_collectable, "revisions": []})

    def state(self):
        with open(self._state, encoding="utf-8") as source:
            return json.load(source)

    def save(self, state):
        write_whole(self._state, json.dumps(state).encode())
        with contextlib.suppress(OSError):      # a file system without such attributes
            os.setxattr(self.rdonly, REVISION, b"%d" % state["revision"])

    def destroy(self):
        for path in (self.mount, self.spool, self._state):
            remove(path)

    # Transactions -----------------------------------------------------------------------------------------------

    def in_transaction(self):
        return os.path.exists(self.lock)

    def open_transaction(self):
        try:
            os.close(os.open(self.lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            raise Failure("CernVM-FS transaction error: another transaction is already open", errno.EEXIST) from None

    def close_transaction(self):
        remove(self.scratch)
        os.makedirs(self.scratch)
        for path in (self.worker, self.lock):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def worker_alive(self):
        """Whether the process that reads for an ingest still runs (it survives the ingest's own death)."""
        try:
            with open(self.worker, encoding="ascii") as source:
                pid = int(source.read())
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as source:
                return source.read().rpartition(")")[2].split()[0] != "Z"
        except (OSError, ValueError):
            return False

    def healthy(self):
        """An ingest that was killed leaves its traces here."""
        return not os.path.exists(self.worker) or not self.in_transaction()

    def rollback(self):
        """Make the publisher's view show the last revision again."""
        view = View(self)
        view.restore(b"")
        self.close_transaction()

    # Revisions --------------------------------------------------------------------------------------------------

    def commit(self, operations, damage, what):
        """Decide a change, then apply it. `what` describes it in the list of revisions."""
        state = self.state()
        state["revision"] += 1
        state["damage"] += damage
        tag = None
        if state["auto_tag"]:
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            tag, count = f"generic-{stamp}", 1
            while tag in state["tags"]:
                tag, count = f"generic_{count + 1}-{stamp}", count + 1
            state["tags"].append(tag)
        state["revisions"].append({"revision": state["revision"], "tag": tag, "time": time.time(), **what})
        write_whole(self._journal, pickle.dumps((operations, state)))
        self.recover()
        return state["revision"]

    def recover(self):
        """Apply a decided change; safe to repeat. An ingest that still runs holds no journal yet."""
        with directory_lock(self.spool):
            try:
                with open(self._journal, "rb") as source:
                    operations, state = pickle.load(source)
            except FileNotFoundError:
                return
            View(self).apply(operations)
            self.save(state)
            os.unlink(self._journal)
            self.close_transaction()


class View:
    """Writes changes to both trees of a repository."""

    def __init__(self, repository):
        self._scratch = os.fsencode(repository.scratch)
        self._rdonly = os.fsencode(repository.rdonly)
        self._mount = os.fsencode(repository.mount)
        self._attributes = {}   # directories whose attributes come last, because new children change their mtime

    def _both(self, path):
        return os.path.join(self._rdonly, path), os.path.join(self._mount, path)

    def apply(self, operations):
        """Operations are tuples: verb, path, arguments. Each may be repeated."""
        for verb, path, *arguments in operations:
            self._touch_parent(path)
            getattr(self, "_" + verb)(path, *arguments)
        for path, (mode, uid, gid, mtime_ns) in self._attributes.items():
            for real in self._both(path):
                info = lstat(real)
                if info and stat.S_ISDIR(info.st_mode):
                    os.chown(real, uid, gid)
                    os.chmod(real, mode)
                    os.utime(real, ns=(mtime_ns, mtime_ns))

    def _touch_parent(self, path):
        """A directory keeps its attributes when its children change: only its own entry changes them."""
        parent = os.path.dirname(path)
        if parent not in self._attributes:
            info = lstat(self._both(parent)[0])
            if info:
                self._attributes[parent] = (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns)

    def _remove(self, path):
        for real in self._both(path):
            remove(real)
        prefix = path + b"/"
        for known in [one for one in self._attributes if one == path or one.startswith(prefix)]:
            del self._attributes[known]

    def _dir(self, path, mode, uid, gid, mtime):
        for real in self._both(path):
            with contextlib.suppress(FileExistsError):
                os.mkdir(real, 0o700)
        self._attributes[path] = (mode, uid, gid, mtime * 10 ** 9)

    def _put(self, path, staged):
        """Give a staged file, symlink or device its place. It also stays staged, for a repetition."""
        self._place(path, os.path.join(self._scratch, staged))

    def _link(self, path, target):
        """The same content and attributes under one more name."""
        self._place(path, self._both(target)[0])

    def _place(self, path, source):
        rdonly, mount = self._both(path)
        info = lstat(rdonly)
        if info and not os.path.samestat(info, os.lstat(source)):
            self._remove(path)
            info = None
        if not info:
            os.link(source, rdonly, follow_symlinks=False)
        self._show(rdonly, mount)

    def _show(self, rdonly, mount):
        """Bring one entry that is no directory to the publisher's view; 0:0 devices never get there."""
        shown, info = lstat(mount), os.lstat(rdonly)
        if shown and (is_whiteout(info) or not os.path.samestat(shown, info)):
            remove(mount)
            shown = None
        if not shown and not is_whiteout(info):
            os.link(rdonly, mount, follow_symlinks=False)

    def restore(self, path):
        """Make the publisher's view of a directory equal to the last revision again."""
        rdonly, mount = self._both(path)
        wanted = set(os.listdir(rdonly))
        for name in set(os.listdir(mount)) - wanted:
            remove(os.path.join(mount, name))
        for name in wanted:
            source, shown = os.path.join(rdonly, name), os.path.join(mount, name)
            if not stat.S_ISDIR(os.lstat(source).st_mode):
                self._show(source, shown)
                continue
            if os.path.lexists(shown) and not stat.S_ISDIR(os.lstat(shown).st_mode):
                os.unlink(shown)
            os.makedirs(shown, exist_ok=True)
            self.restore(os.path.join(path, name))
        copy_attributes(rdonly, mount)


def copy_attributes(source, target):
    info = os.lstat(source)
    os.chown(target, info.st_uid, info.st_gid)
    os.chmod(target, stat.S_IMODE(info.st_mode))
    os.utime(target, ns=(info.st_mtime_ns // 10 ** 9 * 10 ** 9,) * 2)


def publish_operations(repository):
    """What a transaction changed in the publisher's view, as operations."""
    rdonly, mount = os.fsencode(repository.rdonly), os.fsencode(repository.mount)
    stage, operations = Stage(repository.scratch), []
    opened = os.stat(repository.lock).st_mtime_ns

    def entries(directory):
        info = lstat(directory)
        if not info or not stat.S_ISDIR(info.st_mode):
            return {}
        return {entry.name: entry.stat(follow_symlinks=False) for entry in os.scandir(directory)}

    def compare(path):
        before, after = entries(os.path.join(rdonly, path)), entries(os.path.join(mount, path))
        for name in sorted(set(before) - set(after)):
            if not is_whiteout(before[name]):
                operations.append(("remove", os.path.join(path, name)))
        for name in sorted(after):
            compare_one(os.path.join(path, name), before.get(name), after[name])

    def compare_one(path, before, after):
        # The view shares its files with the tree: one that was written to, or got attributes, is told by its ctime.
        if before and os.path.samestat(before, after) and after.st_ctime_ns < opened:
            return
        was_directory = before and stat.S_ISDIR(before.st_mode)
        if not stat.S_ISDIR(after.st_mode):
            operations.append(("put", path, stage.take(os.path.join(mount, path), after)))
            return
        if before and not was_directory:
            operations.append(("remove", path))
        if not was_directory or attributes(before) != attributes(after):
            operations.append(("dir", path, *attributes(after)))
        compare(path)

    compare(b"")
    return operations


def template_operations(repository, source, target):
    """A copy of a published tree under another name, as operations."""
    top, operations = os.fsencode(repository.rdonly), []

    def copy(old, new):
        info = os.lstat(os.path.join(top, old))
        if not stat.S_ISDIR(info.st_mode):
            operations.append(("link", new, old))
            return
        operations.append(("dir", new, *attributes(info)))
        for name in sorted(os.listdir(os.path.join(top, old))):
            copy(os.path.join(old, name), os.path.join(new, name))

    copy(os.fsencode(source.strip("/")), os.fsencode(target.strip("/")))
    return operations


def attributes(info):
    return stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, int(info.st_mtime)


class Stage:
    """Numbered files in the scratch directory, with their attributes, ready to be moved into the tree."""

    def __init__(self, directory):
        self._directory = os.fsencode(directory)
        self._count = 0
        self._xattrs = True     # some file systems (older tmpfs) hold none: then files show no chunk counts

    def _next(self):
        self._count += 1
        name = b"%d" % self._count
        return name, os.path.join(self._directory, name)

    def take(self, path, info):
        """A file of the publisher's view (by link, so that the view keeps it)."""
        name, staged = self._next()
        os.link(path, staged, follow_symlinks=False)
        if stat.S_ISREG(info.st_mode):
            self._mark_chunks(staged, 1 + info.st_size // CHUNK_LIMIT)
        return name

    def _mark_chunks(self, file, count):
        """Ordinary publishing splits files and ingest never does; readers see it in this attribute."""
        try:
            if self._xattrs:
                os.setxattr(file, CHUNKS, b"%d" % count)
        except OSError:
            self._xattrs = False

    def file(self, read, size, attributes):
        """A regular file; `read` gives its data piece by piece."""
        name, staged = self._next()
        out = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            while size > 0:
                data = read(1 << 20)
                os.write(out, data)
                size -= len(data)
            mode, uid, gid, mtime = attributes
            self._mark_chunks(out, 1)
            os.fchown(out, uid, gid)
            os.fchmod(out, mode)
            os.utime(out, (mtime, mtime))
        finally:
            os.close(out)
        return name

    def special(self, kind, link, rdev, attributes):
        """A symlink, FIFO or device."""
        name, staged = self._next()
        mode, uid, gid, mtime = attributes
        if kind == "symlink":
            os.symlink(link, staged)
        elif kind == "fifo":
            os.mkfifo(staged)
        else:
            os.mknod(staged, stat.S_IFCHR if kind == "char" else stat.S_IFBLK, os.makedev(*rdev))
        os.chown(staged, uid, gid, follow_symlinks=False)
        if kind != "symlink":
            os.chmod(staged, mode)
        os.utime(staged, (mtime, mtime), follow_symlinks=False)
        return name


def holders(top, writing=False, skip=()):
    """Processes that hold something open below `top`, or have their working directory there: [(pid, path)]."""
    found, prefix = [], top + "/"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) in skip:
            continue
        base = f"/proc/{pid}"
        links = [] if writing else [f"{base}/cwd"]
        with contextlib.suppress(OSError):
            links += [f"{base}/fd/{number}" for number in os.listdir(f"{base}/fd")]
        for link in links:
            with contextlib.suppress(OSError):
                path = os.readlink(link)
                if (path == top or path.startswith(prefix)) and (not writing or opened_for_writing(link)):
                    found.append((int(pid), path))
    return found


def opened_for_writing(link):
    with open(link.replace("/fd/", "/fdinfo/"), encoding="ascii") as source:
        for line in source:
            if line.startswith("flags:"):
                return int(line.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
    return False


def say(message):
    print(message, flush=True)


def complain(message):
    print(message, file=sys.stderr, flush=True)
