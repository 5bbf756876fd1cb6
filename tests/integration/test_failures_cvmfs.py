"""cvmfs_server that fails, at each step; repositories that are busy, missing, or somebody else's turn."""

import os
import signal
import time
import unittest

from backends import Directory, StandIn
from failing import FailureTest, add, layer, noise
from harness import Image, stop_process
from published import layer_place


class IngestFailureTest(FailureTest):
    STEPS = {"ingest-start": "Impossible to start a transaction", "ingest-read": "injected|ingest-read",
             "ingest-commit": "injected|ingest-commit", "ingest-commit-open": "Open file descriptors"}

    def setUp(self):
        super().setUp()
        self.source = self.misbehaving()
        self.backend = StandIn(self.scratch)

    def push(self, name, *layers):
        return add(self.source, name, "t", Image([layer(one) for one in layers], config={"Cmd": [name]}))

    def name(self, image):
        return f"{self.source.host}/{image}:t"

    def test_each_step(self):
        image = self.push("a", "one", "two")
        ducc = self.ducc(self.backend)
        before, view = self.backend.revision(), self.backend.tree()
        for step, message in self.STEPS.items():
            with self.subTest(step):
                environment = {"CVMFS_STANDIN_FAIL": step, "CVMFS_STANDIN_FAIL_AFTER": 10}
                self.convert(self.backend, self.name("a"), status=1, env=environment, ducc=ducc)
                self.assert_fails(self.name("a"), "cvmfs_server ingest", self.backend.name, message)
                self.assertNotIn("Executed Command", self.errors[self.name("a")])
                self.backend.assert_sound(self)
                self.assertEqual((self.backend.revision(), self.backend.tree()), (before, view))
                opened = step == "ingest-commit-open"
                self.assertEqual(len(self.backend.log("abort")), 1 if opened else 0, "the transaction to be aborted")
        self.convert(self.backend, self.name("a"), ducc=ducc)
        self.assert_published(self.backend, self.name("a"), image)
        self.assertEqual(self.backend.revision(), before + 1)
        self.backend.assert_sound(self)

    def test_steps_with_a_stream_larger_than_any_pipe(self):
        """An ingest that ends while ducc is still writing: its own words count, not ducc's broken pipe."""
        add(self.source, "a", "t", Image([noise("big", 8_000_000)], compression="none"))
        for step in ("ingest-start", "ingest-read"):
            with self.subTest(step):
                environment = {"CVMFS_STANDIN_FAIL": step, "CVMFS_STANDIN_FAIL_AFTER": 2}
                self.convert(self.backend, self.name("a"), status=1, env=environment)
                self.assert_fails(self.name("a"), self.STEPS[step])
                self.assertNotRegex(self.errors[self.name("a")], "(?i)broken pipe")
                self.backend.assert_sound(self)

    def test_one_image_of_a_group_breaks_the_ingest(self):
        images = {f"image{number}": self.push(f"image{number}", "shared", f"own{number}") for number in range(7)}
        environment = {"CVMFS_STANDIN_FAIL": "ingest-read", "CVMFS_STANDIN_FAIL_MATCH": "image4:t"}
        result = self.convert(self.backend, *map(self.name, images), status=1, env=environment)
        self.assertEqual(list(self.errors), [self.name("image4")])
        self.assert_fails(self.name("image4"), "cvmfs_server ingest")
        bad = images.pop("image4")
        for name, image in images.items():
            self.assert_published(self.backend, self.name(name), image)
        for path in (self.name("image4"), layer_place(bad.layer_digests[1])):
            self.assertFalse(os.path.lexists(os.path.join(self.backend.view, path)), path)
        self.assertIn("trying again", result.stderr)
        self.backend.assert_sound(self)
        self.convert(self.backend, self.name("image4"))
        self.assert_published(self.backend, self.name("image4"), bad)


