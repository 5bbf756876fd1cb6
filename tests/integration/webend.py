"""What tests of the web end share: a daemon with one, requests to it, and what the senders say."""

import hashlib
import hmac
import http.client
import json
import os
import time

import http_request
from registry import free_port
from service import ServiceTest

SECRET = "the-secret-of-this-sender"
TOKEN = "the-token-for-refreshing"
KINDS = ("harbor", "distribution", "dockerhub", "github", "gitlab", "quay")
PAYLOADS = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "data", "webhooks")


def proof(kind, body, secret=SECRET):
    """(end of the path, headers) by which a sender shows that it knows the secret."""
    if kind in ("dockerhub", "quay"):
        return "/" + secret, {}
    if kind == "github":
        return "", {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}
    return "", {"X-Gitlab-Token": secret} if kind == "gitlab" else {"Authorization": f"Bearer {secret}"}


def recorded(name):
    """A recorded request: (path, headers, body)."""
    with open(os.path.join(PAYLOADS, name), "rb") as source:
        head, _, body = source.read().partition(b"\n\n")
    first, *lines = head.decode().split("\n")
    return first.split(" ")[1], dict(line.split(": ", 1) for line in lines), body


class WebTest(ServiceTest):
    """One sender of each kind, called like it; SECRET is the secret of all."""

    def setUp(self):
        super().setUp()
        self.port = free_port()

    def secret_file(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as out:
            out.write(text + "\n")
        os.chmod(self.path(name), 0o600)
        return self.path(name)

    def web(self, **more):
        """The key `web` of a configuration."""
        secret = self.secret_file("secret", SECRET)
        senders = {kind: {"kind": kind, "secret_file": secret, "requests_per_second": 10000} for kind in KINDS}
        return {"listen": [f"127.0.0.1:{self.port}"], "token_file": self.secret_file("token", TOKEN),
                "senders": senders, **more}

    def start(self, backend, lists, web=None, **options):
        """A daemon that polls so rarely that only events make it look again."""
        config = self.configure(lists, {"interval": "1d"}, web=web or self.web())
        self.program = self.ducc(backend)
        self.daemon_ = self.daemon(self.program, config, **options)
        self.wait_for(self.answers, self.daemon_, message="listening")
        return self.daemon_

    def answers(self):
        try:
            return self.request("GET", "/healthz").status == 200
        except OSError:
            return False

    def request(self, method, path, body=None, headers=None):
        """An answer with its bytes as `body`."""
        return http_request.send(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60), method, path, body, headers)

    def get(self, path):
        """JSON."""
        answer = self.request("GET", path)
        self.assertEqual(answer.status, 200, answer.body)
        return json.loads(answer.body)

    def send(self, kind, payload, secret=SECRET, status=202, **headers):
        """Send what such a sender would; the answer."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        end, shown = proof(kind, body, secret)
        fields = {"Content-Type": "application/json", **shown, **{key.replace("_", "-"): value for key, value in headers.items()}}
        answer = self.request("POST", f"/hook/{kind}{end}", body, fields)
        self.assertEqual(answer.status, status, answer.body)
        return json.loads(answer.body)

    def refresh(self, status=202, token=TOKEN, **body):
        answer = self.request("POST", "/api/v1/refresh", json.dumps(body) if body else None,
                              {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        self.assertEqual(answer.status, status, answer.body)
        return json.loads(answer.body)

    def harbor_push(self, host, repository, tag):
        return {"type": "PUSH_ARTIFACT", "occur_at": time.time_ns(), "event_data": {"resources": [
            {"resource_url": f"{host}/{repository}:{tag}", "tag": tag}]}}

    def counts(self):
        return self.get("/api/v1/status")["events"]

    def stored(self):
        counts = self.counts()
        return sum(counts[state] for state in ("waiting", "taken", "done"))

    def wait_events_done(self, done, seconds=60):
        """All that were stored have been acted on."""
        def all_done():
            counts = self.counts()
            return (counts["waiting"], counts["taken"], counts["done"]) == (0, 0, done)
        return self.wait_for(all_done, self.daemon_, seconds, f"{done} events done")
