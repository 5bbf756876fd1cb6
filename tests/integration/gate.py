"""A gate in front of cvmfs_server: it stops an ingest's stream at a given byte, for tests that kill the writer there."""

import os
import stat
import time

from cvmfs import STANDIN

SCRIPT = """#!/usr/bin/python3
import contextlib, fcntl, os, subprocess, sys, termios, time
real, place, left = os.environ["GATE_REAL"], os.environ["GATE"], int(os.environ["GATE_BYTES"])
if sys.argv[1:2] != ["ingest"]:
    os.execv(real, [real, *sys.argv[1:]])
child = subprocess.Popen([real, *sys.argv[1:]], stdin=subprocess.PIPE)

def waiting():
    return fcntl.ioctl(0, termios.FIONREAD, b"1234")

with contextlib.suppress(BrokenPipeError):
    total = 0
    while left > 0 and (data := os.read(0, min(left, 1 << 16))):
        child.stdin.write(data)
        left, total = left - len(data), total + len(data)
    before = None
    while (now := waiting()) != before:     # until the writer is done, or stands before a full pipe
        before = now
        time.sleep(0.1)
    open(place + "/reached", "w").close()
    while not os.path.exists(place + "/open"):
        time.sleep(0.01)
    while data := os.read(0, 1 << 16):
        total += len(data)
        child.stdin.write(data)
    with open(place + "/total", "w") as out:
        out.write(str(total))
    child.stdin.close()
status = child.wait()
with open(place + "/ended", "w") as out:
    out.write(str(status))
sys.exit(status)
"""


class Gate:
    """Stands before a StandIn's cvmfs_server. `environment()` is for the program; open() lets the rest of the stream
    through, however much of it there is."""

    def __init__(self, directory, stop_after):
        self.directory, self._stop_after = directory, stop_after
        os.makedirs(os.path.join(directory, "bin"))
        script = os.path.join(directory, "bin", "cvmfs_server")
        with open(script, "w", encoding="ascii") as out:
            out.write(SCRIPT)
        os.chmod(script, stat.S_IRWXU)

    def environment(self):
        return {"GATE": self.directory, "GATE_BYTES": self._stop_after, "GATE_REAL": os.path.join(STANDIN, "cvmfs_server"),
                "PATH": os.path.join(self.directory, "bin") + os.pathsep + os.environ["PATH"]}

    def wait(self, process, seconds=60):
        """Until the stream stands; False if the program ended before."""
        end = time.monotonic() + seconds
        while not os.path.exists(os.path.join(self.directory, "reached")):
            if process.poll() is not None:
                return False
            if time.monotonic() > end:
                raise AssertionError("the stream does not reach the gate")
            time.sleep(0.01)
        return True

    def open(self):
        with open(os.path.join(self.directory, "open"), "w", encoding="ascii"):
            pass

    def ended(self, seconds=60):
        """The ingest's exit status, once it has ended, whoever waits for it beside us."""
        return self._number("ended", seconds)

    def total(self):
        """How many bytes came in all, up to the end of the stream."""
        return self._number("total", 0)

    def _number(self, name, seconds):
        path, end = os.path.join(self.directory, name), time.monotonic() + seconds
        while not os.path.exists(path) or not os.path.getsize(path):
            if time.monotonic() > end:
                raise AssertionError(f"the gate does not tell: {name}")
            time.sleep(0.01)
        with open(path, encoding="ascii") as source:
            return int(source.read())
