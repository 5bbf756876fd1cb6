"""Directory trees as values: listing them, comparing them, and saying readably where they differ."""

import collections
import hashlib
import os
import stat

Node = collections.namedtuple("Node", "type mode uid gid mtime size sha256 target rdev")
TYPES = {stat.S_IFDIR: "dir", stat.S_IFREG: "file", stat.S_IFLNK: "symlink", stat.S_IFCHR: "char",
         stat.S_IFBLK: "block", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}
GHOST = Node("ghost", None, None, None, None, None, None, None, None)
NO_MTIME, NO_ATTRIBUTES = ("mtime",), ("mode", "uid", "gid", "mtime")


def sha256_of(path):
    with open(path, "rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def node(path):
    """One entry. A name that a listing shows but nobody can stat is a ghost: overlayfs shows whiteouts so, in
    directories that only one layer has."""
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return GHOST
    kind = TYPES[stat.S_IFMT(info.st_mode)]
    is_file, is_device = kind == "file", kind in ("char", "block")
    return Node(kind, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns // 10 ** 9,
                info.st_size if is_file else 0, sha256_of(path) if is_file else None,
                os.readlink(path) if kind == "symlink" else None,
                (os.major(info.st_rdev), os.minor(info.st_rdev)) if is_device else None)


def tree(top, ignore=(), root=False):
    """All entries below `top`: {relative path as bytes: Node}.

    `ignore` holds relative paths (bytes or text) that are left out with all that is below them. The root directory
    itself (b".") is listed only on request: the references disagree about its attributes.
    """
    top = os.fsencode(top)
    left_out = {os.fsencode(path) for path in ignore}
    found = {b".": node(top)} if root else {}

    def walk(relative):
        for name in os.listdir(os.path.join(top, relative)):
            path = os.path.join(relative, name)
            if path not in left_out:
                found[path] = node(os.path.join(top, path))
                if found[path].type == "dir":
                    walk(path)

    walk(b"")
    return found


def differences(expected, actual, ignore_fields=(), loose=()):
    """Lines that tell where two trees differ. `ignore_fields` are never compared; `loose` paths only by type."""
    loose = {os.fsencode(path) for path in loose}
    for path in sorted(expected.keys() | actual.keys()):
        name = os.fsdecode(path).encode("utf-8", "backslashreplace").decode()
        if path not in actual:
            yield f"missing     {name}  ({expected[path].type})"
        elif path not in expected:
            yield f"unexpected  {name}  ({actual[path].type})"
        else:
            for field in ("type",) if path in loose else Node._fields:
                want, have = getattr(expected[path], field), getattr(actual[path], field)
                if want != have and field not in ignore_fields:
                    shown = [oct(value) if field == "mode" and value is not None else value for value in (want, have)]
                    yield f"{field:<11} {name}  expected {shown[0]!r}, found {shown[1]!r}"


def assert_same_tree(test, expected, actual, message="", limit=25, **options):
    """Fail with the first differences. `expected` and `actual` are trees or paths of directories."""
    expected, actual = (one if isinstance(one, dict) else tree(one) for one in (expected, actual))
    found = list(differences(expected, actual, **options))
    if found:
        more = [f"... and {len(found) - limit} more"] if len(found) > limit else []
        test.fail("\n".join([message or "the trees differ:", *found[:limit], *more]))
