#!/usr/bin/python3
"""Compare the stand-in for cvmfs_server with a real one, case by case. Needs root and an installed CernVM-FS.

    compare_standin.py [TEXT]      only cases whose title holds TEXT

Each case is a list of steps below a directory of its own; after each step exit status, new revisions and an open
transaction are compared, and in the end the published trees and what `check` says. This is a tool for whoever changes
the stand-in, no test: it makes and removes the repository compare-standin.example.org.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from cvmfs import STANDIN, StandInRepository            # noqa: E402
from tarbuilder import TarBuilder, header               # noqa: E402
from trees import differences, tree                     # noqa: E402

NAME = "compare-standin.example.org"
T = TarBuilder


def run_group(command, stdin, cwd, environment=None):
    """Run in a process group, so that nothing is left of what hangs."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
                          env=environment, start_new_session=True) as process:
        try:
            output = process.communicate(stdin, timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return subprocess.CompletedProcess(command, process.returncode, *output)


class Real:
    """The installed cvmfs_server."""

    client = f"/var/spool/cvmfs/{NAME}/rdonly"
    path = f"/cvmfs/{NAME}"

    def create(self):
        subprocess.run(["cvmfs_server", "mkfs", "-o", "root", NAME], check=True, capture_output=True)

    def destroy(self):
        self.call("abort", "-f", NAME)
        subprocess.run(["cvmfs_server", "rmfs", "-f", NAME], capture_output=True, check=False)

    def call(self, *arguments, stdin=b"", cwd=None):
        return run_group(["cvmfs_server", *arguments], stdin, cwd)

    def revision(self):
        return int(subprocess.run(["attr", "-qg", "revision", self.client], capture_output=True, check=True).stdout)

    def in_transaction(self):
        return os.path.exists(f"/var/spool/cvmfs/{NAME}/in_transaction.lock")

    def sound(self):
        return self.call("check", "-i", NAME).returncode == 0


class Standin(StandInRepository):
    def call(self, *arguments, stdin=b"", cwd=None):
        return run_group([os.path.join(STANDIN, "cvmfs_server"), *arguments], stdin, cwd, self.environment())

    def destroy(self):
        shutil.rmtree(self.root)

    def sound(self):
        return self.call("check", "-i", NAME).returncode == 0


def ingest(builder, *options, base="/"):
    """A step: the function that runs it, given a repository."""
    data = builder if isinstance(builder, bytes) else builder.bytes()
    return lambda repository: repository.call("ingest", "-k", *options, "-b", base, "-t", "-", NAME, stdin=data)


def call(*arguments, **how):
    return lambda repository: repository.call(*arguments, **how)


def inside(*command):
    """A step that changes files in an open transaction, by a command below the mount."""
    def step(repository):
        path = os.path.join(repository.path, command[-1])
        return subprocess.run([*command[:-1], path], capture_output=True, check=False)
    return step


def holding(path, step, mode="rb"):
    """A step while a file below the mount is open."""
    def held(repository):
        with open(os.path.join(repository.path, path), mode):
            return step(repository)
    return held


def from_inside(*arguments):
    return lambda repository: repository.call(*arguments, cwd=repository.path)


def cases(p):
    """{title: steps}; `p` is the directory of the case."""
    def base():
        return T().dir(p).file(p + "/f", b"old", 0o640, uid=3, gid=4, mtime=1000).dir(p + "/d", 0o700, uid=5, mtime=2000) \
            .file(p + "/d/c", b"child").symlink(p + "/s", "f").symlink(p + "/sd", "d").fifo(p + "/p") \
            .char(p + "/w", 0, 0).char(p + "/null", 1, 3)

    def new():
        return T().dir(p)

    result = {
        "plain": [],
        "names": [ingest(new().file(p + b"/\xff".decode("latin-1"), b"1").file((p + "/").encode() + b"\xe9\xff", b"2")
                         .file(p + "/" + "n" * 250, b"").file(p + "/a b:c'\"$", b""))],
        "pax names": [ingest(T(long_names="pax").dir(p).file(p + "/" + "n" * 200, b"", pax={"path": p + "/pax-name"})
                             .file(p + "/" + "m" * 200, b""))],
        "numbers": [ingest(new().file(p + "/u", b"", uid=3_000_000, gid=2 ** 31 + 5).file(p + "/t", b"", mtime=1.75)
                           .file(p + "/z", b"", mtime=0).file(p + "/future", b"", mtime=2 ** 33))],
        "mode bits": [ingest(new().file(p + "/su", b"", 0o6755).file(p + "/none", b"", 0).dir(p + "/st", 0o3777))],
        "dot slash": [ingest(T().dir("./").dir("./" + p).file("./" + p + "/f", b"").hardlink(p + "/l", "./" + p + "/f"))],
        "leading slash": [ingest(T().dir("/" + p).file("/" + p + "/f", b"").hardlink("/" + p + "/l", "/" + p + "/f"))],
        "implicit parents": [ingest(new().file(p + "/a/b/f", b""))],
        "implicit parent then its entry": [ingest(new().file(p + "/a/f", b"").dir(p + "/a", 0o700, uid=9))],
        "two directory entries": [ingest(new().dir(p + "/a", 0o700, uid=9).dir(p + "/a", 0o711, uid=8, mtime=7))],
        "dir over dir": [ingest(T().dir(p + "/d", 0o711, uid=8, mtime=7))],
        "dir over dir with children": [ingest(T().dir(p + "/d", 0o711, uid=8, mtime=7).file(p + "/d/n", b""))],
        "dir over dir with catalog": [ingest(T().dir(p + "/d", 0o711, uid=8, mtime=7).file(p + "/d/.cvmfscatalog", b""))],
        "catalog in unnamed dir": [ingest(T().file(p + "/d/.cvmfscatalog", b"", mtime=5))],
        "catalog in new dir": [ingest(T().dir(p + "/e", 0o711, uid=8, mtime=7).file(p + "/e/.cvmfscatalog", b"", mtime=5)
                                      .file(p + "/e/f", b""))],
        "entry in dir with catalog": [ingest(T().dir(p + "/e").file(p + "/e/.cvmfscatalog", b"")),
                                      ingest(T().file(p + "/e/f", b"")),
                                      ingest(T().dir(p + "/e", 0o700, uid=7).file(p + "/e/g", b""))],
        "catalog twice": [ingest(T().dir(p + "/e").file(p + "/e/.cvmfscatalog", b"")),
                          ingest(T().dir(p + "/e").file(p + "/e/.cvmfscatalog", b""))],
        "catalog no file": [ingest(T().dir(p + "/e").symlink(p + "/e/.cvmfscatalog", "x"))],
        "catalog as link": [ingest(T().dir(p + "/e").file(p + "/e/.cvmfscatalog", b"").dir(p + "/g")
                                   .hardlink(p + "/g/.cvmfscatalog", p + "/e/.cvmfscatalog"))],
        "parent's mtime": [ingest(T().file(p + "/d/n", b""))],
        "file over file": [ingest(T().file(p + "/f", b"new"))],
        "file over symlink": [ingest(T().file(p + "/s", b"new"))],
        "file over symlink to dir": [ingest(T().file(p + "/sd", b"new"))],
        "file over dir": [ingest(T().file(p + "/d", b"new"))],
        "file over fifo and device": [ingest(T().file(p + "/p", b"new").file(p + "/null", b""))],
        "file over whiteout": [ingest(T().file(p + "/w", b"new"))],
        "symlink over file": [ingest(T().symlink(p + "/f", "x"))],
        "symlink over symlink": [ingest(T().symlink(p + "/s", "x", mtime=7))],
        "symlink over dir": [ingest(T().symlink(p + "/d", "x"))],
        "device over file and back": [ingest(T().char(p + "/f", 0, 0)), ingest(T().file(p + "/f", b"again"))],
        "dir over file": [ingest(T().dir(p + "/f"))],
        "dir over file with child": [ingest(T().dir(p + "/f").file(p + "/f/c", b""))],
        "dir over symlink with child": [ingest(T().dir(p + "/sd").file(p + "/sd/x", b""))],
        "dir over fifo": [ingest(T().dir(p + "/p"))],
        "dir over whiteout": [ingest(T().dir(p + "/w").file(p + "/w/x", b""))],
        "below a file": [ingest(T().file(p + "/f/c", b""))],
        "below an old symlink": [ingest(T().file(p + "/sd/x", b""))],
        "below an own symlink": [ingest(new().symlink(p + "/n", "d").file(p + "/n/x", b""))],
        "below an own file": [ingest(new().file(p + "/n", b"d").file(p + "/n/x", b""))],
        "link below an old symlink": [ingest(T().hardlink(p + "/sd/x", p + "/f"))],
        "link target through symlink": [ingest(T().hardlink(p + "/x", p + "/sd/c"))],
        "file twice": [ingest(new().file(p + "/n", b"1").file(p + "/n", b"2"))],
        "old file twice": [ingest(new().file(p + "/f", b"1").file(p + "/f", b"2"))],
        "symlink twice": [ingest(new().symlink(p + "/n", "1").symlink(p + "/n", "2"))],
        "file then dir": [ingest(new().file(p + "/n", b"1").dir(p + "/n"))],
        "dir then file": [ingest(new().dir(p + "/n").file(p + "/n", b"1"))],
        "links": [ingest(T().hardlink(p + "/l1", p + "/f").hardlink(p + "/l2", p + "/s").hardlink(p + "/l3", p + "/p")
                         .hardlink(p + "/l4", p + "/w").hardlink(p + "/l5", p + "/null"))],
        "link before its target": [ingest(new().hardlink(p + "/a", p + "/z").file(p + "/z", b"1", 0o600, uid=4))],
        "link attributes": [ingest(T().hardlink(p + "/a", p + "/f", mode=0o777, uid=9, gid=9, mtime=9))],
        "link to a link": [ingest(new().hardlink(p + "/b", p + "/a").hardlink(p + "/a", p + "/f"))],
        "link to a later link": [ingest(new().file(p + "/z", b"").hardlink(p + "/b", p + "/z")
                                        .hardlink(p + "/c", p + "/b"))],
        "link to nothing": [ingest(new().hardlink(p + "/b", p + "/nothing"))],
        "link to a directory": [ingest(new().hardlink(p + "/b", p + "/d"))],
        "link over a file": [ingest(T().hardlink(p + "/d/c", p + "/f"))],
        "link over a symlink": [ingest(T().hardlink(p + "/s", p + "/p"))],
        "link over a directory": [ingest(T().hardlink(p + "/d", p + "/f"))],
        "link over an own file": [ingest(new().file(p + "/a", b"a").file(p + "/b", b"b").hardlink(p + "/a", p + "/b"))],
        "link twice": [ingest(T().hardlink(p + "/a", p + "/f").hardlink(p + "/a", p + "/s"))],
        "link to itself": [ingest(T().hardlink(p + "/f", p + "/f"))],
        "link to overwritten": [ingest(T().hardlink(p + "/a", p + "/f").file(p + "/f", b"newer"))],
        "link in the root": [ingest(T().hardlink(p + "-root", p + "/f"))],
        "file in the root": [ingest(T().file(p + "-root", b"x")), call("ingest", "-d", p + "-root", NAME)],
        "link with unnamed parents": [ingest(T().hardlink(p + "/x/y/a", p + "/f"))],
        "base directory": [ingest(T().dir("x").file("x/f", b"1").hardlink("l", "x/f").dir("./").file("./g", b""),
                                  base=p + "/base")],
        "base directory with slashes": [ingest(T().dir("x").file("x/f", b"1"), base="/" + p + "/base/")],
        "base is a file": [ingest(T().file("x", b""), base=p + "/f")],
        "base is a symlink": [ingest(T().file("x", b""), base=p + "/sd")],
        "base with catalog": [ingest(T().dir("x"), "-c", base=p + "/base")],
        "old base with catalog": [ingest(T().dir("x"), "-c", base=p + "/d")],
        "dot dot": [ingest(new().file(p + "/d/../x", b""))],
        "dot dot at the start": [ingest(T().file("../" + p + "/x", b""))],
        "dot dot in a new dir": [ingest(new().dir(p + "/new").file(p + "/new/../x", b""))],
        "double slash in a new dir": [ingest(new().dir(p + "/new").file(p + "/new//x", b""))],
        "inner dot in a new dir": [ingest(new().dir(p + "/new").file(p + "/new/./x", b""))],
        "delete leading slash": [call("ingest", "-d", "/" + p + "/s", NAME)],
        "catalog in a new unnamed dir": [ingest(T().file(p + "/e/.cvmfscatalog", b""))],
        "catalog first, then its dir": [ingest(T().file(p + "/e/.cvmfscatalog", b"").dir(p + "/e", 0o711, uid=3, mtime=5))],
        "double slash": [ingest(new().file(p + "//x", b""))],
        "inner dot": [ingest(new().file(p + "/./x", b""))],
        "empty": [ingest(b"")],
        "empty tar": [ingest(T())],
        "truncated data": [ingest(new().file(p + "/n", b"x" * 5000).bytes()[:3000])],
        "truncated header": [ingest(new().file(p + "/n", b"x").bytes()[:700])],
        "truncated padding": [ingest(new().file(p + "/n", b"x").bytes(end=False)[:1025])],
        "no end": [ingest(new().file(p + "/n", b"x").bytes(end=False))],
        "one zero block": [ingest(new().file(p + "/n", b"x").bytes(end=False) + bytes(512))],
        "one zero block, then more": [ingest(new().bytes(end=False) + bytes(512) + T().file(p + "/n", b"x").bytes())],
        "rubbish": [ingest(b"rubbish" * 300)],
        "rubbish later": [ingest(new().bytes(end=False) + b"rubbish" * 300)],
        "unknown type": [ingest(new().entry(p + "/v", b"V").file(p + "/n", b""))],
        "link with data": [ingest(new().entry(p + "/v", b"1", b"data", link=p + "/f").file(p + "/n", b""))],
        "wrong checksum": [ingest(new().raw(b"x" + header(b"y", b"0")[1:]))],
        "delete": [call("ingest", "-d", p + "/d", NAME), call("ingest", "-d", p + "/f", "-d", "/" + p + "/s", NAME)],
        "delete whiteout": [call("ingest", "-d", p + "/w", NAME)],
        "delete missing": [call("ingest", "-d", p + "/nothing", NAME)],
        "delete below missing": [call("ingest", "-d", p + "/no/thing", NAME)],
        "delete twice": [call("ingest", "-d", p + "/d", "-d", p + "/d", NAME)],
        "delete tree and its child": [call("ingest", "-d", p + "/d", "-d", p + "/d/c", NAME)],
        "delete child and its tree": [call("ingest", "-d", p + "/d/c", "-d", p + "/d", NAME)],
        "delete with colon": [ingest(new().file(p + "/a:b", b"")), call("ingest", "-d", p + "/a:b", NAME)],
        "delete with trailing slash": [call("ingest", "-d", p + "/d/", NAME)],
        "delete and add elsewhere": [ingest(new().file(p + "/n", b""), "-d", p + "/d")],
        "delete and add the same": [ingest(T().dir(p + "/d", 0o711), "-d", p + "/d")],
        "delete and add the same file": [ingest(T().file(p + "/f", b"new"), "-d", p + "/f")],
        "delete and add below": [ingest(T().file(p + "/d/n", b""), "-d", p + "/d")],
        "delete and link to it": [ingest(T().hardlink(p + "/n", p + "/f"), "-d", p + "/f")],
        "delete and base": [ingest(T().file("n", b""), "-d", p + "/d", base=p + "/d")],
        "delete through symlink": [call("ingest", "-d", p + "/sd/c", NAME)],
        "user without group": [call("ingest", "-u", "daemon", "-b", p, "-t", "-", NAME, stdin=T().file("n", b"").bytes())],
        "user and group": [call("ingest", "-u", "daemon", "-g", "daemon", "-b", p, "-t", "-", NAME,
                                stdin=T().file("n", b"", uid=9).file("x/n", b"").bytes())],
        "group only": [call("ingest", "-g", "daemon", "-b", p, "-t", "-", NAME, stdin=T().file("n", b"").bytes())],
        "keep and user": [ingest(T().file("n", b""), "-u", "daemon", base=p)],
        "no keep": [call("ingest", "-b", p, "-t", "-", NAME, stdin=T().file("n", b"", uid=9).file("x/n", b"").bytes())],
        "tar without base": [call("ingest", "-t", "-", NAME)],
        "base without tar": [call("ingest", "-b", p, NAME)],
        "nothing asked": [call("ingest", NAME)],
        "no such repository": [call("ingest", "-k", "-b", "/", "-t", "-", "no.such.repo"), call("publish", "no.such.repo"),
                               call("transaction", "no.such.repo"), call("abort", "-f", "no.such.repo"),
                               call("tag", "-l", "no.such.repo"), call("check", "-i", "no.such.repo")],
        "ingest in a transaction": [call("transaction", NAME), ingest(new()), call("transaction", NAME),
                                    call("transaction", "-t", "1", NAME), call("abort", "-f", NAME)],
        "publish and abort outside": [call("publish", NAME), call("abort", "-f", NAME)],
        "publish nothing": [call("transaction", NAME), call("publish", NAME)],
        "publish": [call("transaction", NAME), inside("mkdir", f"{p}/new"),
                    inside("rm", "-rf", f"{p}/d"), inside("rm", f"{p}/s"),
                    call("publish", NAME)],
        "remove a dir with a whiteout": [ingest(T().dir(p + "/v").char(p + "/v/w", 0, 0)), call("transaction", NAME),
                                         inside("rm", "-rf", f"{p}/v"), call("publish", NAME)],
        "abort": [call("transaction", NAME), inside("rm", "-rf", f"{p}/d"), call("abort", "-f", NAME)],
        "abort from inside": [call("transaction", NAME), from_inside("abort", "-f", NAME), call("abort", "-f", NAME)],
        "abort unforced at end of file": [call("transaction", NAME), call("abort", NAME)],
        "publish from inside": [call("transaction", NAME), from_inside("publish", NAME), call("abort", "-f", NAME)],
        "ingest from inside": [from_inside("ingest", "-k", "-b", "/", "-t", "-", NAME), call("abort", "-f", NAME)],
        "transaction on a path": [call("transaction", NAME + "/no/thing"), call("abort", "-f", NAME)],
        "template": [call("transaction", "-T", f"{p}/d={p}/copy", NAME), call("publish", NAME)],
        "bad template": [call("transaction", "-T", "x", NAME), call("transaction", "-T", f"{p}/no={p}/copy", NAME),
                         call("abort", "-f", NAME)],
        "reader": [holding(p + "/f", ingest(new().file(p + "/n", b"line\n"))), call("abort", "-f", NAME)],
        "reader at publish": [call("transaction", NAME), holding(p + "/f", call("publish", NAME)),
                              call("abort", "-f", NAME)],
        "writer at publish": [call("transaction", NAME), holding(p + "/new", call("publish", NAME), "wb"),
                              call("abort", "-f", NAME)],
        "gc": [call("gc", "-f", NAME)],
        "no command": [call(), call("nonsense")],
    }
    return {title: [ingest(base()), *steps] for title, steps in result.items()}


def run_case(repository, title, steps):
    """What a repository makes of a case: per step (status, revisions, open transaction), the tree, and soundness."""
    seen, messages = [], []
    for step in steps:
        before = repository.revision()
        try:
            done = step(repository)
        except subprocess.TimeoutExpired:
            return {"steps": "hangs", "tree": {}, "sound": None, "messages": messages}
        seen.append((done.returncode, repository.revision() - before, repository.in_transaction()))
        messages.append((done.stdout + done.stderr).decode(errors="replace"))
    try:
        found = tree(repository.client, ignore=["new_repository"])
    except OSError as problem:      # a damaged catalog may make a directory unreadable
        messages.append(str(problem))
        found = None
    return {"steps": seen, "messages": messages, "sound": repository.sound(), "tree": found}


def without_now(found, p, start):
    """The part of a tree below the case's directory, with times of this run made equal."""
    return {path: one._replace(mtime="now") if one.mtime and start - 5 < one.mtime < 2 ** 32 else one
            for path, one in found.items() if path.startswith(p.encode())}


def compare(title, p, real, standin, start):
    lines = []
    if real["steps"] != standin["steps"]:
        lines.append(f"steps (status, revisions, open): real {real['steps']}, stand-in {standin['steps']}")
    if real["sound"] != standin["sound"]:
        lines.append(f"check: real {real['sound']}, stand-in {standin['sound']}")
    if real["tree"] is not None and real["steps"] != "hangs":
        lines += differences(*(without_now(side["tree"], p, start) for side in (real, standin)))
    print(f"{'ok  ' if not lines else 'DIFF'} {title}: {real['steps']}{'' if real['sound'] else ' DAMAGED'}{'' if real['tree'] is not None else ' UNREADABLE'}", flush=True)
    for line in lines:
        print("       " + line)
    if lines or "-v" in sys.argv:
        for one, other in zip(real["messages"], standin["messages"]):
            print("       real:     " + " | ".join(one.split("\n")[-6:])[-300:])
            print("       stand-in: " + " | ".join(other.split("\n")[-6:])[-300:])
    return not lines


def main():
    wanted = [text for text in sys.argv[1:] if text != "-v"]
    real, start = Real(), int(time.time())
    with tempfile.TemporaryDirectory() as root:
        standin, fresh, bad = Standin(root, NAME), False, 0
        real.destroy()
        for number, title in enumerate(cases("x")):
            if wanted and not any(text in title for text in wanted):
                continue
            if not fresh:
                real.create()
                standin = Standin(os.path.join(root, str(number)), NAME).create()
            p = f"case{number}"
            steps = cases(p)[title]
            results = [run_case(repository, title, steps) for repository in (real, standin)]
            bad += not compare(title, p, *results, start)
            fresh = all(one["sound"] and one["tree"] is not None for one in results) and not real.in_transaction()
            if not fresh:
                real.destroy()
        real.destroy()
    print(f"{bad} differences")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
