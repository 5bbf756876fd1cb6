"""The work whose times have an aim, on a real CernVM-FS, beside bare `cvmfs_server ingest` and beside peers.

Every round does all of it once, in repositories of its own, so that ratios are those of one round.
"""

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
from harness import Registry, TarBuilder    # noqa: E402

SMALL, SMALL_LAYERS, SMALL_BYTES = 200, 3, 5_000_000
POLLED = 1000
TAGS = 20

# Name: (what is divided by what, the aim).
AIMS = {
    "cold / bare ingest": ("cold", "bare", 1.10),
    "new top layer / bare ingest": ("update", "bare", 0.33),
    "rebuild / cold": ("rebuild", "cold", 0.22),
    "20 tags / empty ingest": ("tags", "empty", 2.0),
    "poll of 1,000 tags / curl --parallel": ("poll", "curl", 1.5),
}


def revision(repository):
    return int(os.getxattr(f"/var/spool/cvmfs/{repository.name}/rdonly", "user.revision"))


class Aims:
    def __init__(self, ducc, go, scratch):
        """go: the Go DUCC's program, or None."""
        self.ducc, self.go, self.scratch = ducc, go, scratch
        self.found = {}         # name: one value a round, seconds or counts
        self.latencies = []     # of small images behind a large one

    def note(self, name, value):
        self.found.setdefault(name, []).append(value)
        print(f"    {name}: {value:.4g}", file=sys.stderr, flush=True)

    def timed(self, name, work):
        subprocess.run(["sync"], check=True)
        begin = time.monotonic()
        result = work()
        self.note(name, time.monotonic() - begin)
        return result

    def convert(self, state, repository, *names):
        """The events of one run."""
        done = subprocess.run([self.ducc, "convert", "--json", "--state-dir", state, "--repo", repository.name, *names],
                              capture_output=True, check=False, text=True, cwd="/")
        if done.returncode:
            raise AssertionError(f"ducc convert ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def commits(self, name, events):
        self.note(f"{name}: of that commit", sum(event["seconds"] for event in events if event["event"] == "commit"))

    # The rows -----------------------------------------------------------------------------------------------------

    def images(self, registry, ready):
        host = registry.host
        with CvmfsRepository() as repository:
            self.timed("bare", lambda: subprocess.run(
                ["cvmfs_server", "ingest", "-k", "-b", "/", "-t", ready, repository.name], check=True, capture_output=True))
        with CvmfsRepository() as repository, tempfile.TemporaryDirectory(dir=self.scratch) as state:
            def published(name, *tags):
                before = revision(repository)
                events = self.timed(name, lambda: self.convert(state, repository, *(
                    f"http://{host}/bench/image:{tag}" for tag in tags)))
                self.commits(name, events)
                self.note(f"{name}: revisions", revision(repository) - before)

            published("cold", TAG)
            self.timed("empty", lambda: subprocess.run(
                ["cvmfs_server", "ingest", "-k", "-b", "/", "-t", "-", repository.name], check=True, capture_output=True,
                input=TarBuilder().dir("bench").bytes()))
            published("tags", *(f"{TAG}-{n}" for n in range(TAGS)))
            published("update", f"{TAG}-update")
            published("rebuild", f"{TAG}-rebuild")

    def small_images(self, registry):
        names = push_small(registry, SMALL, "small")
        with CvmfsRepository() as repository, tempfile.TemporaryDirectory(dir=self.scratch) as state:
            before = revision(repository)
            self.timed(f"{SMALL} small images", lambda: self.convert(state, repository, *names))
            self.note(f"{SMALL} small images: revisions", revision(repository) - before)
        if self.go:
            self._small_images_go(names)

    def _small_images_go(self, names):
        """A tenth of them: it takes minutes."""
        some = [name.removeprefix("http://") for name in names[::10]]
        with CvmfsRepository() as repository, tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=self.scratch) as recipe:
            recipe.write("version: 1\nuser: x\ncvmfs_repo: %s\noutput_format: ''\ninput:\n" % repository.name +
                         "".join(f"  - 'http://{name}'\n" for name in some))
            recipe.flush()
            before = revision(repository)
            begin = time.monotonic()
            subprocess.run([self.go, "convert", recipe.name], check=True, capture_output=True)
            self.note(f"the Go tool, {SMALL} small images (scaled)", 10 * (time.monotonic() - begin))
            self.note("the Go tool: revisions an image", (revision(repository) - before) / len(some))

    def behind_a_large_one(self, registry):
        """Small images that are asked for together with a large one, which is first in the list."""
        names = push_small(registry, 50, "behind")
        with CvmfsRepository() as repository, tempfile.TemporaryDirectory(dir=self.scratch) as state:
            large = f"http://{registry.host}/bench/image:{TAG}"
            before, begin = revision(repository), time.time()
            done = subprocess.Popen([self.ducc, "convert", "--json", "--state-dir", state, "--repo", repository.name, large,
                                     *names], stdout=subprocess.PIPE, text=True, cwd="/")
            for line in done.stdout:
                event = json.loads(line)
                if event["event"] == "result":
                    kind = "large image with 50 small ones" if event["image"].endswith(f":{TAG}") else None
                    if kind:
                        self.note(kind, time.time() - begin)
                    else:
                        self.latencies.append(time.time() - begin)
            if done.wait():
                raise AssertionError("ducc convert failed")
            self.note("large image with 50 small ones: revisions", revision(repository) - before)

    def poll(self, registry):
        """1,000 tags of ten images, unchanged."""
        tags = fill_tags(registry, POLLED)
        with tempfile.TemporaryDirectory(dir=self.scratch) as top:
            convert = [self.ducc, "convert", "-q", "--state-dir", f"{top}/state", "--repo", f"{top}/repo",
                       f"http://{registry.host}/poll/image:*"]
            os.mkdir(f"{top}/repo")
            subprocess.run(convert, check=True, capture_output=True)
            urls = os.path.join(top, "urls")
            with open(urls, "w", encoding="ascii") as out:
                out.writelines(f'url = "http://{registry.host}/v2/poll/image/manifests/{tag}"\noutput = "/dev/null"\n' for tag in tags)
            registry.forget_requests()
            self.timed("poll", lambda: subprocess.run(convert, check=True, capture_output=True))
            counts = registry.count_requests()
            self.note("poll: HEADs a tag", counts.get(("HEAD", "manifests"), 0) / len(tags))
            self.note("poll: other requests", sum(counts.values()) - counts.get(("HEAD", "manifests"), 0))
            accept = "Accept: application/vnd.oci.image.manifest.v1+json"
            self.timed("curl", lambda: subprocess.run(["curl", "-sf", "--parallel", "--parallel-max", "16", "-I", "-H", accept,
                                                       "-K", urls], check=True, stdout=subprocess.DEVNULL))


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
        os.makedirs(path)
        with open(os.path.join(path, "link"), "w", encoding="utf-8") as out:
            out.write(images[number % 10].digest)
    return sorted(os.listdir(folder))


