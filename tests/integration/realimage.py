"""A real image of Debian packages, with everything that layers can do to one another on top.

Built once per cache directory (DUCC_TEST_CACHE, else one temporary directory per run) and used by many tests.
"""

import atexit
import fcntl
import io
import os
import shutil
import subprocess
import tarfile
import tempfile

from ocilayout import Image
from references import run
from registry import need
from tarbuilder import TarBuilder

TAG = "real"
BASE_PACKAGES = ("base-files", "busybox-static")
MORE_PACKAGES = ("bash", "libc6", "libtinfo6", "coreutils", "libselinux1", "libacl1", "libattr1", "libgmp10",
                 "libpcre2-8-0", "libssl3", "libcrypt1", "debianutils")
CONFIG = {
    "Entrypoint": ["/bin/bash", "-c", 'echo "$0" \'$HOME\' "$@"'],
    "Cmd": ["two words", "a 'quote'", 'a "double"', "$PATH", "back\\slash", ""],
    "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "BLANKS=a  b ", "QUOTES='single' \"double\"", "DOLLAR=$HOME ${X} `id`",
            "EMPTY=", "NEWLINE=one\ntwo", "EQUALS=a=b=c"],
    "Labels": {"org.example.title": "a 'real' \"image\" $1", "empty": "", "umlaut": "Käse"},
    "WorkingDir": "/tmp",
}
_cache = None


def cache_directory():
    """Where built images stay: for the next run with DUCC_TEST_CACHE, else for this run."""
    global _cache
    if _cache is None:
        _cache = os.environ.get("DUCC_TEST_CACHE")
        if _cache:
            os.makedirs(_cache, exist_ok=True)
        else:
            _cache = tempfile.mkdtemp(prefix="ducc-cache-")
            atexit.register(shutil.rmtree, _cache, ignore_errors=True)
    return _cache


def real_image(portable=True):
    """(directory of the OCI layout, tag, Image-like digests) of the image; built on first use.

    portable=False adds what only umoci unpacks: a hard link to a file of a lower layer, which Podman 4.3 refuses to
    pull. Everything else is the same.
    """
    name = "real-image-portable" if portable else "real-image"
    layout = os.path.join(cache_directory(), name)
    with open(os.path.join(cache_directory(), name + ".lock"), "w", encoding="ascii") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(layout, "index.json")):
            with tempfile.TemporaryDirectory(prefix="real-image-", dir=cache_directory()) as work:
                Image(layers(work, portable), config=CONFIG).write_layout(os.path.join(work, "layout"), TAG)
                shutil.rmtree(layout, ignore_errors=True)
                os.rename(os.path.join(work, "layout"), layout)
    return layout, TAG


def layers(work, portable=True):
    """The raw tars of the four layers."""
    return [packages_layer(work, BASE_PACKAGES, usr_merged=True), packages_layer(work, MORE_PACKAGES),
            third_layer(portable), fourth_layer()]


def packages_layer(work, names, usr_merged=False):
    """A tar of unpacked Debian packages. The links of a merged /usr come in the first layer only; packages that still
    ship /bin or /lib are moved below /usr as Debian's installer does."""
    download, target = os.path.join(work, "debs"), tempfile.mkdtemp(dir=work)
    os.makedirs(download, exist_ok=True)
    need("dpkg-deb")
    run(need("apt-get"), "-q", "-o", "APT::Sandbox::User=root", "download", *names, cwd=download)
    for package in sorted(os.listdir(download)):
        run("dpkg-deb", "-x", os.path.join(download, package), target)
    shutil.rmtree(download)
    for name in ("bin", "sbin", "lib", "lib64"):
        merge_into_usr(target, name, usr_merged)
    os.chmod(target, 0o755)
    if usr_merged:
        for applet in ("ls", "cat", "sh"):
            os.symlink("busybox", os.path.join(target, "usr/bin", applet))
    return tar_of(target)


def merge_into_usr(top, name, link):
    old, new = os.path.join(top, name), os.path.join(top, "usr", name)
    if os.path.isdir(old) and not os.path.islink(old):
        os.makedirs(new, exist_ok=True)
        run("cp", "-a", old + "/.", new)
        shutil.rmtree(old)
    if link:
        os.makedirs(new, exist_ok=True)
        if not os.path.lexists(old):
            os.symlink("usr/" + name, old)


