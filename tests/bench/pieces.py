"""The stages one by one, in one process each, by ducc_bench."""

import json
import os
import re
import subprocess

from figures import Samples, table

MEMORY_BASE, MEMORY_PER_ENTRY = 64 << 20, 250     # the aim of the peak


class Bench:
    """The benchmark program."""

    def __init__(self, program):
        self.program = program

    def run(self, *arguments, **how):
        """The measurements that it prints, as a list of dicts."""
        done = subprocess.run([self.program, *arguments], stdout=subprocess.PIPE, check=True, text=True, **how)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def child(self, *command, **how):
        """Run a command; (measurement, what it said on both outputs)."""
        done = subprocess.run([self.program, "child", *command], capture_output=True, check=True, text=True,
                              errors="replace", **how)
        found = json.loads(done.stdout)
        if found["status"]:
            raise AssertionError(f"{command} ended with {found['status']}:\n{done.stderr[-2000:]}")
        return found, done.stderr


def measure(bench, layout, spool, rounds):
    """{stage: list of rounds, each a dict of sums over the layers}."""
    os.makedirs(spool, exist_ok=True)
    found = {}

    def add(name, measurements):
        sums = {}
        for one in measurements:
            for key, value in one.items():
                if key == "peak":
                    sums[key] = max(sums.get(key, 0), value)
                elif key != "what":
                    sums[key] = sums.get(key, 0) + value
        found.setdefault(name, []).append(sums)

    def add_each(prefix, measurements, names):
        for name in names:
            add(prefix + name, [one for one in measurements if one["what"] == name])

    for _ in range(rounds):
        layers = bench.run("prepare", layout, spool)
        for number, one in enumerate(layers, 1):
            if len(layers) > 1:
                add(f"prepare layer {number}", [one])
        add("prepare", layers)
        add_each("", bench.run("stream", layout, spool, "/dev/null"), ("assemble", "plan", "stream"))
        add_each("links: ", bench.run("links", layout, spool, "/dev/null"), ("plan", "stream"))
        add_each("", bench.run("merge", layout, spool), ("merge", "layer-trees"))
        add_each("", bench.run("index-open", layout, spool), ("index-open", "index-check"))
        add_pipe(bench, layout, spool, add)
    return found


def add_pipe(bench, layout, spool, add):
    """The stream into a pipe of the size that the CernVM-FS back end asks for; the reader throws it away."""
    sink = ["dd", "of=/dev/null", "bs=1M", "status=none"]
    with subprocess.Popen(sink, stdin=subprocess.PIPE, pipesize=1 << 20) as reader:
        done = subprocess.run([bench.program, "stream", layout, spool, f"/proc/self/fd/{reader.stdin.fileno()}"],
                              pass_fds=[reader.stdin.fileno()], stdout=subprocess.PIPE, check=True, text=True)
        reader.stdin.close()
    add("stream into a pipe", [json.loads(line) for line in done.stdout.splitlines() if '"stream"' in line])


def rate(runs, key, unit):
    if not runs[0].get(key):
        return "-"
    rates = Samples(run[key] / run["wall"] for run in runs)
    return rates.text(unit, ",.0f" if rates.median >= 10 * unit else ".2g")


def report(found, entries):
    """Markdown of one image's stages. `entries` are those of the image's layers."""
    aim = MEMORY_BASE + MEMORY_PER_ENTRY * entries
    rows = []
    for name, runs in found.items():
        small = max(run["wall"] for run in runs) < 0.1
        times = [Samples(run[key] for run in runs).text(1e-3 if small else 1, ".3g") for key in ("wall", "cpu")]
        peak = Samples(run["peak"] for run in runs)
        rows.append([name, *(text + (" ms" if small else " s") for text in times), rate(runs, "bytes", 1e6),
                     rate(runs, "entries", 1e3), f"{peak.median / 2**20:.0f}"])
    head = ["stage", "wall", "CPU", "MB/s", "1,000 entries/s", "peak MiB"]
    return table(head, rows) + f"\n\nAim of the peak for {entries:,} entries: {aim / 2**20:.0f} MiB.\n"


def decoders(program, layout):
    """The comparison of gzip decoders, or why there is none."""
    if not os.path.exists(program):
        return "not measured: libdeflate and isa-l are not installed for development\n"
    blobs = os.path.join(layout, "blobs", "sha256")
    with open(os.path.join(layout, "facts.json"), encoding="utf-8") as source:
        layers = [one["digest"].removeprefix("sha256:") for one in json.load(source)["layers"]]
    done = subprocess.run([program, *(os.path.join(blobs, one) for one in layers)], stdout=subprocess.PIPE, check=True,
                          text=True)
    return f"```\n{done.stdout}```\n"


CALLS = "read,pread64,readv,preadv,copy_file_range,sendfile,splice"
# "PID read(3</path>, ""..., 4096) = 4096"; in two lines where another thread's call came between.
WHOLE = re.compile(r"^(\d+) +\w+\(\d+<([^>]*)>.* = (\d+)$")
BEGUN = re.compile(r"^(\d+) +\w+\(\d+<([^>]*)>.*<unfinished \.\.\.>$")
ENDED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>.* = (\d+)$")
KINDS = {"blobs": re.compile(r"/blobs/[0-9a-f]{64}$"), "data": re.compile(r"/layers/[0-9a-f]{64}(\.tmp)?/data$")}


def reads(lines):
    """(path, bytes) of each call in a log of strace."""
    begun = {}
    for line in lines:
        if match := WHOLE.match(line):
            yield match.group(2), int(match.group(3))
        elif match := BEGUN.match(line):
            begun[match.group(1)] = match.group(2)
        elif (match := ENDED.match(line)) and match.group(1) in begun:
            yield begun.pop(match.group(1)), int(match.group(2))


def bytes_read(command, cwd, environment):
    """{'blobs': bytes, 'data': bytes} that a command read from fetched blobs and from prepared layers' data."""
    log = os.path.join(cwd, "strace.log")
    subprocess.run(["strace", "-f", "-y", "-s", "0", "-e", "signal=none", "--seccomp-bpf", "-e", f"trace={CALLS}",
                    "-o", log, *command], check=True, env=environment, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    found = dict.fromkeys(KINDS, 0)
    with open(log, encoding="utf-8", errors="replace") as source:
        for path, count in reads(source.read().splitlines()):
            for kind, pattern in KINDS.items():
                found[kind] += count if pattern.search(path) else 0
    os.unlink(log)
    return found
