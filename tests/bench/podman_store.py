#!/usr/bin/env python3
"""What it costs to add one image to a Podman store that holds 10, 1,000 and 10,000 already.

    DUCC_BINARY=… tests/bench/podman_store.py [NUMBER...]

The store is filled with records like those of real images (4 layers each), the image is one of 4 small layers, and the
back end is a directory. Printed is the median of five runs, each adding another image, and what of it an empty store does
not cost: reading and writing the two JSON files.
"""

import hashlib
import json
import os
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../integration"))

from harness import Ducc, Registry, TarBuilder      # noqa: E402

ROUNDS = 5


def name_of(*words):
    return hashlib.sha256(" ".join(map(str, words)).encode()).hexdigest()


def image_record(number):
    image, manifest = name_of("image", number), name_of("manifest", number)
    sizes = {f"sha256:{image}": 8000, f"manifest-sha256:{manifest}": 1200, "manifest": 1200, f"signature-{manifest}": 0}
    names = [f"registry.example.org/group/project-{number % 500}:{number}"]
    return {"id": image, "digest": f"sha256:{manifest}", "names": names, "names-history": names, "layer": name_of("layer", number, 3),
            "big-data-names": list(sizes), "big-data-sizes": sizes,
            "big-data-digests": {key: f"sha256:{name_of(key)}" for key in sizes},
            "metadata": json.dumps({"signatures-sizes": {f"sha256:{manifest}": []}}), "created": "2024-01-01T00:00:00Z"}


def layer_record(number, level):
    record = {"id": name_of("layer", number, level), "created": "2024-01-01T00:00:00Z",
              "compressed-diff-digest": f"sha256:{name_of('blob', number, level)}", "compressed-size": 123456,
              "diff-digest": f"sha256:{name_of('diff', number, level)}", "diff-size": 654321, "compression": 2,
              "uidset": [0, 33], "gidset": [0, 33]}
    return {**record, "parent": name_of("layer", number, level - 1)} if level else record


def fill(store, count):
    """Records only: adding an image looks at nothing else of the others."""
    for kind, records in (("images", [image_record(number) for number in range(count)]),
                          ("layers", [layer_record(number, level) for number in range(count) for level in range(4)])):
        os.makedirs(os.path.join(store, f"overlay-{kind}"))
        for name, text in ((f"{kind}.json", json.dumps(records, separators=(",", ":"))), (f"{kind}.lock", "")):
            with open(os.path.join(store, f"overlay-{kind}", name), "w", encoding="ascii") as out:
                out.write(text)


def push(registry, number):
    layers = [TarBuilder().dir("d").file(f"d/{level}", f"{number} {level}").bytes() for level in range(4)]
    registry.push_image("bench/small", str(number), layers)
    return f"http://{registry.host}/bench/small:{number}"


def measure(count):
    """(seconds, revisions) of the runs that add one image each."""
    with tempfile.TemporaryDirectory(prefix="podman-store-") as top, Registry() as registry, Ducc() as ducc:
        fill(os.path.join(top, "repository/podmanStore"), count)
        times, commits = [], 0
        for number in range(ROUNDS + 1):
            name = push(registry, number)
            begin = time.monotonic()
            result = ducc.run("convert", "--repo", os.path.join(top, "repository"), name, check=True)
            times.append(time.monotonic() - begin)
            commits += result.stdout.count("published in 1 revision")
        sizes = [os.path.getsize(os.path.join(top, f"repository/podmanStore/overlay-{kind}/{kind}.json"))
                 for kind in ("images", "layers")]
        return statistics.median(times[1:]), commits / len(times), sum(sizes)


def main():
    counts = [int(word) for word in sys.argv[1:]] or [10, 1000, 10000]
    print("| images in the store | both lists | adding one | more than into an empty one | revisions |")
    print("|---|---|---|---|---|")
    empty = measure(0)[0]
    for count in counts:
        seconds, revisions, size = measure(count)
        print(f"| {count:,} | {size / 1e6:.1f} MB | {seconds:.2f} s | {seconds - empty:.2f} s | {revisions:g} |", flush=True)


if __name__ == "__main__":
    main()
