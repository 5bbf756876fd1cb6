"""What one `cvmfs_server ingest` does to a repository: reading the tar, and deciding whether it may be published.

Everything is read and judged first, into the scratch directory and a list of operations. Nothing of the repository
changes before the whole stream has come. What the real program does wrongly without saying so is collected as damage,
which `cvmfs_server check` reports later.
"""

import collections
import os
import signal
import stat
import time

from cvmfs_server_repo import HIDDEN, NOBODY, Failure, Stage, chunks, complain, lstat
from cvmfs_server_tar import DamagedHeader, TarError, TarStream

KINDS = {stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFREG: "file", stat.S_IFIFO: "fifo",
         stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFSOCK: "socket"}
STRANGE = {b"", b".", b".."}
CATALOG = b".cvmfscatalog"


def sanitize(path):
    """One leading './' or '/' is dropped, as the real program does, and trailing slashes."""
    if path.startswith(b"./"):
        path = path[2:]
    elif path.startswith(b"/"):
        path = path[1:]
    return path.rstrip(b"/")


class Injected(Exception):
    """A failure that the test asked for."""


class Ingest:
    """Builds the operations of one ingest. `owner` is None to keep what the tar says.

    Two views of "is it there" matter, because the real program mixes them up: what the last revision holds decides
    whether an entry counts as new, whatever this ingest has added or deleted meanwhile.
    """

    def __init__(self, repository, base, owner, injection):
        self._rdonly = os.fsencode(repository.rdonly)
        self._base = base.strip(b"/")
        self._owner = owner
        self._injection = injection
        self._stage = Stage(repository.scratch)
        self._pending = {}                              # path -> kind, of what this ingest brings
        self._removed = set()
        self._known = {}                                # path -> attributes of the last entry for a directory
        self._dangling = set()                          # directories that are none: what is below them is unreachable
        self._marked = set()                            # directories that get a nested catalog
        self._links = collections.defaultdict(list)     # target -> names
        self.operations, self.damage = [], []
        self.entries, self.bytes = collections.Counter(), 0

    # Looking up -------------------------------------------------------------------------------------------------

    def _published(self, path):
        """What the last revision has at a path: a kind, or None."""
        info = lstat(os.path.join(self._rdonly, path))
        return KINDS[stat.S_IFMT(info.st_mode)] if info else None

    def _is_removed(self, path):
        while path:
            if path in self._removed:
                return True
            path = os.path.dirname(path)
        return False

    def _kind(self, path):
        """What will be at a path: a kind, or None. Catalogs know whole paths, so no symlink is followed."""
        if path in self._pending:
            return self._pending[path]
        if self._is_removed(path):
            return None
        parent = os.path.dirname(path)
        if parent and self._kind(parent) != "dir":
            return None
        return self._published(path)

    # Deleting ---------------------------------------------------------------------------------------------------

    def delete(self, wishes):
        """All of -d, joined with colons and split at them again: a name that holds one is never found."""
        for path in b":".join(wishes).split(b":"):
            absolute, path = path.startswith(b"/"), path.strip(b"/")
            if not path or not self._published(path):
                complain(f"[WARNING] '{os.fsdecode(path)}' cannot be deleted. Unrecognized file type.")
            elif absolute or self._kind(path) is None or self._removed_below(path):
                raise Failure(f"catalog for file '{os.fsdecode(path)}' cannot be found")
            else:
                self._removed.add(path)
                self.operations.append(("remove", path))

    def _removed_below(self, path):
        return any(one.startswith(path + b"/") for one in self._removed)

    # Reading the tar --------------------------------------------------------------------------------------------

    def read(self, stream):
        tar = TarStream(stream)
        try:
            for entry in tar:
                self.entries[entry.kind] += 1
                self._injection.entry(entry, self)
                self._add(entry, tar)
        except DamagedHeader:
            if not self.entries:
                raise Failure("Fatal error in reading the archive.\nUnrecognized archive format") from None
            while True:     # as the real one does, for ever
                signal.pause()
        except TarError as problem:
            raise Failure(f"Fatal error in reading the archive.\n{problem}") from None

    def _add(self, entry, tar):
        path = sanitize(entry.name)
        path = self._base + b"/" + path if self._base and path else self._base or path
        if not path:
            return
        if not STRANGE.isdisjoint(path.split(b"/")):
            return self._strange(path)
        if path == b".cvmfs" or path.startswith(b".cvmfs/"):
            raise Failure(f"[ERROR] invalid attempt to modify {os.fsdecode(path)}")
        if max(map(len, path.split(b"/"))) > 255:
            self.damage.append(f"{HIDDEN}{os.fsdecode(path)}: a name that no client can show")
        elif not self._parents(path):
            self.damage.append(f"{os.fsdecode(path)}: dangling entry, its directory does not exist")
        elif entry.kind == "link":
            self._links[self._link_target(entry)].append(path)
            if os.path.basename(path) == CATALOG:
                self._marked.add(os.path.dirname(path))
        elif entry.kind == "dir":
            self._directory(path, self._attributes(entry))
        else:
            self._add_file(path, entry, tar)

    def _strange(self, path):
        """An empty component, '.' or '..' is taken literally where its directory is new; else its parent directory
        seems to exist, but no catalog knows it."""
        parts = path.split(b"/")
        first = next(number for number, part in enumerate(parts) if part in STRANGE)
        if self._published(b"/".join(parts[:first]) or b".") == "dir":
            raise Failure(f"catalog for file '{os.fsdecode(path)}' cannot be found")
        prefix = "" if b"" in parts else HIDDEN
        self.damage.append(f"{prefix}{os.fsdecode(path)}: taken literally, its directory is unreadable from now on")

    def _link_target(self, entry):
        target = sanitize(entry.link)
        return self._base + b"/" + target if self._base else target

    def _attributes(self, entry):
        uid, gid = self._owner or (entry.uid, entry.gid)
        return entry.mode, uid, gid, entry.mtime

    def _parents(self, path):
        """Make the directories above a path; False when the path would dangle."""
        parent = os.path.dirname(path)
        if not parent:
            return True
        if parent not in self._known:
            self._parents(parent)
            self._directory(parent, (0o755, *(self._owner or (NOBODY, NOBODY)), int(time.time())))
        if self._is_removed(parent):
            raise Failure(f"catalog for file '{os.fsdecode(path)}' cannot be found")
        return parent not in self._dangling

    def _directory(self, path, attributes):
        """A directory that is there already keeps its attributes, and of two entries the first one counts."""
        known = path in self._known
        self._known[path] = attributes
        if known:
            return
        kind = self._published(path)
        if kind is None and path in self._pending:
            raise Failure(f"failed to insert '{os.fsdecode(path)}': the path was added before")
        if os.path.dirname(path) in self._dangling or kind not in (None, "dir"):
            self._dangling.add(path)
            self.damage.append(f"{HIDDEN}{os.fsdecode(path)}: a directory entry over a {kind} was dropped")
        elif kind is None:
            self._pending[path] = "dir"
            self.operations.append(("dir", path, *attributes))
        elif self._is_removed(path):
            self.damage.append(f"{HIDDEN}{os.fsdecode(path)}: deleted by the same ingest, and not made again")

    def _add_file(self, path, entry, tar):
        name = os.path.basename(path)
        if path in self._pending or self._is_removed(path):
            raise Failure(f"failed to insert '{os.fsdecode(path)}': the path was added or removed before")
        if name == CATALOG:
            if entry.kind != "file":
                raise Failure(f"Found entity called as a catalog marker '{os.fsdecode(path)}' that however is not a "
                              "regular file, abort")
            self._marked.add(os.path.dirname(path))
        attributes = self._attributes(entry)
        if entry.kind == "file":
            self.bytes += entry.size
            staged = self._stage.file(tar.read, entry.size, attributes)
        else:
            staged = self._stage.special(entry.kind, entry.link, entry.rdev, attributes)
        self._pending[path] = entry.kind
        self.operations.append(("put", path, staged))

    # The end ----------------------------------------------------------------------------------------------------

    def finish(self):
        """Links come last, in the order of their targets' names: a link may be another's target if sorted before."""
        for target in sorted(self._links):
            kind = self._kind(target)
            if kind is None:
                raise Failure(f"catalog for file '{os.fsdecode(target)}' cannot be found, aborting")
            if kind == "dir":
                raise Failure(f"Trying to clone a directory: '{os.fsdecode(target)}', aborting")
            split = target not in self._pending and chunks(os.path.join(self._rdonly, target)) > 1
            for path in self._links[target]:
                self._add_link(path, target, kind, split)
        self._mark_catalogs()

    def _add_link(self, path, target, kind, split):
        if b"/" not in path:
            raise Failure(f"catalog for file '/./{os.fsdecode(path)}' cannot be found")
        if self._kind(path) == "dir":
            self.damage.append(f"{os.fsdecode(path)}: a link over a directory")
            self.operations.append(("remove", path))
        if split:
            self.damage.append(f"{os.fsdecode(path)}: link to {os.fsdecode(target)}, which is split into chunks")
        self.operations.append(("link", path, target))
        self._pending[path] = kind

    def _mark_catalogs(self):
        """Making a nested catalog gives its directory the attributes of its last entry; of a made-up one if there
        was none in this tar, even if the directory was there before."""
        for path in self._marked:
            if path in self._known and path not in self._dangling:
                self.operations.append(("dir", path, *self._known[path]))

    def catalog_at_base(self, uid, gid):
        """-c: the base directory, made if need be, gets an empty catalog marker."""
        path = self._base + b"/" + CATALOG
        if self._base and self._parents(path) and path not in self._pending:
            staged = self._stage.file(lambda _: b"", 0, (0o664, uid, gid, int(time.time())))
            self.operations.append(("put", path, staged))
            self._pending[path] = "file"
            self._marked.add(self._base)

    def totals(self):
        return {"entries": dict(self.entries), "bytes": self.bytes}
