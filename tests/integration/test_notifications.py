"""Who is told of what was published and what failed: files, webhooks, commands."""

import hashlib
import hmac
import http.server
import json
import os
import re
import subprocess
import threading
import time
import unittest

from backends import Directory
from failing import add, layer
from harness import Image, IntegrationTest
from service import ServiceTest
from tarbuilder import TarBuilder


class Receiver(http.server.ThreadingHTTPServer):
    """A webhook's other end: answers with the statuses given, then with 204; hangs where one is None."""

    def __init__(self, *statuses):
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses = list(statuses)
        self.got = []
        self.over = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook"

    def close(self):
        self.over.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.statuses.pop(0) if self.server.statuses else 204
        if status is None:
            self.server.over.wait(60)
            return
        self.server.got.append((status, dict(self.headers), body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class NotificationTest(IntegrationTest):
    def setUp(self):
        super().setUp()
        self.source = self.registry()
        for tag in ("1", "2"):
            self.source.push_image("lib/app", tag, [TarBuilder().file("tag", tag.encode()).bytes()])
        self.name = f"{self.source.host}/lib/app"
        self.program = self.ducc()

    def receiver(self, *statuses):
        receiver = Receiver(*statuses)
        self.addCleanup(receiver.close)
        return receiver

    def config(self, text):
        with open(self.path("ducc.yaml"), "w", encoding="utf-8") as out:
            out.write(text)
        return ["--config", self.path("ducc.yaml")]

    def convert(self, *images, options=(), check=0):
        return self.program.run("convert", *options, "--repo", self.path("repository"),
                                *(f"http://{self.name}{image}" for image in images), check=check)

    def lines(self, name="notes"):
        with open(self.path(name), encoding="utf-8") as notes:
            return [json.loads(line) for line in notes]


class FileTest(NotificationTest):
    def test_the_go_tools_option(self):
        self.convert(":1", ":absent", options=["-n", self.path("notes")], check=1)
        start, *images, end = self.lines()
        self.assertEqual((start["action"], end["action"], start["pid"]), ("start_ducc", "end_ducc", end["pid"]))
        self.assertGreater(float(end["time_elapsed_s"]), 0)
        for note in (start, *images, end):   # the Go tool reads them as a map of texts
            self.assertEqual({type(value) for value in note.values()}, {str})
            self.assertRegex(note["time"], r"^[ \d]\d [A-Z][a-z]{2} \d{4} - \d\d:\d\d:\d\d\.\d{3}$")
        by_action = {note["action"]: note for note in images}
        published = by_action["publish_flat_image"]
        self.assertEqual((published["image"], published["public_path"], published["status"]),
                         (self.name + ":1", self.name + ":1", "ok"))
        self.assertTrue(os.path.isdir(self.path("repository", published["private_path"])))
        self.assertEqual(published["path"], self.path("repository", self.name + ":1"))
        self.assertEqual(int(published["size_bytes"]), int(published["new_bytes"]))
        failed = by_action["end_flat_conversion"]
        self.assertEqual((failed["image"], failed["status"], failed["error_kind"]), (self.name + ":absent", "error", "not-found"))
        self.assertIn("404 Not Found", failed["error"])

    def test_told_once(self):
        """What is up to date is not told; a failure in the same words neither. Lines are added."""
        for _ in range(2):
            self.convert(":1", ":absent", options=["--notification-file", self.path("notes")], check=1)
        self.assertEqual([note["action"] for note in self.lines() if note["action"] not in ("start_ducc", "end_ducc")],
                         ["end_flat_conversion", "publish_flat_image"])
        self.assertEqual(len(self.lines()), 6)

    def test_what_is_taken_away(self):
        self.convert(":1", ":2")
        for command in (["remove", "--repo", self.path("repository"), f"{self.name}:1"], ["gc", self.path("repository")]):
            self.program.run(command[0], "-n", self.path("notes"), *command[1:], check=True)
        removed, = [note for note in self.lines() if "image" in note]
        self.assertEqual((removed["action"], removed["image"], removed["reason"]),
                         ("remove_image", self.name + ":1", "asked for by ducc remove"))

    def test_a_dry_run_tells_nothing(self):
        self.convert(":1", options=["--dry-run", "-n", self.path("notes")])
        self.assertFalse(os.path.exists(self.path("notes")))

    def test_a_file_that_cannot_be_written(self):
        done = self.convert(":1", options=["-n", self.path("no", "such", "folder")], check=2)
        self.assertRegex(done.stderr, "notifications: .*no/such/folder")
        self.assertFalse(os.path.exists(self.path("repository")))

    def test_of_the_configuration(self):
        options = self.config("notifications:\n  files:\n    - {path: failures, events: [failed]}\n    - {path: all}\n")
        self.convert(":1", ":absent", options=options, check=1)
        self.assertEqual([note["action"] for note in self.lines("failures")], ["end_flat_conversion"])
        self.assertEqual(len(self.lines("all")), 4)


class WebhookTest(NotificationTest):
    def test_signed_and_sent_again(self):
        receiver = self.receiver(500, 503)
        with open(self.path("secret"), "w", encoding="utf-8") as secret:
            secret.write("a secret\n")
        options = self.config(f"notifications:\n  webhooks:\n    - url: {receiver.url}\n      secret_file: secret\n")
        self.convert(":1", options=options)
        self.assertEqual([status for status, *_ in receiver.got], [500, 503, 204])
        for _, headers, body in receiver.got:
            self.assertEqual(json.loads(body)["image"], self.name + ":1")
            self.assertEqual(headers["X-Hub-Signature-256"],
                             "sha256=" + hmac.new(b"a secret", body, hashlib.sha256).hexdigest())
            self.assertEqual(headers["Content-Type"], "application/json")
        self.assertEqual({body for _, _, body in receiver.got}, {receiver.got[0][2]})

    def test_one_that_hangs_holds_up_nothing(self):
        receiver = self.receiver(*[None] * 10)
        options = self.config(f"notifications:\n  webhooks: [{{url: '{receiver.url}'}}]\n  files: [{{path: notes}}]\n")
        process = self.program.start("convert", *options, "--repo", self.path("repository"), f"http://{self.name}:1",
                                     f"http://{self.name}:2", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + 15
            while not (os.path.exists(self.path("notes")) and len(self.lines()) >= 3) and time.monotonic() < until:
                time.sleep(0.1)
            self.assertEqual(sorted(note["image"] for note in self.lines() if "image" in note), [self.name + ":1", self.name + ":2"])
            receiver.over.set()
            self.assertEqual(process.wait(60), 0)
        finally:
            process.kill()
            process.wait()

    def test_nobody_there(self):
        receiver = self.receiver()
        receiver.close()
        options = self.config(f"notifications:\n  webhooks: [{{url: '{receiver.url}'}}]\n")
        done = self.convert(":1", options=options)
        self.assertRegex(done.stderr, "warning a notification is lost: http://127.0.0.1")


class CommandTest(NotificationTest):
    def command(self, text):
        script = self.path("tell")
        with open(script, "w", encoding="utf-8") as out:
            out.write("#!/bin/sh\n" + text)
        os.chmod(script, 0o755)
        return script

    def test_gets_json_and_its_arguments(self):
        script = self.command(f"cat >> {self.path('notes')}; printf '%s\\n' \"$@\" > {self.path('arguments')}\n")
        options = self.config("notifications:\n  commands:\n    - run: [%s, 'a b', '$(touch x)']\n" % script)
        self.convert(":1", ":absent", options=options, check=1)
        self.assertEqual([note["action"] for note in self.lines()], ["end_flat_conversion", "publish_flat_image"])
        with open(self.path("arguments"), encoding="utf-8") as arguments:
            self.assertEqual(arguments.read().splitlines(), ["a b", "$(touch x)"])

    def test_one_that_fails_is_said(self):
        script = self.command("echo out of order >&2; exit 3\n")
        done = self.convert(":1", options=self.config(f"notifications:\n  commands: [{{run: [{script}]}}]\n"))
        self.assertTrue(re.search("notification is lost: .*tell ended with 3: out of order", done.stderr), done.stderr)


class ServiceNotificationTest(ServiceTest):
    """A service tells as a pass does, and whom it tells can be changed while it runs."""

    def notes(self, name):
        try:
            with open(self.path(name), encoding="utf-8") as notes:
                return [(note["action"], note.get("image")) for note in map(json.loads, notes)]
        except FileNotFoundError:
            return []

    def test_the_configuration_is_read_again(self):
        source, backend = self.misbehaving(), Directory(self.scratch)
        names = [f"{source.host}/a/b:{tag}" for tag in ("1", "2")]
        add(source, "a/b", "1", Image([layer("one")]))
        lists = [self.recipe("list.yaml", backend.argument, names[:1])]
        config = self.configure(lists, notifications={"files": [{"path": "first"}]})
        service = self.daemon(self.ducc(backend), config, speed=60)
        self.wait_for(lambda: ("publish_flat_image", names[0]) in self.notes("first"), service)
        add(source, "a/b", "2", Image([layer("two")]))
        self.recipe("list.yaml", backend.argument, names)
        self.configure(lists, notifications={"files": [{"path": "second"}]})
        service.reload()
        self.wait_for(lambda: ("publish_flat_image", names[1]) in self.notes("second"), service)
        self.assertEqual(service.stop(), 0)
        self.assertEqual(self.notes("first"), [("start_ducc", None), ("publish_flat_image", names[0])])
        self.assertEqual(self.notes("second"), [("publish_flat_image", names[1]), ("end_ducc", None)])


if __name__ == "__main__":
    unittest.main()
