"""The stand-in for cvmfs_server keeps to what the real one was seen to do: one test a fact."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from cvmfs import STANDIN, StandInRepository    # noqa: E402
from tarbuilder import TarBuilder               # noqa: E402
from trees import tree                          # noqa: E402


def wait_until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("waited in vain")
        time.sleep(0.02)


class StandInTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="standin-")
        self.addCleanup(directory.cleanup)
        self.repository = StandInRepository(directory.name).create()

    def publish(self, builder, *options, **how):
        done = self.repository.ingest(builder.bytes(), *options, **how)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done

    def refuse(self, builder, text, *options, **how):
        """The ingest fails, says why, and leaves everything as it was."""
        before = self.repository.revision(), self.repository.tree()
        data = builder if isinstance(builder, bytes) else builder.bytes()
        done = self.repository.ingest(data, *options, **how)
        self.assertEqual(done.returncode, 1)
        self.assertIn(text, done.stderr.decode())
        self.assertEqual((self.repository.revision(), self.repository.tree()), before)
        self.assertFalse(self.repository.in_transaction())

    def content(self, path):
        with open(os.path.join(self.repository.client, path), "rb") as source:
            return source.read()


class Publishing(StandInTest):
    def test_one_ingest_is_one_revision(self):
        self.publish(TarBuilder().dir("d").file("d/f", b"x").symlink("d/s", "f"))
        self.assertEqual(self.repository.revision(), 2)
        self.assertEqual(self.content("d/f"), b"x")
        self.assertEqual(self.repository.log("ingest")[0]["entries"], {"dir": 1, "file": 1, "symlink": 1})

    def test_attributes_are_kept(self):
        self.publish(TarBuilder().dir("d", 0o1770, uid=1, gid=2, mtime=5).file("d/f", b"", 0o6000, uid=3, gid=4, mtime=9)
                     .fifo("d/p", uid=5).char("d/c", 1, 3).block("d/b", 7, 0).file(b"d/\xff\xe9", b"n"))
        found = self.repository.tree()
        self.assertEqual(found[b"d"][:5], ("dir", 0o1770, 1, 2, 5))
        self.assertEqual(found[b"d/f"][:5], ("file", 0o6000, 3, 4, 9))
        self.assertEqual((found[b"d/p"].type, found[b"d/p"].uid), ("fifo", 5))
        self.assertEqual((found[b"d/c"].rdev, found[b"d/b"].rdev), ((1, 3), (7, 0)))
        self.assertIn(b"d/\xff\xe9", found)

    def test_without_k_the_owner_of_the_repository_owns_all(self):
        done = self.repository.call("ingest", "-b", "/", "-t", "-", self.repository.name,
                                    stdin=TarBuilder().dir("d", uid=9).bytes())
        self.assertEqual((done.returncode, self.repository.tree()[b"d"].uid), (0, os.getuid()))

    def test_user_without_group_publishes_nothing(self):
        done = self.repository.call("ingest", "-u", "root", "-b", "/", "-t", "-", self.repository.name,
                                    stdin=TarBuilder().dir("d").bytes())
        self.assertEqual((done.returncode, self.repository.tree()), (0, {}))

    def test_xattrs_are_not_carried(self):
        self.publish(TarBuilder().dir("d").file("d/f", b"", pax={"SCHILY.xattr.user.a": "b"}))
        self.assertNotIn("user.a", os.listxattr(os.path.join(self.repository.client, "d/f")))

    def test_mtime_in_whole_seconds(self):
        self.publish(TarBuilder().dir("d").file("d/f", b"", mtime=1500000000.75))
        self.assertEqual(os.stat(os.path.join(self.repository.client, "d/f")).st_mtime_ns, 1500000000 * 10 ** 9)

    def test_unnamed_parents_belong_to_nobody(self):
        self.publish(TarBuilder().file("a/b/f", b""))
        self.assertEqual(self.repository.tree()[b"a"][:4], ("dir", 0o755, 65534, 65534))

    def test_long_names_and_large_numbers(self):
        for style in ("gnu", "pax"):
            name = "d/" + style + "n" * 180
            self.publish(TarBuilder(long_names=style).dir("d").file(name, b"1", uid=2 ** 31 + 1))
            self.publish(TarBuilder(long_names=style).dir("d").hardlink("d/link" + style, name))
            self.assertEqual(self.repository.tree()[b"d/link" + style.encode()].uid, 2 ** 31 + 1)

    def test_a_whiteout_device_is_hidden_from_the_publisher_only(self):
        self.publish(TarBuilder().dir("d").char("d/gone", 0, 0))
        self.assertEqual(self.repository.tree()[b"d/gone"].rdev, (0, 0))
        self.assertEqual(os.listdir(os.path.join(self.repository.path, "d")), [])

    def test_both_views_are_equal_else(self):
        self.publish(TarBuilder().dir("d", mtime=7).file("d/f", b"x").symlink("d/s", "f").fifo("d/p"))
        self.assertEqual(tree(self.repository.path), self.repository.tree())

    def test_base_directory(self):
        self.publish(TarBuilder().dir("d").file("d/f", b"x").hardlink("g", "d/f"), base="some/where")
        self.assertEqual(self.content("some/where/g"), b"x")

    def test_catalog_option(self):
        self.publish(TarBuilder().dir("d"), "-c", base="new")
        self.assertEqual(self.content("new/.cvmfscatalog"), b"")

    def test_a_directory_keeps_its_time_when_children_come(self):
        self.publish(TarBuilder().dir("d", mtime=100).file("d/a", b""))
        self.publish(TarBuilder().file("d/b", b""))
        self.assertEqual(self.repository.tree()[b"d"].mtime, 100)


class Replacing(StandInTest):
    def test_a_directory_that_is_there_keeps_its_attributes(self):
        self.publish(TarBuilder().dir("d", 0o700).file("d/f", b""))
        self.publish(TarBuilder().dir("d", 0o755, uid=4, mtime=3).file("d/g", b""))
        self.assertEqual(self.repository.tree()[b"d"].mode, 0o700)

    def test_the_first_entry_of_a_new_directory_counts(self):
        self.publish(TarBuilder().dir("d", 0o700).dir("d", 0o755).file("e/f", b"").dir("e", uid=4))
        found = self.repository.tree()
        self.assertEqual((found[b"d"].mode, found[b"e"].uid), (0o700, 65534))

    def test_a_catalog_gives_its_directory_the_attributes_of_the_last_entry(self):
        self.publish(TarBuilder().dir("d", 0o700).dir("e", 0o700))
        self.publish(TarBuilder().dir("d", 0o755, uid=4).file("d/.cvmfscatalog", b"").file("e/.cvmfscatalog", b""))
        found = self.repository.tree()
        self.assertEqual((found[b"d"][1:4], found[b"e"][1:4]), ((0o755, 4, 0), (0o755, 65534, 65534)))

    def test_directories_are_replaced_by_files_and_links(self):
        self.publish(TarBuilder().dir("d").dir("d/a").file("d/a/x", b"").dir("d/b").file("d/b/x", b"").file("d/f", b""))
        self.publish(TarBuilder().file("d/a", b"").hardlink("d/b", "d/f"))
        kinds = {path: node.type for path, node in self.repository.tree().items()}
        self.assertEqual(kinds, {b"d": "dir", b"d/a": "file", b"d/b": "file", b"d/f": "file"})
        self.assertEqual(len(self.repository.damage()), 1)      # of the link only

    def test_symlink_over_symlink(self):
        self.publish(TarBuilder().dir("d").symlink("d/s", "one"))
        self.publish(TarBuilder().symlink("d/s", "two"))
        self.assertEqual(self.repository.tree()[b"d/s"].target, b"two")

    def test_file_over_file(self):
        self.publish(TarBuilder().dir("d").file("d/f", b"one").hardlink("d/g", "d/f"))
        self.publish(TarBuilder().file("d/f", b"two"))
        self.assertEqual((self.content("d/f"), self.content("d/g")), (b"two", b"one"))

    def test_directory_over_file_is_dropped_silently(self):
        self.publish(TarBuilder().dir("d").file("d/x", b"x").symlink("d/s", "x"))
        self.publish(TarBuilder().dir("d/x").file("d/x/child", b"").dir("d/s"))
        self.assertEqual(self.repository.tree()[b"d/x"].type, "file")
        self.assertEqual(len(self.repository.damage()), 3)     # two entries dropped, one dangling
        self.assertEqual(self.repository.call("check", "-i", self.repository.name).returncode, 1)

    def test_base_directory_that_is_a_file(self):
        self.publish(TarBuilder().dir("d").file("d/x", b"x"))
        done = self.repository.ingest(TarBuilder().file("f", b"").bytes(), base="d/x")
        self.assertEqual((done.returncode, bool(self.repository.damage())), (0, True))

    def test_dot_dot_is_taken_literally_in_a_new_directory(self):
        self.publish(TarBuilder().dir("d").file("d/../x", b""))
        self.assertEqual((sorted(self.repository.tree()), len(self.repository.damage())), ([b"d"], 1))
        self.refuse(TarBuilder().file("d/../y", b""), "d/../y")

    def test_an_entry_below_an_old_symlink_or_file_dangles(self):
        self.publish(TarBuilder().dir("d").symlink("d/s", ".").file("d/f", b""))
        self.publish(TarBuilder().file("d/s/x", b"").file("d/f/x", b""))
        self.assertEqual(sorted(self.repository.tree()), [b"d", b"d/f", b"d/s"])
        self.assertEqual(self.repository.call("check", "-i", self.repository.name).returncode, 1)

    def test_a_name_too_long(self):
        self.publish(TarBuilder().dir("d").file("d/" + "n" * 256, b""))
        self.assertEqual((len(self.repository.tree()), len(self.repository.damage())), (1, 1))

    def test_a_sound_repository_passes_the_check(self):
        self.publish(TarBuilder().dir("d"))
        self.assertEqual(self.repository.call("check", "-i", self.repository.name).returncode, 0)


class Links(StandInTest):
    def test_to_content_of_the_same_tar_before_or_after(self):
        self.publish(TarBuilder().dir("d").hardlink("d/a", "d/f").file("d/f", b"x", 0o600, uid=3, mtime=4))
        self.assertEqual(self.repository.tree()[b"d/a"], self.repository.tree()[b"d/f"])

    def test_to_content_of_an_earlier_revision(self):
        self.publish(TarBuilder().dir("d").file("d/f", b"x").symlink("d/s", "f").fifo("d/p").char("d/c", 0, 0))
        self.publish(TarBuilder().dir("e").hardlink("e/f", "d/f").hardlink("e/s", "d/s").hardlink("e/p", "d/p")
                     .hardlink("e/c", "d/c"))
        found = self.repository.tree()
        self.assertEqual([found[b"e/" + name] for name in (b"f", b"s", b"p", b"c")],
                         [found[b"d/" + name] for name in (b"f", b"s", b"p", b"c")])

    def test_a_link_to_a_link_needs_a_target_that_sorts_first(self):
        self.publish(TarBuilder().dir("d").file("d/a", b"x").hardlink("d/b", "d/a").hardlink("d/c", "d/b"))
        self.assertEqual(self.content("d/c"), b"x")
        self.refuse(TarBuilder().dir("e").file("e/z", b"x").hardlink("e/b", "e/z").hardlink("e/c", "e/b"), "e/b")

    def test_target_missing(self):
        self.refuse(TarBuilder().dir("d").file("d/f", b"").hardlink("d/g", "d/nothing"), "d/nothing")

    def test_target_is_a_directory(self):
        self.refuse(TarBuilder().dir("d").hardlink("d/g", "d"), "directory")

    def test_in_the_root_directory(self):
        self.refuse(TarBuilder().dir("d").file("d/f", b"").hardlink("g", "d/f"), "g")

    def test_target_deleted_by_the_same_ingest(self):
        self.publish(TarBuilder().dir("d").file("d/f", b""))
        self.refuse(TarBuilder().dir("e").hardlink("e/g", "d/f"), "d/f", "-d", "d")

    def test_to_a_split_file_is_silent_damage(self):
        self.publish(TarBuilder().dir("d").file("d/f", b"large"))
        self.repository.chunk("d/f")
        self.publish(TarBuilder().dir("e").hardlink("e/g", "d/f"))
        self.assertEqual(len(self.repository.damage()), 1)

    def test_ingest_never_splits_and_publish_does(self):
        size = 17 << 20
        self.publish(TarBuilder().dir("d").file("d/f", bytes(size)))
        with self.repository.change() as path:
            with open(os.path.join(path, "big"), "wb") as out:
                out.truncate(size)
        counts = [os.getxattr(os.path.join(self.repository.client, name), "user.chunks") for name in ("d/f", "big")]
        self.assertEqual(counts, [b"1", b"2"])


class BadStreams(StandInTest):
    def test_the_same_file_twice(self):
        self.refuse(TarBuilder().dir("d").file("d/f", b"1").file("d/f", b"2"), "d/f")

    def test_an_entry_below_a_symlink_of_the_same_tar(self):
        self.refuse(TarBuilder().dir("d").symlink("d/new", ".").file("d/new/x", b""), "d/new")

    def test_truncated(self):
        whole = TarBuilder().dir("d").file("d/f", b"x" * 5000).bytes(end=False)
        self.refuse(whole[:2000], "Truncated")
        self.refuse(whole[:700], "Truncated")

    def test_an_end_at_an_entry_is_an_end(self):
        """libarchive takes it so: whoever cancels by closing the pipe must leave an entry incomplete."""
        done = self.repository.ingest(TarBuilder().dir("d").bytes(end=False))
        self.assertEqual((done.returncode, list(self.repository.tree())), (0, [b"d"]))

    def test_no_tar(self):
        self.refuse(b"rubbish" * 500, "archive")

    def test_empty_input_is_an_empty_revision(self):
        done = self.repository.ingest(b"")
        self.assertEqual((done.returncode, self.repository.tree(), self.repository.revision()), (0, {}, 2))


class Deleting(StandInTest):
    def delete(self, *paths):
        options = [part for path in paths for part in ("-d", path)]
        return self.repository.call("ingest", *options, self.repository.name)

    def setUp(self):
        super().setUp()
        self.publish(TarBuilder().dir("d").dir("d/t").file("d/t/f", b"").char("d/t/w", 0, 0).file("d/a:b", b"")
                     .file("d/k", b""))

    def test_a_tree(self):
        self.assertEqual(self.delete("d/t").returncode, 0)
        self.assertEqual(sorted(self.repository.tree()), [b"d", b"d/a:b", b"d/k"])
        self.assertEqual(sorted(os.listdir(os.path.join(self.repository.path, "d"))), ["a:b", "k"])

    def test_several(self):
        self.delete("d/t", "d/k")
        self.assertEqual(sorted(self.repository.tree()), [b"d", b"d/a:b"])

    def test_missing_is_a_warning(self):
        done = self.delete("d/nothing")
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"cannot be deleted", done.stderr)

    def test_a_colon_splits_the_path(self):
        self.assertEqual(self.delete("d/a:b").returncode, 0)
        self.assertIn(b"d/a:b", self.repository.tree())

    def test_a_colon_in_a_transaction(self):
        with self.repository.change() as path:
            os.unlink(os.path.join(path, "d/a:b"))
        self.assertNotIn(b"d/a:b", self.repository.tree())
        self.assertIn(b"d/t/w", self.repository.tree())

    def test_deleting_and_adding_the_same_in_one_ingest_fails(self):
        self.refuse(TarBuilder().file("x", b""), "", "-d", "d", base="d")
        self.refuse(TarBuilder().file("d/k", b""), "", "-d", "d/k")
        self.publish(TarBuilder().dir("d/t"), "-d", "d/t")
        self.assertNotIn(b"d/t", self.repository.tree())

    def test_twice_or_with_a_leading_slash_fails(self):
        for paths in (("d/t", "d/t"), ("d/t", "d/t/f"), ("d/t/f", "d/t"), ("/d/t",)):
            self.assertEqual(self.delete(*paths).returncode, 1)


class Transactions(StandInTest):
    def test_ingest_in_a_transaction_fails_before_it_reads(self):
        with self.repository.open_transaction_of_somebody():
            process = subprocess.Popen(
                [os.path.join(STANDIN, "cvmfs_server"), "ingest", "-k", "-b", "/", "-t", "-", self.repository.name],
                stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=self.repository.environment())
            self.assertEqual(process.wait(10), 1)   # although nobody has closed its input
            messages = process.stderr.read()
            process.stderr.close()
            with self.assertRaises(BrokenPipeError):
                os.write(process.stdin.fileno(), b"x")
            process.stdin.close()
        self.assertIn(b"another transaction is already open", messages)
        self.assertIn(b"Impossible to start a transaction", messages)

    def test_a_second_transaction_is_17(self):
        with self.repository.open_transaction_of_somebody():
            done = self.repository.call("transaction", self.repository.name)
            self.assertEqual(done.returncode, 17)
            self.assertIn(b"another transaction is already open", done.stderr)
            self.assertIn(b"(stratum0 / local - in transaction)", self.repository.call("list").stdout)

    def test_other_states_of_transaction(self):
        name = self.repository.name
        self.assertEqual(self.repository.call("transaction", name + "/no/where").returncode, 2)
        self.assertEqual(self.repository.call("transaction", "-T", "no=where", name).returncode, 22)
        self.assertEqual(self.repository.call("transaction", "no.such.repository").returncode, 1)
        self.assertFalse(self.repository.in_transaction())

    def test_a_template_clones_a_tree(self):
        self.publish(TarBuilder().dir("d").file("d/f", b"x"))
        self.repository.server("transaction", "-T", "d=e", self.repository.name)
        self.repository.server("publish", self.repository.name)
        self.assertEqual(self.content("e/f"), b"x")

    def test_publish(self):
        with self.repository.change() as path:
            os.mkdir(os.path.join(path, "d"))
            with open(os.path.join(path, "d", "f"), "w", encoding="ascii") as out:
                out.write("x")
        self.assertEqual((self.content("d/f"), self.repository.revision()), (b"x", 2))

    def test_publish_replaces_a_file_by_a_directory_and_back(self):
        self.publish(TarBuilder().dir("d").file("d/x", b"").dir("d/y").file("d/y/f", b""))
        with self.repository.change() as path:
            os.unlink(path + "/d/x")
            os.mkdir(path + "/d/x")
            os.unlink(path + "/d/y/f")
            os.rmdir(path + "/d/y")
            os.symlink("x", path + "/d/y")
        kinds = {path: node.type for path, node in self.repository.tree().items()}
        self.assertEqual(kinds, {b"d": "dir", b"d/x": "dir", b"d/y": "symlink"})

    def test_publish_without_a_transaction(self):
        done = self.repository.call("publish", self.repository.name)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"is not in a transaction", done.stderr)

    def test_abort_restores(self):
        self.publish(TarBuilder().dir("d").file("d/f", b"x").dir("d/e"))
        before = self.repository.tree()
        with self.repository.open_transaction_of_somebody():
            os.unlink(os.path.join(self.repository.path, "d/f"))
            os.rmdir(os.path.join(self.repository.path, "d/e"))
            os.mkdir(os.path.join(self.repository.path, "d/f"))
        self.assertEqual((tree(self.repository.path), self.repository.tree()), (before, before))

    def test_abort_without_a_transaction_is_22(self):
        self.assertEqual(self.repository.call("abort", "-f", self.repository.name).returncode, 22)

    def test_abort_from_inside_is_1(self):
        with self.repository.open_transaction_of_somebody():
            done = self.repository.call("abort", "-f", self.repository.name, cwd=self.repository.path)
            self.assertEqual(done.returncode, 1)

    def test_a_reader_below_the_mount_stops_an_ingest_and_leaves_it_open(self):
        self.publish(TarBuilder().dir("d").file("d/f", b""))
        with open(os.path.join(self.repository.path, "d/f"), "rb"):
            done = self.repository.ingest(TarBuilder().dir("e").bytes())
        self.assertEqual((done.returncode, self.repository.in_transaction(), self.repository.revision()), (1, True, 2))
        self.repository.server("abort", "-f", self.repository.name)

    def test_a_working_directory_below_the_mount_stops_a_publish(self):
        with subprocess.Popen(["sleep", "60"], cwd=self.repository.path) as sleeper:
            self.repository.server("transaction", self.repository.name)
            done = self.repository.call("publish", self.repository.name)
            sleeper.kill()
        self.assertEqual((done.returncode, self.repository.in_transaction()), (1, True))

    def test_a_writer_below_the_mount_stops_a_publish(self):
        self.repository.server("transaction", self.repository.name)
        with open(os.path.join(self.repository.path, "f"), "wb"):
            done = self.repository.call("publish", self.repository.name)
        self.assertIn(b"Open writable file descriptors", done.stderr)
        self.assertTrue(self.repository.in_transaction())

    def test_gc_needs_z(self):
        self.assertEqual(self.repository.call("gc", "-f", self.repository.name).returncode, 1)
        other = StandInRepository(self.repository.root, "other.example").create("-z")
        self.assertEqual(other.call("gc", "-f", other.name).returncode, 0)

    def test_tags_count_revisions(self):
        before = len(self.repository.server("tag", "-l", self.repository.name).split())
        self.publish(TarBuilder().dir("d"))
        self.assertEqual(len(self.repository.server("tag", "-l", self.repository.name).split()), before + 1)


class Killing(StandInTest):
    def start(self, **how):
        process = subprocess.Popen(
            [os.path.join(STANDIN, "cvmfs_server"), "ingest", "-k", "-b", "/", "-t", "-", self.repository.name],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env=self.repository.environment(**how))
        self.addCleanup(process.wait)
        self.addCleanup(self.kill_group, process)
        return process

    @staticmethod
    def kill_group(process):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def worker(self):
        try:
            with open(os.path.join(self.repository.spool, "ingest.pid"), encoding="ascii") as source:
                return int(source.read() or 0)
        except FileNotFoundError:
            return 0

    def test_a_damaged_header_in_the_middle_hangs_for_ever(self):
        process = self.start()
        with process.stdin as pipe:
            pipe.write(TarBuilder().dir("d").bytes(end=False) + b"rubbish" * 300)
        with self.assertRaises(subprocess.TimeoutExpired):
            process.wait(1)

    def test_killing_the_ingest_leaves_its_child_and_an_open_transaction(self):
        process = self.start(fail="ingest-hang")
        with process.stdin as pipe:
            pipe.write(TarBuilder().dir("d").bytes())
        wait_until(self.worker)
        process.kill()
        process.wait()
        self.assertIn(b"in transaction - unhealthy", self.repository.call("list").stdout)
        self.assertEqual(self.repository.call("abort", "-f", self.repository.name).returncode, 1)
        self.kill_group(process)
        wait_until(lambda: self.repository.call("abort", "-f", self.repository.name).returncode == 0)
        self.publish(TarBuilder().dir("d"))
        self.assertEqual(self.repository.revision(), 2)

    def test_at_any_moment_there_is_the_old_revision_or_the_new_one(self):
        tar = TarBuilder().dir("d")
        for number in range(3000):
            tar.file(f"d/{number}", b"x" * 100)
        data = tar.bytes()
        for delay in range(0, 60, 6):
            revision = self.repository.revision()
            process = self.start()
            try:
                with process.stdin as pipe:
                    pipe.write(data)
            except BrokenPipeError:
                pass
            time.sleep(delay / 100)
            self.kill_group(process)
            process.wait()
            count = len(self.repository.tree()) if self.repository.revision() > revision else None
            self.assertIn(count, (None, 3001))
            self.repository.call("abort", "-f", self.repository.name)
            with self.repository.change() as path:
                if os.path.exists(path + "/d"):
                    subprocess.run(["rm", "-r", path + "/d"], check=True)


class Injecting(StandInTest):
    TAR = TarBuilder().dir("d")
    for _number in range(200):
        TAR.file(f"d/{_number}", b"x")

    def test_failures_that_abort_by_themselves(self):
        for step in ("ingest-start", "ingest-read", "ingest-commit"):
            with self.subTest(step):
                self.refuse(self.TAR, "", fail=step)

    def test_a_failure_that_leaves_the_transaction_open(self):
        self.assertEqual(self.repository.ingest(self.TAR.bytes(), fail="ingest-commit-open").returncode, 1)
        self.assertTrue(self.repository.in_transaction())
        self.repository.server("abort", "-f", self.repository.name)
        self.publish(self.TAR)

    def test_only_where_a_path_matches(self):
        for step in ("ingest-read", "ingest-commit"):
            with self.subTest(step):
                self.refuse(self.TAR, "", fail=step, match="d/150")
                self.publish(self.TAR, fail=step, match="elsewhere")

    def test_transaction_publish_abort(self):
        name = self.repository.name
        self.assertEqual(self.repository.call("transaction", name, fail="transaction").returncode, 1)
        self.assertFalse(self.repository.in_transaction())
        self.repository.server("transaction", name)
        self.assertEqual(self.repository.call("publish", name, fail="publish").returncode, 1)
        self.assertEqual(self.repository.call("abort", "-f", name, fail="abort").returncode, 1)
        self.assertTrue(self.repository.in_transaction())

    def test_the_log(self):
        self.publish(TarBuilder().dir("d").file("d/f", b"12345").hardlink("d/g", "d/f"))
        call, = self.repository.log("ingest")
        self.assertEqual((call["status"], call["bytes"], call["revision"], call["entries"]),
                         (0, 5, 2, {"dir": 1, "file": 1, "link": 1}))


if __name__ == "__main__":
    unittest.main()