def push(registry, layouts):
    for variant, layout in layouts.items():
        registry.push_layout(layout, TAG, "bench/image", f"{TAG}-{variant}" if variant else TAG)
    manifest = registry.manifest("bench/image", TAG)
    for number in range(TAGS):
        registry.push_manifest("bench/image", f"{TAG}-{number}", manifest, json.loads(manifest)["mediaType"])


def measure(bench, ducc, layouts, spool, scratch, rounds, go, parts):
    """layouts: {"": directory, "update": ..., "rebuild": ...}; parts: which rows, all if empty."""
    aims = Aims(ducc, go, scratch)
    ready = os.path.join(scratch, "ready.tar")
    with Registry() as registry:
        push(registry, layouts)
        bench.run("stream", layouts[""], spool, ready)
        rows = {"images": lambda: aims.images(registry, ready), "small": lambda: aims.small_images(registry),
                "behind": lambda: aims.behind_a_large_one(registry), "poll": lambda: aims.poll(registry)}
        for number in range(rounds):
            print(f"  round {number + 1} of {rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
            for name in parts or rows:
                rows[name]()
    os.unlink(ready)
    return aims


def ratios(found):
    """[(name, Samples, aim)]"""
    return [(name, Samples(found[above]).over(found[below]), aim) for name, (above, below, aim) in AIMS.items()
            if above in found and below in found]


def report(aims):
    rows = [[name, Samples(values).text(form=".3g")] for name, values in aims.found.items()]
    text = table(["work", "seconds, or counts"], rows) + "\n\n"
    rows = [[name, samples.text(form=".3f"), f"{aim:g}", "yes" if samples.median <= aim else "no"]
            for name, samples, aim in ratios(aims.found)]
    text += table(["aim", "measured", "at most", "met"], rows) + "\n"
    if aims.latencies:
        late = sorted(aims.latencies)
        parts = ", ".join(f"{share} %: {late[min(len(late) - 1, len(late) * share // 100)]:.1f} s" for share in (10, 50, 90, 99))
        text += f"\nSmall images asked for together with a large one were public after ({len(late)} of them) {parts}.\n"
    return text


def go_tool(path):
    return shutil.which(path) if path else None
