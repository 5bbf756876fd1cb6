"""Random histories of a repository, against a model of a few dictionaries.

A history publishes, moves and deletes tags, lists and unlists them, lets the registry break down in every way, kills
ducc at any moment, collects, removes and restores, puts the clock forward and loses the state directory. After each
step every image that must be there is there with all its parts, byte for byte; what was removed can come back; and
after a collection nothing is left that nothing has reached for the grace period.

The seed of a history is printed when it fails. DUCC_TEST_SEED=N replays it, DUCC_TEST_HISTORIES=N runs so many (instead
of as many as fit into DUCC_TEST_SECONDS, 50).
"""

import json
import os
import random
import signal
import subprocess
import time
import unittest

from backends import Directory, StandIn
from failing import MisbehavingRegistry, add
from harness import Ducc, Image, IntegrationTest, TarBuilder
from published import APPTAINER, APPTAINER_IF_MISSING, metadata, place

DAY = 86400
STEPS = 30
SECONDS = float(os.environ.get("DUCC_TEST_SECONDS", "50"))
OUTAGES = [{"status": 500}, {"status": 401}, {"status": 403}, {"status": 404}, {"reset": True}, {"cut_after": 7},
           {"corrupt": True}, {"body": b"{}", "status": 200}]
PLACES = ["/manifests/", "/blobs/", "/tags/list", "/v2/"]


class Layer:
    """A few files, and now and then the deletion of one."""

    def __init__(self, rng):
        # Contents come from a small pool: many layers hold files that others hold too.
        self.files = {f"d{rng.randrange(3)}/f{rng.randrange(4)}": b"content %d " % rng.randrange(5) * 50
                      for _ in range(rng.randint(1, 4))}
        self.files[f"own/{rng.getrandbits(64):x}"] = b"%d" % rng.getrandbits(64)
        self.deleted = [path for path in (f"d{rng.randrange(3)}/f{rng.randrange(4)}" for _ in range(rng.randint(0, 1)))
                        if path not in self.files]
        tar = TarBuilder()
        for folder in sorted({os.path.dirname(path) for path in [*self.files, *self.deleted]}):
            tar.dir(folder)
        for path, content in self.files.items():
            tar.file(path, content)
        for path in self.deleted:
            tar.whiteout(path)
        self.bytes = tar.bytes()


class Model:
    """What must be so. Times are seconds since the history began."""

    def __init__(self):
        self.now = 0
        self.upstream = {}      # tag -> image
        self.listed = set()     # tags that the list asks for
        self.public = {}        # tag -> image: these must be there, and no others
        self.removed = {}       # tag -> (image, when): these can be restored
        self.may_go = {}        # tag -> since when it may be taken for unwanted; a collection may take it away
        self.missing = {}       # tag -> when a pass first found it missing upstream
        self.unreached = {}     # unit -> the last time at which a collection can have seen that first
        self.restored = set()   # tags that the command line asks for


def units_of(image, podman=True):
    """Every part of an image, as a path."""
    chains = [one.removeprefix("sha256:") for one in image.chain_ids()]
    config = image.config_digest.removeprefix("sha256:")
    units = {place("layers", one) for one in image.layer_digests}
    units |= {place("chains", image.chain_ids()[-1]), place("flat", image.config_digest)}
    if not podman:
        return units
    return units | {f"podmanStore/overlay/{one}" for one in chains} | {f"podmanStore/overlay-images/{config}"}


def reach_of(image, podman=True):
    """What it keeps: also the chains of its lower layers, where they were published for a smaller image."""
    return units_of(image, podman) | {place("chains", one) for one in image.chain_ids()}


def units_in(root):
    found = set()
    for kind in (".layers", ".chains", ".flat"):
        for top in (os.listdir(f"{root}/{kind}") if os.path.isdir(f"{root}/{kind}") else ()):
            if len(top) == 2:
                found |= {f"{kind}/{top}/{one}" for one in os.listdir(f"{root}/{kind}/{top}") if len(one) == 64}
    for folder in ("podmanStore/overlay", "podmanStore/overlay-images"):
        if os.path.isdir(f"{root}/{folder}"):
            found |= {f"{folder}/{one}" for one in os.listdir(f"{root}/{folder}") if len(one) == 64}
    return found


def files_in(top):
    """{path: content} of a tree's regular files."""
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path) and name != ".cvmfscatalog":
                with open(path, "rb") as source:
                    found[os.path.relpath(path, top)] = source.read()
    return found


def merged(layers):
    files = {}
    for one in layers:
        for path in one.deleted:
            files.pop(path, None)
        files.update(one.files)
    return files


