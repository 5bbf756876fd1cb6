"""A headless Chromium (Debian's), told what to do over a pipe: the DevTools protocol, JSON ended by NUL."""

import base64
import json
import os
import select
import signal
import subprocess
import tempfile
import time

from registry import need, stop_process


class Chromium:
    """One page. What it logs (script errors, resources that are missing or refused) gathers in `complaints`."""

    def __init__(self):
        self.complaints = []
        self._number, self._pending, self._events = 0, b"", []

    def __enter__(self):
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        there, self._in = os.pipe()
        self._out, back = os.pipe()
        # It reads commands on descriptor 3 and answers on 4.
        shell = f'exec 3<&{there} 4>&{back}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "-", need("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
             "--disable-background-networking", f"--user-data-dir={self._profile.name}", "--remote-debugging-pipe",
             "about:blank"],
            pass_fds=(there, back), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        os.close(there)
        os.close(back)
        self._session = None
        target = next(one for one in self._command("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session = self._command("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._command(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        os.close(self._in)
        os.close(self._out)
        stop_process(self._process)
        try:
            os.killpg(self._process.pid, signal.SIGKILL)    # its helpers, which write into the profile
        except ProcessLookupError:
            pass
        self._profile.cleanup()

    # The protocol -------------------------------------------------------------------------------------------------

    def _receive(self, seconds):
        end = time.monotonic() + seconds
        while b"\0" not in self._pending:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._out], [], [], left)[0]:
                raise AssertionError("Chromium does not answer")
            chunk = os.read(self._out, 1 << 20)
            if not chunk:
                raise AssertionError("Chromium has ended")
            self._pending += chunk
        text, _, self._pending = self._pending.partition(b"\0")
        message = json.loads(text)
        if "method" in message:
            self._note(message)
        return message

    def _note(self, message):
        method, what = message["method"], message["params"]
        self._events.append(method)
        if method == "Runtime.exceptionThrown":
            self.complaints.append(what["exceptionDetails"]["text"])
        elif method == "Log.entryAdded":
            self.complaints.append(what["entry"]["text"] + " " + what["entry"].get("url", ""))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append("console." + what["type"])

    def _command(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive(60)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]

    def _wait_loaded(self):
        while "Page.loadEventFired" not in self._events:
            self._receive(60)

    # What tests use -----------------------------------------------------------------------------------------------

    def size(self, width, height, phone=False):
        self._command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def scripts(self, on):
        """Whether pages may run scripts; evaluate() works all the same."""
        self._command("Emulation.setScriptExecutionDisabled", value=not on)

    def dark(self, on):
        self._command("Emulation.setEmulatedMedia",
                      features=[{"name": "prefers-color-scheme", "value": "dark" if on else "light"}])

    def open(self, url):
        self._events.clear()
        self._command("Page.navigate", url=url)
        self._wait_loaded()

    def follow(self, script):
        """Do something that leads to another page."""
        self._events.clear()
        self.evaluate(script)
        self._wait_loaded()

    def evaluate(self, script):
        result = self._command("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def texts(self, selector):
        return self.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map(one => one.innerText)")

    def screenshot(self, path):
        data = self._command("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        with open(path, "wb") as out:
            out.write(base64.b64decode(data))
