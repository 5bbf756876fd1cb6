"""What one `cvmfs_server ingest` does to a repository: reading the tar, and deciding whether it may be published.

Everything is read and judged first, into the scratch directory and a list of operations. Nothing of the repository
changes before the whole stream has come. What the real program does wrongly without saying so is collected as damage,
which `cvmfs_server check` reports later.
"""

import collections
import os
import stat

from cvmfs_server_repo import NOBODY, Failure, Stage, chunks, lstat
from cvmfs_server_tar import TarError, TarStream

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
    """Builds the operations of one ingest. `owner` is None to keep what the tar says."""

    def __init__(self, repository, base, owner, injection):
        self._rdonly = os.fsencode(repository.rdonly)
        self._base = base.strip(b"/")
        self._owner = owner
        self._injection = injection
        self._stage = Stage(repository.scratch)
        self._pending = {}                              # path -> kind, of what this ingest brings
        self._removed = set()
        self._dropped = set()                           # directories that were not made: their children dangle
        self._directories = set()                       # directories known to exist
        self._links = collections.defaultdict(list)     # target -> names
        self.operations, self.damage = [], []
        self.entries, self.bytes = collections.Counter(), 0
        if self._base and self._published(self._base) not in (None, "dir"):
            self._dropped.add(self._base)

    # Looking up -------------------------------------------------------------------------------------------------

    def _kind(self, path):
        """What lies at a path after what was read so far: a kind, or None."""
        if path in self._pending:
            return self._pending[path]
        if not path:
            return "dir"
        ancestor = path
        while ancestor:
            if ancestor in self._removed:
                return None
            ancestor = os.path.dirname(ancestor)
            if self._pending.get(ancestor, "dir") != "dir":
                return None
        return self._published(path)

    def _published(self, path):
        """What the last revision has. A symlink on the way is not followed: catalogs know whole paths."""
        info = lstat(os.path.join(self._rdonly, path))
        if info is None:
            return None
        parent = os.path.dirname(path)
        if parent and parent not in self._directories and self._published(parent) != "dir":
            return None
        return KINDS[stat.S_IFMT(info.st_mode)]

    # Deleting ---------------------------------------------------------------------------------------------------

    def delete(self, wishes):
        """All of -d, joined with colons and split at them again: a name that holds one is never found."""
        for path in b":".join(wishes).split(b":"):
            path = path.strip(b"/")
            if path and self._published(path):
                self._removed.add(path)
                self.operations.append(("remove", path))
            else:
                print(f"Warning: '{os.fsdecode(path)}' cannot be deleted. Unrecognized file type.", flush=True)

    # Reading the tar --------------------------------------------------------------------------------------------

    def read(self, stream):
        tar = TarStream(stream)
        try:
            for entry in tar:
                self.entries[entry.kind] += 1
                self._injection.entry(entry, self)
                self._add(entry, tar)
        except TarError as problem:
            raise Failure(f"Fatal error in reading the archive.\n{problem}") from None

    def _add(self, entry, tar):
        path = sanitize(entry.name)
        path = self._base + b"/" + path if self._base and path else self._base or path
        if not path:
            return
        if not STRANGE.isdisjoint(path.split(b"/")):
            self.damage.append(f"{os.fsdecode(path)}: a component is taken literally")
            return
        if path == b".cvmfs" or path.startswith(b".cvmfs/"):
            raise Failure(f"[ERROR] invalid attempt to modify {os.fsdecode(path)}")
        if not self._parents(path):
            self.damage.append(f"{os.fsdecode(path)}: dangling entry, its directory does not exist")
            return
        if entry.kind == "link":
            self._links[self._link_target(entry)].append(path)
        elif entry.kind == "dir":
            self._add_directory(path, self._attributes(entry))
        else:
            self._add_file(path, entry, tar)

    def _link_target(self, entry):
        target = sanitize(entry.link)
        return self._base + b"/" + target if self._base else target

    def _attributes(self, entry):
        uid, gid = self._owner or (entry.uid, entry.gid)
        return entry.mode, uid, gid, entry.mtime

    def _parents(self, path):
        """Make the directories above a path; False when the path would dangle."""
        parent = os.path.dirname(path)
        if not parent or parent in self._directories:
            return True
        if parent in self._dropped or not self._parents(parent):
            return False
        kind = self._kind(parent)
        if kind is None:
            self._new_directory(parent, (0o755, *(self._owner or (NOBODY, NOBODY)), 0))
        elif kind != "dir":
            raise Failure(f"catalog for file '{os.fsdecode(path)}' cannot be found: "
                          f"'{os.fsdecode(parent)}' is a {kind}")
        self._directories.add(parent)
        return True

    def _new_directory(self, path, attributes):
        self.operations.append(("dir", path, *attributes))
        self._pending[path] = "dir"
        self._directories.add(path)

    def _add_directory(self, path, attributes):
        if self._kind(path) in (None, "dir"):
            self._new_directory(path, attributes)
        else:
            self._dropped.add(path)
            self.damage.append(f"{os.fsdecode(path)}: a directory entry over something else was dropped")

    def _add_file(self, path, entry, tar):
        name = os.path.basename(path)
        if path in self._pending:
            raise Failure(f"failed to insert '{os.fsdecode(path)}': the path was added before")
        if name == CATALOG and entry.kind != "file":
            raise Failure(f"Found entity called as a catalog marker '{os.fsdecode(path)}' that however is not a "
                          "regular file, abort")
        attributes = self._attributes(entry)
        if entry.kind == "file":
            self.bytes += entry.size
            staged = self._stage.file(tar.read, entry.size, attributes)
        else:
            staged = self._stage.special(entry.kind, entry.link, entry.rdev, attributes)
        self.operations.append(("put", path, staged))
        self._pending[path] = entry.kind

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

    def _add_link(self, path, target, kind, split):
        if b"/" not in path:
            raise Failure(f"catalog for file '{os.fsdecode(path)}' cannot be found")
        if self._kind(path) == "dir":
            raise Failure(f"failed to insert '{os.fsdecode(path)}': it is a directory")
        if split:
            self.damage.append(f"{os.fsdecode(path)}: link to {os.fsdecode(target)}, which is split into chunks")
        self.operations.append(("link", path, target))
        self._pending[path] = kind

    def catalog_at_base(self, uid, gid, now):
        """-c: the base directory, made if need be, gets an empty catalog marker."""
        if not self._base:
            return
        path = self._base + b"/" + CATALOG
        if self._parents(path) and path not in self._pending:
            staged = self._stage.file(lambda _: b"", 0, (0o664, uid, gid, now))
            self.operations.append(("put", path, staged))
            self._pending[path] = "file"

    def totals(self):
        return {"entries": dict(self.entries), "bytes": self.bytes}