class UnusableRepositoryTest(FailureTest):
    def setUp(self):
        super().setUp()
        self.source = self.misbehaving()
        self.image = add(self.source, "a", "t", Image([layer("one")]))

    def refuse(self, repository, *words, ducc, env=None):
        """Status 3, with a message that holds these words, and no blob is asked for."""
        self.source.forget_requests()
        result = ducc.run("convert", "--repo", repository, f"http://{self.source.host}/a:t", env=env, check=3)
        for word in words:
            self.assertRegex(result.stderr, word)
        self.assertEqual(self.source.seen("/blobs/"), [])
        return result

    def test_a_transaction_of_somebody_else(self):
        backend = StandIn(self.scratch)
        ducc = self.ducc(backend)
        marker = os.path.join(backend.spool, "in_transaction.lock")
        with backend.open_transaction_of_somebody():
            with open(os.path.join(backend.path, "their-file"), "w", encoding="ascii") as out:
                out.write("unsaved work")
            before = os.stat(marker)
            self.refuse(backend.argument, backend.argument, "transaction", "abort", ducc=ducc)
            self.assertEqual(os.stat(marker), before)
            self.assertEqual(backend.log("abort"), [])
            self.assertTrue(os.path.exists(os.path.join(backend.path, "their-file")))
        self.convert(backend, f"{self.source.host}/a:t", ducc=ducc)
        self.assert_published(backend, f"{self.source.host}/a:t", self.image)

    def test_a_transaction_opened_while_blobs_are_fetched(self):
        backend = StandIn(self.scratch)
        self.source.behave("/blobs/", delay=1.5)
        process = self.ducc(backend).start("convert", "--repo", backend.argument, f"http://{self.source.host}/a:t",
                                           stderr=-1, stdout=-1)
        while not self.source.seen("/blobs/"):
            time.sleep(0.02)
        with backend.open_transaction_of_somebody():
            output, errors = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 3, (output, errors))
            self.assertIn(b"transaction", errors)
            self.assertTrue(backend.in_transaction())
            self.assertEqual(backend.log("abort"), [])
        self.convert(backend, f"{self.source.host}/a:t")
        self.assert_published(backend, f"{self.source.host}/a:t", self.image)

    def test_a_missing_repository(self):
        backend = StandIn(self.scratch)
        self.refuse("other.test.example", "other.test.example", "mkfs", ducc=self.ducc(backend))

    def test_a_missing_cvmfs_server(self):
        for path in ("/nonexistent", ""):
            self.refuse("images.test.example", "cvmfs_server", "installed", ducc=self.ducc(), env={"PATH": path})

    def test_a_file_instead_of_a_directory(self):
        with open(self.path("file"), "w", encoding="ascii"):
            pass
        self.refuse(self.path("file"), self.path("file"), "(?i)not a directory", ducc=self.ducc())

    def test_standing_inside_the_repository(self):
        """CernVM-FS would ask a question on the very input that the tar comes by."""
        backend = StandIn(self.scratch)
        result = self.ducc(backend).run("convert", "--repo", backend.argument, f"http://{self.source.host}/a:t",
                                        cwd=backend.path, check=3)
        self.assertIn("working directory", result.stderr)
        backend.assert_sound(self)

    def test_a_second_ducc_on_the_same_repository(self):
        for backend in (Directory(self.scratch), StandIn(self.scratch)):
            with self.subTest(backend.kind):
                self.source.well_behaved()
                self.source.behave("/blobs/", delay=60)
                ducc = self.ducc(backend)
                before = len(self.source.seen("/blobs/"))
                first = ducc.start("convert", "--repo", backend.argument, f"http://{self.source.host}/a:t", stdout=-1,
                                   stderr=-1)
                try:
                    while len(self.source.seen("/blobs/")) == before:
                        time.sleep(0.02)
                    self.refuse(backend.argument, f"process {first.pid}", ducc=ducc)
                    if backend.kind == "directory":     # the same place by another name is the same repository
                        os.symlink(backend.argument, self.path("other-name"))
                        self.refuse(self.path("other-name"), f"process {first.pid}", ducc=ducc)
                finally:
                    first.send_signal(signal.SIGTERM)
                    first.communicate(timeout=30)
                    stop_process(first)
                self.source.well_behaved()
                self.convert(backend, f"{self.source.host}/a:t", ducc=ducc)
                self.assert_published(backend, f"{self.source.host}/a:t", self.image)

    def test_two_repositories_at_a_time(self):
        """One lock a repository: another one is not held up."""
        self.source.behave("/slow/blobs/", delay=60)
        add(self.source, "slow", "t", Image([layer("slow")]))
        ducc = self.ducc()
        first = ducc.start("convert", "--repo", self.path("one"), f"http://{self.source.host}/slow:t", stdout=-1, stderr=-1)
        try:
            while not self.source.seen("/slow/blobs/"):
                time.sleep(0.02)
            ducc.run("convert", "--repo", self.path("two"), f"http://{self.source.host}/a:t", check=True, timeout=30)
        finally:
            first.kill()
            first.communicate()


if __name__ == "__main__":
    unittest.main()
