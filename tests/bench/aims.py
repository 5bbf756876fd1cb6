"""The work whose times have an aim, on a real CernVM-FS, beside bare `cvmfs_server ingest` and beside peers.

Every round does all of it once, in repositories of its own, so that ratios are those of one round.
"""

import contextlib
import glob
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

from endtoend import CvmfsRepository
from figures import Samples, table
from make_image import TAG

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "integration"))
from harness import Podman, Registry, TarBuilder    # noqa: E402

SMALL, SMALL_LAYERS, SMALL_BYTES = 200, 3, 5_000_000
SMALL_GO = 10       # of them, by the Go tool
GO_SMALL = f"the Go tool: {SMALL_GO} small images"
GO_RATE = 50        # times its rate, at least
BEHIND = 50
POLLED = 1000
TAGS = 20

ROWS = ("images", "peers", "small", "behind", "poll", "million")

# What is divided by what, and the aim.
RATIOS = {
    "cold / bare ingest": ("cold", "bare", 1.10),
    "new top layer / bare ingest": ("update", "bare", 0.33),
    "rebuild / cold": ("rebuild", "cold", 0.22),
    "20 tags / empty ingest": ("tags", "empty", 2.0),
    "poll of 1,000 tags / curl --parallel": ("poll", "curl", 1.5),
}
# Measured as they stand: (work, key, aim, what its unit is divided by).
VALUES = {
    "20 tags: revisions": ("tags", "revisions", 1, 1),
    "200 small images: revisions": ("small images", "revisions", 15, 1),
    "poll: HEADs a tag": ("poll", "heads", 1, 1),
    "1,000,000 entries into CernVM-FS: peak MiB": ("million", "peak", 320, 2**20),
    "another tree of 1,000,000 links: stream, s": ("million links", "wall", 2, 1),
    "opening an index of 1,000,000 entries, ms": ("million index", "wall", 10, 1e-3),
}


def revision(repository):
    return int(os.getxattr(f"/var/spool/cvmfs/{repository.name}/rdonly", "user.revision"))