APPTAINERS = {os.fsdecode(path) for path in APPTAINER | APPTAINER_IF_MISSING}


class History:
    def __init__(self, test, backend, seed):
        self.test, self.backend, self.seed = test, backend, seed
        self.rng, self.model, self.steps = random.Random(seed), Model(), []
        self.root = backend.view
        os.makedirs(self.root, exist_ok=True)
        self.server = test.enterContext(MisbehavingRegistry())
        self.ducc = test.enterContext(Ducc(environment=backend.environment()))
        self.layers = [Layer(self.rng) for _ in range(8)]
        self.list = test.path(f"list-{seed}.yaml")
        # Without Podman's store only manifests say what is reached.
        self.podman = self.rng.random() < 0.6
        self.policy = {"retain": self.rng.choice(["forever", "0", "1d"]), "gone_pause": "1d"}
        self.config = test.path(f"config-{seed}.yaml")
        with open(self.config, "w", encoding="utf-8") as out:
            json.dump({"deletion": self.policy}, out)

    # Steps ------------------------------------------------------------------------------------------------------

    def run(self):
        for _ in range(STEPS):
            step = self.rng.choices([self.push, self.untag, self.choose, self.convert, self.convert_in_outage,
                                     self.convert_and_die, self.gc, self.gc_and_die, self.remove, self.restore,
                                     self.wait, self.lose_state], [4, 1, 4, 6, 2, 2, 5, 2, 2, 3, 5, 0.3])[0]
            self.steps.append(step.__name__)
            step()
            self.check()
        self.backend.assert_sound(self.test)

    def env(self):
        return {"DUCC_CLOCK_OFFSET": str(self.model.now)}

    def say(self, text):
        self.steps[-1] += " " + text

    def push(self):
        """A new tag, or one that moves."""
        tag = f"t/{self.rng.choice('ab')}:{self.rng.randrange(4)}"
        chosen = [*self.rng.sample(self.layers, self.rng.randint(1, 3))]
        if self.rng.random() < 0.3:
            chosen.append(Layer(self.rng))
        image = Image([one.bytes for one in chosen], config={"Labels": {"n": str(self.rng.randrange(3))}})
        image.layers = chosen
        add(self.server, *tag.split(":"), image)
        self.model.upstream[tag] = image
        self.model.listed.add(tag)
        self.say(tag)

    def untag(self):
        if not self.model.upstream:
            return
        tag = self.rng.choice(sorted(self.model.upstream))
        repository, name = tag.split(":")
        del self.model.upstream[tag], self.server.manifests[repository, name]
        self.server.tags[repository].remove(name)
        self.say(tag)

    def choose(self):
        """The list is edited."""
        known = sorted(set(self.model.upstream) | set(self.model.public))
        self.model.listed = {tag for tag in known if self.rng.random() < 0.7}
        self.say(" ".join(sorted(self.model.listed)))

    def wait(self):
        self.model.now += self.rng.choice([600, DAY // 2, DAY, 3 * DAY])
        self.say(f"until {self.model.now / DAY:.1f}")

    def lose_state(self):
        self.ducc = self.test.enterContext(Ducc(environment=self.backend.environment()))
        self.model.unreached, self.model.missing, self.model.restored = {}, {}, set()

    # Publishing -------------------------------------------------------------------------------------------------

    def command(self, *arguments):
        return ("convert", "--config", self.config, *([] if self.podman else ["--podman", "none"]), *arguments)

    def write_list(self):
        with open(self.list, "w", encoding="utf-8") as out:
            out.write(f"version: 1\nuser: x\ncvmfs_repo: {self.backend.argument}\noutput_format: x\ninput:\n")
            out.writelines(f"  - 'http://{self.server.host}/{tag}'\n" for tag in sorted(self.model.listed))
        return bool(self.model.listed)

    def note_pass(self, certain=True):
        """What a pass that read the list makes of it."""
        model = self.model
        for tag in model.public:
            wanted = tag in model.listed or tag in model.restored
            if wanted and (certain or tag not in model.may_go):
                model.may_go.pop(tag, None)
            elif not wanted:
                model.may_go.setdefault(tag, model.now)
            if tag in model.upstream:
                if certain:
                    model.missing.pop(tag, None)
            elif tag in model.listed:
                first = model.missing.setdefault(tag, model.now)
                if model.now - first >= DAY:
                    model.may_go.setdefault(tag, first)

    def publish(self, tag, image):
        self.model.public[tag] = image
        self.model.removed.pop(tag, None)

    def convert(self):
        if not self.write_list():
            return
        done = self.ducc.run(*self.command(self.list), env=self.env())
        self.test.assertEqual(done.status, 0 if self.model.listed <= set(self.model.upstream) else 1, done.stderr)
        for tag in self.model.listed & set(self.model.upstream):
            self.publish(tag, self.model.upstream[tag])
        self.note_pass()

    def adopt(self):
        """After a step that may have gone either way: each name leads to what it led to, or to what is upstream."""
        for tag in self.model.listed:
            found = self.image_of(tag)
            allowed = [one.get(tag) for one in (self.model.public, self.model.upstream)]
            self.test.assertIn(found, [one.config_digest if one else None for one in allowed], tag)
            image = next(one for one in allowed if (one.config_digest if one else None) == found)
            if image and found and not (tag in self.model.public
                                        and self.model.public[tag].manifest == self.manifest_of(tag)):
                self.publish(tag, self.model.upstream[tag])

    def convert_in_outage(self):
        if not self.write_list():
            return
        for _ in range(self.rng.randint(1, 2)):
            where, how = self.rng.choice(PLACES), self.rng.choice(OUTAGES)
            self.server.behave(where, times=self.rng.choice([1, 3, None]), **how)
            self.say(f"{where} {how}")
        self.ducc.run(*self.command(self.list), env=self.env())
        self.server.well_behaved()
        self.adopt()
        self.note_pass(certain=False)

    def die(self, arguments):
        """Killed, with all its children but those that are cvmfs_server's own business, at any moment."""
        process = self.ducc.start(*arguments, env=self.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = self.rng.uniform(0, 0.5) ** 1.5
        self.say(f"after {seconds:.3f} s")
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait() == 0

    def convert_and_die(self):
        if not self.write_list():
            return
        self.die(self.command(self.list))
        self.settle()
        self.adopt()
        self.note_pass(certain=False)

    def settle(self):
        """What was left behind is put right by the next run, which does nothing else."""
        self.ducc.run("remove", "--repo", self.backend.argument, "no.such/name:1", env=self.env())
        done = self.ducc.run("gc", "--grace-period", "3000", self.backend.argument, env=self.env())
        self.test.assertEqual(done.status, 0, done.stderr)
        self.take_what_went()

    # Taking away ------------------------------------------------------------------------------------------------

    def take_what_went(self):
        """Names that were allowed to go, and went."""
        for tag in list(self.model.public):
            if self.image_of(tag) is None:
                self.test.assertIn(tag, self.model.may_go, f"{tag} was taken away")
                self.test.assertNotEqual(self.policy["retain"], "forever", f"{tag} was taken away")
                self.model.removed[tag] = (self.model.public.pop(tag), self.model.now)
                del self.model.may_go[tag]

    def gc_arguments(self):
        self.days = self.rng.choice([0, 2])
        limit = ["--limit", str(self.rng.randint(1, 5))] if self.rng.random() < 0.2 else []
        self.say(f"--grace-period {self.days} {' '.join(limit)}")
        return bool(limit), ["gc", "--config", self.config, "--grace-period", str(self.days), *limit,
                             self.backend.argument]

    def expire(self):
        """Removed names that cannot be restored any more."""
        model = self.model
        for tag, (_, when) in list(model.removed.items()):
            if when + self.days * DAY <= model.now:
                del model.removed[tag]

    def gc(self):
        limited, arguments = self.gc_arguments()
        done = self.ducc.run(*arguments, env=self.env())
        self.test.assertEqual(done.status, 0, done.stderr)
        self.take_what_went()
        self.expire()
        if not limited:
            self.check_swept()

    def gc_and_die(self):
        _, arguments = self.gc_arguments()
        self.die(arguments)
        self.settle()
        self.expire()

    def check_swept(self):
        """Nothing is left that nothing has reached for the grace period."""
        model = self.model
        images = [*model.public.values(), *(image for image, _ in model.removed.values())]
        reached = set().union(*(reach_of(image, self.podman) for image in images))
        garbage = units_in(self.root) - reached
        model.unreached = {unit: model.unreached.get(unit, model.now) for unit in garbage}
        old = {unit for unit, since in model.unreached.items() if since + self.days * DAY <= model.now}
        self.test.assertEqual(old, set(), f"left after gc --grace-period {self.days}")

    def remove(self):
        if not self.model.public:
            return
        tag = self.rng.choice(sorted(self.model.public))
        now = self.rng.random() < 0.3
        self.say(tag + (" --now" if now else ""))
        self.ducc.run("remove", *(["--now"] if now else []), "--repo", self.backend.argument,
                      f"{self.server.host}/{tag}", check=0, env=self.env())
        image = self.model.public.pop(tag)
        self.model.may_go.pop(tag, None)
        self.model.missing.pop(tag, None)
        self.model.restored.discard(tag)
        if now:
            self.model.removed.pop(tag, None)
        else:
            self.model.removed[tag] = (image, self.model.now)

    def restore(self):
        if not self.model.removed:
            return
        tag = self.rng.choice(sorted(self.model.removed))
        self.say(tag)
        self.server.forget_requests()
        self.ducc.run("restore", "--repo", self.backend.argument, f"{self.server.host}/{tag}", check=0, env=self.env())
        self.test.assertEqual(self.server.requests, [])
        self.model.public[tag], _ = self.model.removed.pop(tag)
        self.model.restored.add(tag)
        self.model.may_go.pop(tag, None)
        self.model.missing.pop(tag, None)

    # Looking ----------------------------------------------------------------------------------------------------

    def image_of(self, tag):
        path = os.path.join(self.root, self.server.host, tag)
        return "sha256:" + os.path.basename(os.readlink(path)) if os.path.islink(path) else None

    def manifest_of(self, tag):
        return metadata(self.root, f"{self.server.host}/{tag}")

    def check(self):
        top = os.path.join(self.root, self.server.host)
        names = {os.path.relpath(os.path.join(folder, name), top) for folder, folders, files in os.walk(top)
                 for name in [*folders, *files] if os.path.islink(os.path.join(folder, name))}
        self.test.assertEqual(names, set(self.model.public))
        for tag, image in self.model.public.items():
            self.check_image(tag, image)
        there = units_in(self.root)
        for tag, (image, _) in self.model.removed.items():
            self.test.assertEqual(units_of(image, self.podman) - there, set(), f"{tag} could not be restored")
        if self.model.public and self.podman:
            self.check_podman()

    def check_image(self, tag, image):
        self.test.assertEqual(self.image_of(tag), image.config_digest, tag)
        self.test.assertEqual(self.manifest_of(tag), image.manifest, tag)
        self.test.assertEqual(units_of(image, self.podman) - units_in(self.root), set(), tag)
        whole = merged(image.layers)
        flat = files_in(os.path.join(self.root, place("flat", image.config_digest)))
        self.test.assertEqual({path: text for path, text in flat.items() if path not in APPTAINERS}, whole, tag)
        chain = os.path.join(self.root, place("chains", image.chain_ids()[-1]))
        self.test.assertEqual(files_in(chain), whole, tag)
        for digest, one in zip(image.layer_digests, image.layers, strict=True):
            layerfs = os.path.join(self.root, place("layers", digest), "layerfs")
            self.test.assertEqual(files_in(layerfs), one.files, f"{tag}: {digest}")

    def check_podman(self):
        store = os.path.join(self.root, "podmanStore")
        with open(f"{store}/overlay-images/images.json", encoding="utf-8") as source:
            images = json.load(source)
        with open(f"{store}/overlay-layers/layers.json", encoding="utf-8") as source:
            layers = {one["id"]: one for one in json.load(source)}
        names = {name: one["id"] for one in images for name in one.get("names") or []}
        expected = {f"{self.server.host}/{tag}": image.config_digest.removeprefix("sha256:")
                    for tag, image in self.model.public.items()}
        self.test.assertEqual(names, expected)
        for image in images:
            layer = image.get("layer")
            while layer:
                self.test.assertIn(layer, layers, image["id"])
                self.test.assertTrue(os.path.isdir(f"{store}/overlay/{layer}/diff/"), layer)
                layer = layers[layer].get("parent")


class HistoriesTest(IntegrationTest):
    def histories(self, make, share):
        seed = os.environ.get("DUCC_TEST_SEED")
        if seed:
            return self.history(make, int(seed))
        count, end = os.environ.get("DUCC_TEST_HISTORIES"), time.monotonic() + SECONDS * share
        first = random.SystemRandom().randrange(1 << 32)
        done = 0
        while done < int(count) if count else done == 0 or time.monotonic() < end:
            self.history(make, first + done)
            done += 1
        print(f"{make.kind}: {done} histories of {STEPS} steps, from seed {first}")

    def history(self, make, seed):
        top = self.path(f"{make.kind}-{seed}")
        os.mkdir(top)
        backend = make(top)
        history = History(self, backend, seed)
        try:
            history.run()
        except BaseException:
            print(f"{make.kind}: seed {seed}, {history.policy}:\n  " + "\n  ".join(history.steps), flush=True)
            raise
        finally:
            history.server.stop()
            backend.close()

    def test_histories_of_a_directory(self):
        self.histories(Directory, 0.6)

    def test_histories_of_a_cvmfs_repository(self):
        self.histories(StandIn, 0.4)


if __name__ == "__main__":
    unittest.main()
