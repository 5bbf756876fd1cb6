"""Lists on web servers: what did not change costs an answer without a body, and what goes wrong leaves the last good list in
force, over restarts, too."""

import base64
import contextlib
import hashlib
import http.server
import threading
import time
import unittest

from secure import write
from sourcetest import SourceTest


class ListServer:
    """`files` by path, each with an ETag (or a Last-Modified date); `seen` has (path, headers, status) of each request."""

    def __init__(self):
        self.files, self.seen, self.status, self.etags, self.authorization, self.redirect = {}, [], None, True, None, None
        self.hangs = threading.Event()      # set: nothing is answered until it is cleared
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                server.answer(self)

            def handle(self):
                with contextlib.suppress(ConnectionError):
                    super().handle()

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = "127.0.0.1:%d" % self._server.server_address[1]
        self.url = "http://" + self.host

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.hangs.clear()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler):
        text = self.files.get(handler.path)
        etag = '"' + hashlib.sha256((text or "").encode()).hexdigest()[:16] + '"'
        date = "Mon, 02 Jan 2023 %02d:00:00 GMT" % (len(text or "") % 24)
        known = handler.headers.get("If-None-Match") == etag if self.etags else \
            handler.headers.get("If-Modified-Since") == date
        wanted = self.authorization is None or handler.headers.get("Authorization") == self.authorization
        status = self.status or (302 if self.redirect else 401 if not wanted else 404 if text is None else
                                 304 if known else 200)
        self.seen.append((handler.path, dict(handler.headers), status))
        while self.hangs.is_set():
            time.sleep(0.05)
        body = (text or "").encode() if status == 200 else b""
        handler.send_response(status)
        handler.send_header("ETag" if self.etags else "Last-Modified", etag if self.etags else date)
        if status == 302:
            handler.send_header("Location", self.redirect)
        if status != 304:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def statuses(self):
        found = [each[2] for each in self.seen]
        self.seen.clear()
        return found


class HttpTest(SourceTest):
    def setUp(self):
        super().setUp()
        self.server = self.enterContext(ListServer())
        self.url = self.server.url + "/lists/list.yaml"

    def serve(self, *tags, text=None):
        self.server.files["/lists/list.yaml"] = text or self.text(*tags)

    def test_only_what_changed_is_sent(self):
        for self.server.etags, more in ((True, "2"), (False, "3")):
            self.serve("1")
            self.take(self.url)
            self.server.statuses()
            self.assertEqual(self.take(self.url), [])
            self.assertEqual(self.server.statuses(), [304], "asked by another process, too")
            self.serve("1", more)
            self.assertEqual(self.take(self.url), [more])
            self.assertEqual(self.server.statuses(), [200])
        self.assertIn("without TLS, anybody on the way can change it", self.log)

    def test_what_goes_wrong_leaves_the_last_good_list(self):
        self.serve("1", "2")
        self.assertEqual(self.take(self.url), ["1", "2"])
        self.server.status = 503
        self.assert_in_force(self.url, "503", "1", "2")
        self.server.status = None
        self.settings["sources"] = {"silence": "2s"}
        self.server.hangs.set()
        start = time.monotonic()
        self.assert_in_force(self.url, "too slow", "1", "2")
        self.assertLess(time.monotonic() - start, 45, "60 is the usual")
        self.server.hangs.clear()
        self.serve(text="version: 2\nimages: {\n")
        self.assert_in_force(self.url, r"list.yaml:3:1: ", "1", "2")
        self.assert_in_force(self.url, r"list.yaml:3:1: ", "1", "2")
        self.server.files.clear()
        self.assert_in_force(self.url, "404", "1", "2")
        self.serve(text="x" * (5 << 20))
        self.assert_in_force(self.url, "longer than 4194304 bytes", "1", "2")
        self.serve("1", "3")
        self.assertEqual(self.take(self.url), ["3"])
        self.assertEqual(self.published(), ["1", "2", "3"])

    def test_a_broken_list_without_a_good_one_does_nothing(self):
        self.serve(text="version: 2\nimages: {\n")
        self.assertEqual(self.take(self.url, status=1), [])
        self.assertEqual(self.outcomes, {})
        self.assertRegex(self.log, r"list.yaml:3:1: ")

    def test_one_bad_entry_does_not_disable_the_others(self):
        self.serve(text=self.text("1") + "- ubuntu\n" + f"- http://{self.name('2')}\n")
        self.assertEqual(self.take(self.url, status=1), ["1", "2"])
        self.assertEqual([name for name, outcome in self.outcomes.items() if outcome == "failed"], [self.url + ":5:3"])

    def test_includes_are_of_the_same_folder(self):
        self.serve(text=f"version: 2\nrepository: {self.backend.argument}\ninclude: [more/other.yaml]\n")
        self.server.files["/lists/more/other.yaml"] = f"version: 2\nimages: ['http://{self.name('1')}']\n"
        self.assertEqual(self.take(self.url), ["1"])
        self.server.files["/lists/more/other.yaml"] = f"version: 2\nimages: ['http://{self.name('2')}']\n"
        self.assertEqual(self.take(self.url), ["2"])
        del self.server.files["/lists/more/other.yaml"]
        self.assert_in_force(self.url, "404", "2")

    def test_credentials(self):
        self.serve("1")
        secret = write(self.path("secret"), "opensesame\n")
        credential = {"url": self.server.url, "secret_file": secret, "scheme": "bearer"}
        self.settings["sources"] = {"credentials": [credential]}
        self.take(self.url, status=1)
        self.assertRegex(self.log, "insecure")
        self.assertEqual(self.server.seen, [], "no secret goes over plain http")
        self.settings["registries"] = {"hosts": {self.server.host: {"insecure": "http"}}}
        self.server.authorization = "Bearer opensesame"
        self.assertEqual(self.take(self.url), ["1"])
        credential.update(scheme="basic", user="reader")
        self.server.authorization = "Basic " + base64.b64encode(b"reader:opensesame").decode()
        self.serve("1", "2")
        self.assertEqual(self.take(self.url), ["2"])
        write(secret, "shut\n")
        self.assert_in_force(self.url, "401", "1", "2")
        self.assertNotIn("shut", self.log)

    def test_redirects(self):
        """They are followed, and credentials do not follow to another host."""
        self.serve("1")
        other = self.enterContext(ListServer())
        other.redirect = self.url
        self.settings["sources"] = {"credentials": [{"url": other.url, "secret_file": write(self.path("secret"), "x\n")}]}
        self.settings["registries"] = {"hosts": {other.host: {"insecure": "http"}}}
        self.assertEqual(self.take(other.url + "/lists/list.yaml"), ["1"])
        self.assertIn("Authorization", other.seen[0][1])
        self.assertNotIn("Authorization", self.server.seen[0][1])


if __name__ == "__main__":
    unittest.main()