class Aims:
    def __init__(self, bench, ducc, go, scratch):
        """go: the Go DUCC's program, or None."""
        self.bench, self.ducc, self.go, self.scratch = bench, ducc, go, scratch
        self.found = {}         # work: one measurement a round, a dict
        self.latencies = []     # of small images behind a large one, all rounds

    def note(self, work, **values):
        self.found.setdefault(work, []).append(values)
        said = ", ".join(f"{key} {value:.4g}" for key, value in values.items())
        print(f"    {work}: {said}", file=sys.stderr, flush=True)

    def measured(self, work, *command, repository=None, **how):
        """Run it; what it said. Notes seconds (those of commits apart), processor seconds, and revisions made."""
        subprocess.run(["sync"], check=True)
        before = revision(repository) if repository else 0
        found, said = self.bench.child(*command, **how)
        values = {"wall": found["wall"], "cpu": found["cpu"] + found["children_cpu"], "own cpu": found["cpu"],
                  "peak": found["peak"]}
        if repository:
            values["revisions"] = revision(repository) - before
        commits = [event["seconds"] for event in events(said) if event["event"] == "commit"]
        if commits:
            values["commit"] = sum(commits)
        self.note(work, **values)
        return said

    def convert(self, work, state, repository, *names):
        return self.measured(work, self.ducc, "convert", "--json", "--state-dir", state, "--repo", repository.name, *names,
                             repository=repository, cwd="/")

    @contextlib.contextmanager
    def averaged(self, work):
        """What is measured within is averaged with the measurement before: a virtual machine's speed may drift by a third
        from one minute to the next, so that what others are divided by is measured on both sides of them."""
        yield
        after, before = self.found[work].pop(), self.found[work].pop()
        self.found[work].append({key: (before[key] + after[key]) / 2 for key in before})

    def bare(self, ready):
        with CvmfsRepository("bare") as repository:
            self.measured("bare", "cvmfs_server", "ingest", "-k", "-b", "/", "-t", ready, repository.name)

    # The rows -----------------------------------------------------------------------------------------------------

    def images(self, registry, ready):
        def tagged(*tags):
            return [f"http://{registry.host}/bench/image:{tag}" for tag in tags]

        self.bare(ready)
        with (CvmfsRepository() as repository, tempfile.TemporaryDirectory(dir=self.scratch) as state,
              tempfile.NamedTemporaryFile(dir=self.scratch) as empty):
            self.convert("cold", state, repository, *tagged(TAG))
            with self.averaged("bare"):
                self.bare(ready)
            empty.write(TarBuilder().dir("bench").bytes())
            empty.flush()
            self.measured("empty", "cvmfs_server", "ingest", "-k", "-b", "/", "-t", empty.name, repository.name)
            self.convert("tags", state, repository, *tagged(*(f"{TAG}-{n}" for n in range(TAGS))))
            self.convert("update", state, repository, *tagged(f"{TAG}-update"))
            self.convert("rebuild", state, repository, *tagged(f"{TAG}-rebuild"))

    def peers(self, registry, layout):
        """What other programs take for the parts that they do."""
        source = f"docker://{registry.host}/bench/image:{TAG}"
        with tempfile.TemporaryDirectory(dir=self.scratch) as top:
            self.measured("umoci unpack (local layout, one tree)", "umoci", "unpack", "--image", f"{layout}:{TAG}",
                          os.path.join(top, "bundle"))
            self.measured("skopeo copy (fetch only)", "skopeo", "copy", "--quiet", "--insecure-policy",
                          "--src-tls-verify=false", source, f"dir:{top}/copy")
        with Podman() as podman:
            self.measured("podman pull (fetch, unpack the layers)",
                          *podman.command("pull", "-q", "--tls-verify=false", source))

    def small_images(self, registry):
        names = push_small(registry, SMALL, "small")
        with CvmfsRepository() as repository, tempfile.TemporaryDirectory(dir=self.scratch) as state:
            self.convert("small images", state, repository, *names)
        if self.go:
            self._small_images_go(names)

    def _small_images_go(self, names):
        """Some of them: it takes minutes. Its exit status is 0 whatever fails."""
        some = names[::SMALL // SMALL_GO]
        with (CvmfsRepository() as repository, tempfile.TemporaryDirectory(dir=self.scratch) as top,
              tempfile.NamedTemporaryFile("w", suffix=".yaml") as recipe):
            recipe.write(f"version: 1\nuser: x\ncvmfs_repo: '{repository.name}'\noutput_format: 'http://localhost/$(image)'\n"
                         "input:\n" + "".join(f"  - '{name}'\n" for name in some))
            recipe.flush()
            said = self.measured(GO_SMALL, self.go, "convert", "-i", recipe.name, repository=repository,
                                 env=dict(os.environ, DUCC_TMP_DIR=top))
            published = glob.glob(f"/cvmfs/{repository.name}/.flat/??/*")
        if "level=error" in said or len(published) != len(some):
            raise AssertionError(f"the Go tool published {len(published)} of {len(some)} images:\n{said[-2000:]}")

    def behind_a_large_one(self, registry):
        """Small images that are asked for together with a large one, which is first in the list."""
        names = push_small(registry, BEHIND, "behind")
        with CvmfsRepository() as repository, tempfile.TemporaryDirectory(dir=self.scratch) as state:
            before, begin = revision(repository), time.monotonic()
            with subprocess.Popen([self.ducc, "convert", "--json", "--state-dir", state, "--repo", repository.name,
                                   f"http://{registry.host}/bench/image:{TAG}", *names], stdout=subprocess.PIPE, text=True,
                                  cwd="/") as running:
                for event in map(json.loads, running.stdout):
                    if event["event"] == "result" and event["image"].endswith(f":{TAG}"):
                        self.note("a large image, 50 small ones behind it: public", wall=time.monotonic() - begin)
                    elif event["event"] == "result":
                        self.latencies.append(time.monotonic() - begin)
            if running.returncode:
                raise AssertionError("ducc convert failed")
            late = sorted(self.latencies[-len(names):])
            self.note("a large image, 50 small ones behind it: half of them public", wall=late[len(late) // 2])
            self.note("a large image, 50 small ones behind it: all", wall=time.monotonic() - begin,
                      revisions=revision(repository) - before)

    def poll(self, registry):
        """1,000 tags of ten images, unchanged."""
        tags = fill_tags(registry, POLLED)
        with tempfile.TemporaryDirectory(dir=self.scratch) as top:
            convert = [self.ducc, "convert", "-q", "--state-dir", f"{top}/state", "--repo", f"{top}/repo",
                       f"http://{registry.host}/poll/image:*"]
            os.mkdir(f"{top}/repo")
            self.bench.child(*convert)
            urls = os.path.join(top, "urls")
            with open(urls, "w", encoding="ascii") as out:
                out.writelines(f"url = \"http://{registry.host}/v2/poll/image/manifests/{tag}\"\noutput = \"/dev/null\"\n"
                               for tag in tags)
            registry.forget_requests()
            self.measured("poll", *convert)
            counts = registry.count_requests()
            heads = counts.get(("HEAD", "manifests"), 0)
            self.found["poll"][-1].update({"heads": heads / len(tags), "other requests": sum(counts.values()) - heads})
            self.measured("curl", "curl", "-sf", "--parallel", "--parallel-max", "16", "-I", "-K", urls, "-H",
                          "Accept: application/vnd.oci.image.manifest.v1+json")

    def million(self, registry, layout, spool):
        """One layer of a million small entries: a tree of links to it, its index, and a whole run."""
        for work, command in {"million links": "links", "million index": "index-open"}.items():
            wanted = {"links": "stream", "index-open": "index-open"}[command]
            more = ["/dev/null"] if command == "links" else []
            found = [one for one in self.bench.run(command, layout, spool, *more) if one["what"] == wanted]
            self.note(work, wall=sum(one["wall"] for one in found), cpu=sum(one["cpu"] for one in found),
                      peak=max(one["peak"] for one in found))
        registry.push_layout(layout, TAG, "bench/million", "1")
        with CvmfsRepository() as repository, tempfile.TemporaryDirectory(dir=self.scratch) as state:
            self.convert("million", state, repository, f"http://{registry.host}/bench/million:1")


def events(said):
    """Of `ducc convert --json`, among other lines."""
    return [json.loads(line) for line in said.splitlines() if line.startswith('{"')]


def push_small(registry, count, repository):
    """Images of 3 layers and 5 MB each, no two files alike. Returns their names."""
    names = []
    for number in range(count):
        noise = random.Random(f"{repository} {number}")
        layers = []
        for level in range(SMALL_LAYERS):
            tar = TarBuilder().dir(f"opt/{level}")
            for file in range(20):
                data = noise.randbytes(SMALL_BYTES // SMALL_LAYERS // 40)
                tar.file(f"opt/{level}/{file}", data + data.hex().encode()[:len(data)])
            layers.append(tar.bytes())
        registry.push_image(f"{repository}/{number}", "1", layers)
        names.append(f"http://{registry.host}/{repository}/{number}:1")
    return names


def fill_tags(registry, count):
    """All tags of a repository that has so many."""
    images = [registry.push_image("poll/image", f"i{n}", [TarBuilder().file("f", str(n).encode()).bytes()]) for n in range(10)]
    folder = os.path.dirname(registry.tag_path("poll/image", "i0"))
    for number in range(count - 10):
        path = os.path.join(folder, f"t{number}", "current")
        os.makedirs(path, exist_ok=True)    # from an earlier round
        with open(os.path.join(path, "link"), "w", encoding="utf-8") as out:
            out.write(images[number % 10].digest)
    return sorted(os.listdir(folder))


def push(registry, layouts):
    for variant, layout in layouts.items():
        registry.push_layout(layout, TAG, "bench/image", f"{TAG}-{variant}" if variant else TAG)
    manifest = registry.manifest("bench/image", TAG)
    for number in range(TAGS):
        registry.push_manifest("bench/image", f"{TAG}-{number}", manifest, json.loads(manifest)["mediaType"])


def measure(bench, ducc, layouts, spools, scratch, rounds, go, rows):
    """layouts: {"": directory, "update": ..., "rebuild": ..., "million": ...}; spools: where those of "" and "million"
    lie prepared; rows: which of ROWS, all if empty."""
    aims = Aims(bench, ducc, go, scratch)
    ready = os.path.join(scratch, "ready.tar")
    with Registry() as registry:
        push(registry, {name: layout for name, layout in layouts.items() if name != "million"})
        bench.run("stream", layouts[""], spools[""], ready)
        work = {"images": lambda: aims.images(registry, ready), "peers": lambda: aims.peers(registry, layouts[""]),
                "small": lambda: aims.small_images(registry), "behind": lambda: aims.behind_a_large_one(registry),
                "poll": lambda: aims.poll(registry),
                "million": lambda: aims.million(registry, layouts["million"], spools["million"])}
        for number in range(rounds):
            print(f"  round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
            for name in rows or ROWS:
                work[name]()
    os.unlink(ready)
    return aims


def samples(found, work, key, scale=1):
    return Samples(one[key] / scale for one in found.get(work, []) if key in one)


def ratios(found, key="wall"):
    """[(name, Samples, aim)]"""
    return [(name, samples(found, above, key).over(samples(found, below, key)), aim)
            for name, (above, below, aim) in RATIOS.items() if above in found and below in found]


def go_rate(found):
    """Images a second beside the Go tool's, as rows of the table of aims."""
    if GO_SMALL not in found:
        return []
    wall, cpu = (samples(found, GO_SMALL, key, SMALL_GO).over(samples(found, "small images", key, SMALL))
                 for key in ("wall", "cpu"))
    return [["200 small images: times the Go tool's rate", wall.text(form=".3g"), cpu.text(form=".3g"), f"≥ {GO_RATE}",
             "yes" if wall.median >= GO_RATE else "no"]]


def report(aims):
    found = aims.found
    rows = [[work, samples(found, work, "wall").text(form=".3g"), samples(found, work, "cpu").text(form=".3g"),
             samples(found, work, "own cpu").text(form=".3g"), samples(found, work, "commit").text(form=".3g"),
             samples(found, work, "revisions").text(form=".3g"), samples(found, work, "peak", 2**20).text(form=".3g")]
            for work in found]
    text = table(["work", "wall s", "CPU s", "own CPU s", "commit s", "revisions", "peak MiB"], rows) + "\n\n"
    rows = [[name, share.text(form=".3f"), cpu.text(form=".3f"), f"≤ {aim:g}", "yes" if share.median <= aim else "no"]
            for (name, share, aim), (_, cpu, _) in zip(ratios(found), ratios(found, "cpu"))]
    for name, (work, key, aim, unit) in VALUES.items():
        values = samples(found, work, key, unit)
        if values:
            rows.append([name, values.text(form=".3g"), "-", f"≤ {aim:g}", "yes" if values.median <= aim else "no"])
    rows += go_rate(found)
    text += table(["aim", "measured", "in CPU time", "aim", "met"], rows) + "\n"
    if aims.latencies:
        late = sorted(aims.latencies)
        parts = ", ".join(f"{share} %: {late[min(len(late) - 1, len(late) * share // 100)]:.1f} s"
                          for share in (10, 50, 90, 99))
        text += f"\nSmall images asked for together with a large one were public after ({len(late)} of them) {parts}.\n"
    return text


def go_tool(path):
    return shutil.which(path) if path else None
