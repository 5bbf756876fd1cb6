#!/usr/bin/env python3
"""A container registry in memory that misbehaves on demand.

In Python:

    with MisbehavingRegistry() as registry:
        layer = registry.add_blob(b"...")
        registry.add_image("a/b", "1", [tar_gz_bytes])
        registry.behave(r"/blobs/" + layer, times=1, cut_after=1000)
        ... use registry.host ("127.0.0.1:PORT") or registry.url ...
        assert registry.requests[-1].headers["range"] == "bytes=1000-"

From another language: run this file; it prints one JSON line with "url" and "host", then reads one
JSON object a line on standard input ({"call": METHOD, ...arguments}) and answers each with one
JSON line. It ends with its input.
"""

import base64
import collections
import gzip
import hashlib
import http.server
import json
import re
import socket
import ssl
import sys
import threading
import time
import urllib.parse

OCI = "application/vnd.oci.image."
Request = collections.namedtuple("Request", "method path headers")
Answer = collections.namedtuple("Answer", "status headers body")


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class MisbehavingRegistry:
    """What behave() takes, each alone or together with others:

    status=N, body=BYTES, headers={}   answer with these (status alone: a registry's JSON error)
    retry_after=TEXT                   that header (status is 429 unless given)
    redirect=URL                       307 to URL; a URL without a path gets the request's path
    delay=SECONDS                      before the answer
    cut_after=N                        close the connection after N body bytes
    stall_after=N                      stop sending after N body bytes, but stay
    trickle=(N, SECONDS)               N bytes, a pause, N bytes, ...
    content_length=N                   claim that length, send what there is, close
    no_length=True                     no Content-Length: the body ends with the connection
    corrupt=True                       one byte is another
    append=N                           N bytes too many
    ignore_range=True                  200 with everything where a part was asked for
    content_range=TEXT                 claim that range
    drop_headers=[NAME, ...]           leave them out
    reset=True                         close the connection without an answer
    endless=N                          a body of N bytes that is made as it is sent (`sent` counts them)
    """

    def __init__(self, page_size=1000, links="relative", certificate=None, key=None,
                 address="127.0.0.1"):
        """certificate, key: paths of PEM files; the registry then speaks https."""
        self._address = address
        self._tls = (certificate, key) if certificate else None
        self.blobs = {}
        self.manifests = {}  # (repository, tag or digest) -> (media type, bytes)
        self.tags = collections.defaultdict(list)
        self.referrers = None  # or {(repository, digest): [descriptor, ...]}
        self.requests = []
        self.connections = set()  # the addresses that they came from
        self.sent = 0             # bytes of endless bodies
        self.page_size = page_size
        self.links = links  # "relative", "absolute", or the URL to name
        self._behaviours = []
        self._auth = None
        self._tokens = {}  # token -> (scope, when it ends)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server = None

    # --- life ---

    def start(self):
        registry = self

        class Handler(_Handler):
            pass

        Handler.registry = registry
        server = _Server6 if ":" in self._address else _Server
        self._server = server((self._address, 0), Handler)
        shown = "[%s]" % self._address if ":" in self._address else self._address
        self.host = "%s:%d" % (shown, self._server.server_address[1])
        self.url = "http://" + self.host
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = "https://" + self.host
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05},
                         daemon=True).start()
        return self

    def stop(self):
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.stop()

    # --- contents ---

    def add_blob(self, data):
        digest = sha256(data)
        self.blobs[digest] = data
        return digest

    def add_manifest(self, repository, tag, manifest, media_type=OCI + "manifest.v1+json"):
        """A dict, text or bytes; tag None for one that is reached by digest only. Its digest."""
        if not isinstance(manifest, (bytes, str)):
            manifest = json.dumps(manifest)
        data = manifest.encode() if isinstance(manifest, str) else manifest
        digest = sha256(data)
        for key in (tag, digest):
            self.manifests[repository, key] = (media_type, data)
        if tag is not None and tag not in self.tags[repository]:
            self.tags[repository].append(tag)
        return digest

    def add_image(self, repository, tag, layers, config=None, platform=("linux", "amd64")):
        """An image of gzip layers given as their compressed bytes. Its manifest's digest."""
        diff_ids = [sha256(gzip.decompress(layer)) for layer in layers]
        config = dict(config or {}, os=platform[0], architecture=platform[1],
                      rootfs={"type": "layers", "diff_ids": diff_ids})
        data = json.dumps(config).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI + "manifest.v1+json",
            "config": self._descriptor(OCI + "config.v1+json", data),
            "layers": [self._descriptor(OCI + "layer.v1.tar+gzip", layer) for layer in layers],
        }
        return self.add_manifest(repository, tag, manifest)

    def _descriptor(self, media_type, data):
        return {"mediaType": media_type, "digest": self.add_blob(data), "size": len(data)}

    # --- misbehaviour ---

    def behave(self, path_regex, method=None, times=None, **what):
        """From now on (or `times` times), for requests whose path (with its query) matches."""
        with self._lock:
            self._behaviours.append({"path": re.compile(path_regex), "method": method,
                                     "times": times, "what": what})

    def well_behaved(self):
        with self._lock:
            self._behaviours = []

    def require_token(self, user=None, password=None, expires_in=60, realm=None,
                      service="the, \"test\" service", field="token", scope=True, reject=False):
        """Answer 401 to requests without a token; realm None: this server's /token. With `user`,
        the token service wants that user's credentials. `reject`: no token is ever good."""
        self._auth = {"kind": "token", "user": user, "password": password, "realm": realm,
                      "expires_in": expires_in, "service": service, "field": field,
                      "scope": scope, "reject": reject}

    def require_basic(self, user, password):
        self._auth = {"kind": "basic", "user": user, "password": password}

    def no_auth(self):
        self._auth = None

    def expire_tokens(self):
        """All tokens given out so far are refused from now on."""
        with self._lock:
            self._tokens.clear()

    def reset(self):
        """As new: no contents, no misbehaviour, no log."""
        with self._lock:
            for part in (self.blobs, self.manifests, self.tags, self.requests, self._behaviours,
                         self._tokens):
                part.clear()
            self._auth = None
            self.page_size, self.links = 1000, "relative"

    def seen(self, path_regex, method=None):
        """The requests whose path matches, so far."""
        with self._lock:
            return [r for r in self.requests
                    if re.search(path_regex, r.path) and method in (None, r.method)]

    def forget_requests(self):
        with self._lock:
            self.requests.clear()

    # --- answering ---

    def _misbehaviour(self, method, path):
        merged = {}
        with self._lock:
            for b in self._behaviours:
                if b["times"] == 0 or b["method"] not in (None, method):
                    continue
                if b["path"].search(path):
                    merged.update(b["what"])
                    if b["times"]:
                        b["times"] -= 1
        return merged

    @staticmethod
    def error(status, code, message):
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        return Answer(status, {"Content-Type": "application/json"}, body)

    def _basic_ok(self, header):
        pair = "%s:%s" % (self._auth["user"], self._auth["password"])
        return header == "Basic " + base64.b64encode(pair.encode()).decode()

    def _authorized(self, header, repository):
        if self._auth["kind"] == "basic":
            return self._basic_ok(header)
        with self._lock:
            scope, ends = self._tokens.get((header or "").removeprefix("Bearer "), ("", 0))
        return (not self._auth["reject"] and time.monotonic() < ends
                and scope == "repository:%s:pull" % repository)

    def _challenge(self, repository):
        answer = self.error(401, "UNAUTHORIZED", "authentication required")
        if self._auth["kind"] == "basic":
            answer.headers["WWW-Authenticate"] = 'Basic realm="test, registry"'
            return answer
        params = {"realm": self._auth["realm"] or self.url + "/token",
                  "service": self._auth["service"]}
        if self._auth["scope"]:
            params["scope"] = "repository:%s:pull" % repository
        answer.headers["WWW-Authenticate"] = "Bearer " + ",".join(
            '%s="%s"' % (k, v.replace("\\", "\\\\").replace('"', '\\"'))
            for k, v in params.items())
        return answer

    def _token(self, query, header):
        if self._auth["user"] and not self._basic_ok(header):
            return self.error(401, "UNAUTHORIZED", "incorrect username or password")
        if query.get("service") != [self._auth["service"]]:
            return self.error(400, "UNSUPPORTED", "wrong service")
        with self._lock:
            token = "token-%d" % (len(self._tokens) + 1 + int(time.monotonic() * 1e6))
            self._tokens[token] = (query.get("scope", [""])[0],
                                   time.monotonic() + max(self._auth["expires_in"] or 60, 0.3))
        answer = {self._auth["field"]: token}
        if self._auth["expires_in"] is not None:
            answer["expires_in"] = self._auth["expires_in"]
        return Answer(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _tag_list(self, repository, query):
        if repository not in self.tags:
            return self.error(404, "NAME_UNKNOWN", "repository name not known to registry")
        n = min(int(query.get("n", ["100000"])[0]), self.page_size)
        start = int(query.get("last", ["0"])[0])
        tags = self.tags[repository]
        headers = {"Content-Type": "application/json"}
        if start + n < len(tags):
            target = "/v2/%s/tags/list?n=%d&last=%d" % (repository, n, start + n)
            if self.links == "absolute":
                target = self.url + target
            elif self.links != "relative":
                target = self.links
            headers["Link"] = '<%s>; rel="next"' % target
        body = {"name": repository, "tags": tags[start:start + n] or None}
        return Answer(200, headers, json.dumps(body).encode())

    def _manifest(self, repository, reference, known=None):
        if (repository, reference) not in self.manifests:
            return self.error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        media_type, data = self.manifests[repository, reference]
        etag = '"%s"' % sha256(data)
        if known == etag:
            return Answer(304, {"ETag": etag}, b"")
        return Answer(200, {"Content-Type": media_type, "Docker-Content-Digest": sha256(data),
                            "ETag": etag}, data)

    def _referrers(self, repository, digest):
        """OCI distribution specification 1.1, "Listing Referrers"; None: a registry that has no such list."""
        if self.referrers is None:
            return self.error(404, "NOT_FOUND", "page not found")
        body = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json",
                "manifests": self.referrers.get((repository, digest), [])}
        return Answer(200, {"Content-Type": OCI + "index.v1+json"}, json.dumps(body).encode())

    def _blob(self, digest, wanted, what):
        if digest not in self.blobs:
            return self.error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        data = self.blobs[digest]
        headers = {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest}
        match = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        if not match or what.get("ignore_range"):
            return Answer(200, headers, data)
        start = int(match[1])
        if start >= len(data):
            return self.error(416, "RANGE_INVALID", "range not satisfiable")
        headers["Content-Range"] = "bytes %d-%d/%d" % (start, len(data) - 1, len(data))
        return Answer(206, headers, data[start:])

    def answer(self, path, headers, what):
        """The answer to GET; `what` is the misbehaviour."""
        url = urllib.parse.urlsplit(path)
        query = urllib.parse.parse_qs(url.query)
        if url.path == "/token" and self._auth:
            return self._token(query, headers.get("authorization"))
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs|tags|referrers)/([^/]+)", url.path)
        if not match:
            return self.error(404, "NOT_FOUND", "page not found")
        repository, kind, reference = match.groups()
        if self._auth and not self._authorized(headers.get("authorization"), repository):
            return self._challenge(repository)
        if kind == "referrers":
            return self._referrers(repository, reference)
        if kind == "tags":
            return self._tag_list(repository, query)
        if kind == "manifests":
            return self._manifest(repository, reference, headers.get("if-none-match"))
        return self._blob(reference, headers.get("range"), what)

    def spoil(self, answer, path, what):
        """The answer as a misbehaving registry would give it."""
        status, headers, body = answer.status, dict(answer.headers), answer.body
        if "redirect" in what:
            target = what["redirect"]
            if target.count("/") < 3:
                target += path
            return Answer(307, {"Location": target}, b"")
        if "status" in what or "retry_after" in what:
            status, headers, body = self.error(what.get("status", 429), "UNKNOWN", "out of order")
        if "retry_after" in what:
            headers["Retry-After"] = str(what["retry_after"])
        if "body" in what:
            body = what["body"] if isinstance(what["body"], bytes) else what["body"].encode()
        headers.update(what.get("headers", {}))
        if "content_range" in what and status == 206:
            headers["Content-Range"] = what["content_range"]
        if what.get("corrupt") and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        body += b"x" * what.get("append", 0)
        for name in what.get("drop_headers", []):
            headers.pop(name, None)
        return Answer(status, headers, body)

    def wait_for_stop(self, seconds):
        return self._stopping.wait(seconds)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # clients that went away are what this server is for


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry = None

    def log_message(self, *unused):
        pass

    def do_GET(self):
        registry = self.registry
        headers = {k.lower(): v for k, v in self.headers.items()}
        with registry._lock:
            registry.requests.append(Request(self.command, self.path, headers))
            registry.connections.add(self.client_address)
        what = registry._misbehaviour(self.command, self.path)
        if what.get("delay"):
            registry.wait_for_stop(what["delay"])
        if what.get("reset"):
            self.close_connection = True
            return
        answer = registry.spoil(registry.answer(self.path, headers, what), self.path, what)
        self._send_head(answer, what)
        if self.command != "HEAD":
            self._send_body(answer.body, what)

    do_HEAD = do_GET

    def _send_head(self, answer, what):
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        length = what.get("endless", what.get("content_length", len(answer.body)))
        if not what.get("no_length"):
            self.send_header("Content-Length", str(length))
        if what.get("no_length") or length != len(answer.body):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def _send_endless(self, length):
        chunk = b" " * (1 << 16)
        while self.registry.sent < length and not self.registry.wait_for_stop(0):
            self.wfile.write(chunk)
            self.registry.sent += len(chunk)

    def _send_body(self, body, what):
        if "endless" in what:
            self._send_endless(what["endless"])
            return
        end = min([len(body)] + [what[k] for k in ("cut_after", "stall_after") if k in what])
        step, pause = what.get("trickle", (1 << 16, 0))
        for i in range(0, end, step):
            self.wfile.write(body[i:min(i + step, end)])
            self.wfile.flush()
            if pause and self.registry.wait_for_stop(pause):
                break
        if "stall_after" in what:
            self.registry.wait_for_stop(3600)
        if end < len(body):
            self.close_connection = True


def _call(registries, order):
    """One line of the conversation on standard input. "server" chooses among several."""
    call = order.pop("call")
    server = order.pop("server", 0)
    while len(registries) <= server:
        registries.append(MisbehavingRegistry().start())
    registry = registries[server]
    if call == "where":
        return {"url": registry.url, "host": registry.host}
    if call == "set":  # tags, page_size, links
        for name, value in order.items():
            if name == "tags":
                value = collections.defaultdict(list, value)
            setattr(registry, name, value)
        return {}
    if call == "add_random_blob":
        seed = str(order["seed"]).encode()
        data = hashlib.shake_256(seed).digest(order["size"])
        return {"digest": registry.add_blob(data), "size": len(data)}
    if call == "add_blob":
        return {"digest": registry.add_blob(order["text"].encode())}
    if call == "seen":
        return {"requests": [r._asdict() for r in registry.seen(**order)]}
    result = getattr(registry, call)(**order)
    return {"digest": result} if isinstance(result, str) else {}


def main():
    registries = [MisbehavingRegistry().start()]
    print(json.dumps(_call(registries, {"call": "where"})), flush=True)
    for line in sys.stdin:
        print(json.dumps(_call(registries, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
