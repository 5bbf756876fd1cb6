"""A real image of many services, from Debian packages: systemd as entry point, daemons, sudo, ping with file
capabilities, labels, volumes, a health check."""

import fcntl
import io
import os
import tarfile
import tempfile

from ocilayout import Image
from realimage import BASE_PACKAGES, MORE_PACKAGES, cache_directory, packages_layer
from references import run
from registry import need
from tarbuilder import TarBuilder

DAEMONS = ("systemd", "dbus", "dbus-daemon", "dbus-bin", "dbus-system-bus-common", "cron", "nginx", "nginx-common", "openssh-server")
ENABLED = ("cron.service", "nginx.service", "ssh.service")
TOOLS = ("sudo", "iputils-ping", "libpam-modules", "libpam0g", "libpam-runtime")
LIBRARIES = ("libsystemd0", "libsystemd-shared", "libaudit1", "libaudit-common", "libcap2", "libcap-ng0", "libcryptsetup12",
             "libkmod2", "liblz4-1", "liblzma5", "libmount1", "libblkid1", "libseccomp2", "libzstd1", "libapparmor1",
             "libfdisk1", "libgcrypt20", "libgpg-error0", "libip4tc2", "libp11-kit0", "libgcc-s1", "libdevmapper1.02.1",
             "libjson-c5", "libargon2-1", "libuuid1", "libudev1", "libdbus-1-3", "libexpat1", "zlib1g", "libidn2-0",
             "libunistring2", "libffi8", "libwrap0", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libcom-err2",
             "libkrb5support0", "libkeyutils1", "libnsl2", "libtirpc3", "libdb5.3")
CAP_NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
CONFIG = {
    "Entrypoint": ["/lib/systemd/systemd"], "Cmd": ["--system", "--unit=multi-user.target"], "User": "root", "WorkingDir": "/root",
    "Env": ["container=podman", "LC_ALL=C.UTF-8", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
    "ExposedPorts": {"80/tcp": {}, "22/tcp": {}, "5353/udp": {}}, "Volumes": {"/var/lib/data": {}, "/var/spool/jobs": {}},
    "StopSignal": "SIGRTMIN+3", "Labels": {"org.opencontainers.image.title": "services", "with space": "a \"b\" 'c' $d\n"},
    "Healthcheck": {"Test": ["CMD-SHELL", "test -e /etc/os-release && sudo -n true"], "Interval": 30000000000, "Timeout": 5000000000,
                    "Retries": 3, "StartPeriod": 1000000000},
    "OnBuild": ["RUN echo built"], "Shell": ["/bin/bash", "-c"],
}
# What is run in the original and in the published image; the answers must be the same, and success.
PROGRAMS = {
    "systemd": "/lib/systemd/systemd --version; true",
    "units": "systemd-analyze --version | head -1; ls /lib/systemd/system | wc -l; systemctl --root=/ is-enabled cron.service",
    "daemons": "cron -h 2>&1 | head -1; nginx -v 2>&1; dbus-daemon --version | head -1; test -x /usr/sbin/sshd && echo sshd",
    "sudo": "sudo -n id; sudo -n -u nobody id; sudo -n -u www sh -c 'id; exit 0'",
    "permissions": "stat -c '%n %a %u:%g' /usr/bin/sudo /etc/sudoers /var/spool/cron/crontabs /var/lib/data /usr/bin/ping",
    "health": CONFIG["Healthcheck"]["Test"][1] + "; echo $?",
}


def ping_of(layer):
    """The program ping, out of a layer's tar."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return archive.extractfile("usr/bin/ping").read()


def settings(layer):
    """What packages' scripts and an administrator would do."""
    layer = TarBuilder().file("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/sh\nwww:x:33:33::/:/bin/sh\n"
                              "messagebus:x:101:101::/:/bin/sh\nsshd:x:102:65534::/:/bin/sh\n")
    layer.file("etc/group", "root:x:0:\nnogroup:x:65534:\nwww:x:33:\nmessagebus:x:101:\n").file("etc/shadow", "root:*:::::::\n", 0o640)
    for service in ("sudo", "other"):
        layer.file(f"etc/pam.d/{service}", "".join(f"{kind} required pam_permit.so\n" for kind in ("auth", "account", "session")))
    layer.dir("var/lib/data", 0o750, uid=33, gid=33).dir("var/spool/cron/crontabs", 0o1730, gid=33).dir("root", 0o700)
    # What a first boot would ask for, and a key of the host: the rest of openssh-server is as packaged.
    layer.file("etc/machine-id", "0123456789abcdef0123456789abcdef\n").file("etc/ssh/sshd_config", "HostKey /etc/ssh/host_key\n")
    layer.file("etc/ssh/host_key", run(need("openssl"), "genrsa", "-traditional", "2048"), 0o600)
    layer.dir("var/spool").dir("var/spool/cron").dir("etc/systemd/system").dir("etc/systemd/system/multi-user.target.wants")
    for service in ENABLED:
        layer.symlink(f"etc/systemd/system/multi-user.target.wants/{service}", f"/lib/systemd/system/{service}")
    return layer


def services_image():
    """(OCI layout, tag); built once for a cache directory."""
    layout = os.path.join(cache_directory(), "services-image-6")
    with open(layout + ".lock", "w", encoding="ascii") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(layout, "index.json")):
            with tempfile.TemporaryDirectory(prefix="services-", dir=cache_directory()) as work:
                made = [packages_layer(work, BASE_PACKAGES, usr_merged=True), packages_layer(work, [*MORE_PACKAGES, *LIBRARIES]),
                        packages_layer(work, DAEMONS), packages_layer(work, TOOLS)]
                made.append(settings(made[3]).file("usr/bin/ping", ping_of(made[3]), 0o755, pax={
                    "SCHILY.xattr.security.capability": CAP_NET_RAW}).symlink("usr/bin/sh", "bash").bytes())
                made.append(TarBuilder().dir("usr/share/doc").opaque("usr/share/doc").whiteout("usr/share/man").bytes())
                Image(made, config=CONFIG, edit_config=lambda one: one.update(created="2024-05-06T07:08:09Z", author="us")
                      ).write_layout(os.path.join(work, "layout"), "t")
                os.rename(os.path.join(work, "layout"), layout)
    return layout, "t"
