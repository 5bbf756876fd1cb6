#!/usr/bin/python3 -B
"""What it costs to find out that nothing has changed: ducc beside `skopeo inspect` and a loop of `curl -I`.

    tests/bench/poll.py DUCC [TAGS]

A docker-registry on loopback holds TAGS tags (default 1000) of ten images. Each way asks for all of them; skopeo and the
loop of curl, which start a process a tag, are measured on a tenth and scaled. The registry's log counts requests.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../integration"))

from harness import Registry, TarBuilder    # noqa: E402


def fill(registry, count):
    images = [registry.push_image("a/b", f"i{n}", [TarBuilder().file("f", str(n).encode()).bytes()]) for n in range(10)]
    folder = os.path.dirname(registry.tag_path("a/b", "i0"))
    for number in range(count - 10):
        path = os.path.join(folder, f"t{number}", "current")
        os.makedirs(path)
        with open(os.path.join(path, "link"), "w", encoding="utf-8") as out:
            out.write(images[number % 10].digest)
    return sorted(os.listdir(folder))


def measure(registry, name, work, scale=1):
    registry.forget_requests()
    before, start = os.times(), time.monotonic()
    work()
    wall, after = time.monotonic() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    counts = registry.count_requests()
    text = ", ".join(f"{number * scale} {method} {kind}" for (method, kind), number in sorted(counts.items()))
    print(f"| {name} | {wall * scale:.2f} s | {cpu * scale:.2f} s | {text} |", flush=True)


def main():
    ducc, count = os.path.realpath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    top = tempfile.mkdtemp(prefix="ducc-poll-")
    try:
        with Registry() as registry:
            tags = fill(registry, count)
            name = f"http://{registry.host}/a/b:*"
            convert = [ducc, "convert", "-q", "--state-dir", f"{top}/state", "--repo", f"{top}/repo", name]
            subprocess.run(convert, check=True, capture_output=True)
            print(f"| {count} unchanged tags | wall time | CPU time | requests |\n|---|---|---|---|")
            measure(registry, "ducc convert", lambda: subprocess.run(convert, check=True, capture_output=True))
            some = tags[::10]
            measure(registry, "skopeo inspect, one a tag", lambda: [
                subprocess.run(["skopeo", "inspect", "--no-tags", "--tls-verify=false",
                                f"docker://{registry.host}/a/b:{tag}"], check=True, capture_output=True)
                for tag in some], 10)
            accept = "Accept: application/vnd.oci.image.manifest.v1+json"
            measure(registry, "curl -I, one a tag", lambda: [
                subprocess.run(["curl", "-sfI", "-H", accept, f"http://{registry.host}/v2/a/b/manifests/{tag}"],
                               check=True, capture_output=True) for tag in some], 10)
    finally:
        shutil.rmtree(top)


if __name__ == "__main__":
    main()