def tar_of(directory):
    """A tar of a directory, without its root and in a fixed order. A shell's links replace busybox's in layer two."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for top, directories, files in os.walk(directory):
            directories.sort()
            for name in sorted(directories + files):
                path = os.path.join(top, name)
                tar.add(path, os.path.relpath(path, directory), recursive=False)
    return out.getvalue()


def third_layer(portable):
    """Deletions, an opaque directory, changes, links, and entries that are easily lost."""
    tar = TarBuilder(mtime=1_650_000_000)
    tar.dir("etc", mtime=1_650_000_001).file("etc/motd", b"changed\n").whiteout("etc/issue")
    tar.dir("usr").dir("usr/share").dir("usr/share/doc").opaque("usr/share/doc")
    tar.dir("usr/share/doc/own").file("usr/share/doc/own/file", b"kept\n").whiteout("usr/share/common-licenses")
    tar.dir("links", 0o775, uid=1, gid=2).file("links/first", b"shared\n", 0o640, uid=3, gid=4)
    tar.hardlink("links/second", "links/first", mode=0o640, uid=3, gid=4).hardlink("links/absolute", "/links/first",
                                                                                  mode=0o640, uid=3, gid=4)
    tar.symlink("links/dangling", "/no/where").symlink("links/relative", "../etc/motd", uid=5, gid=6)
    tar.hardlink("links/symlink", "links/dangling")
    if not portable:
        tar.hardlink("links/lower", "usr/bin/busybox", mode=0o755)
    tar.dir("odd", 0o1777).fifo("odd/fifo", mode=0o620).file("odd/no-mode", b"secret", 0).file("odd/setuid", b"", 0o4755)
    tar.file("odd/setgid", b"", 0o2755).file(b"odd/caf\xe9 \xff", b"no utf-8\n").file("odd/a b'c\"d$e\\f\n", b"blanks")
    tar.file("odd/" + "n" * 250, b"long").char("odd/null", 1, 3, mode=0o666).block("odd/loop", 7, 0)
    tar.file("odd/old", b"", mtime=0).file("odd/fraction", b"", mtime=1_600_000_000.75)
    tar.file("odd/large-owner", b"", uid=3_000_000, gid=4_000_000).sparse("odd/sparse", 1 << 20, [(8192, b"x" * 512)])
    tar.dir("replaced", 0o700).file("replaced/file-to-dir", b"f").dir("replaced/dir-to-file")
    tar.file("replaced/dir-to-file/child", b"c").dir("replaced/dir-to-symlink").file("replaced/dir-to-symlink/child", b"")
    tar.symlink("replaced/symlink-to-dir", "../etc").symlink("replaced/symlink-to-file", "../etc/motd")
    tar.dir("replaced/dir-to-dir", 0o700, uid=1).file("replaced/dir-to-dir/lower", b"l").file("replaced/back", b"1")
    return tar.bytes()


def fourth_layer():
    """Every kind replaces another one."""
    tar = TarBuilder(mtime=1_660_000_000).dir("replaced", 0o711, mtime=1_660_000_002)
    tar.dir("replaced/file-to-dir").file("replaced/file-to-dir/child", b"new").file("replaced/dir-to-file", b"now a file")
    tar.symlink("replaced/dir-to-symlink", "dir-to-dir").dir("replaced/symlink-to-dir")
    tar.file("replaced/symlink-to-dir/child", b"not in etc").file("replaced/symlink-to-file", b"not motd")
    tar.dir("replaced/dir-to-dir", 0o755, uid=2).file("replaced/dir-to-dir/upper", b"u")
    tar.whiteout("replaced/back").dir("odd", 0o755).whiteout("odd/fifo")
    return tar.bytes()


def chroot_shell(rootfs, script):
    """Run a script with the image's own shell; a proof that the tree is whole."""
    return subprocess.run(["chroot", rootfs, "/bin/bash", "-c", script], capture_output=True, check=True).stdout
