"""Registries as sites have them: TLS with a private authority, passwords, client certificates, a token service.

Everything is made with the openssl program and Python's own library; nothing of it is shared with ducc.
"""

import base64
import http.client
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

import http_request
from registry import Registry, need

USER, PASSWORD = "some-user", "pa:ss word-Zx9"
HTPASSWD = USER + ":$2y$05$abcdefghijklmnopqrstuubvoc1GjSFh6qJ/4iIQe2QS9xkAS1hmm\n"    # bcrypt, of PASSWORD


def openssl(*arguments, **how):
    done = subprocess.run([need("openssl"), *arguments], capture_output=True, check=False, **how)
    if done.returncode:
        raise AssertionError(f"openssl {arguments}: {done.stderr.decode()}")
    return done.stdout


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


class Authority:
    """A certificate authority in a directory."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.certificate, self.key = self.path("ca.crt"), self.path("ca.key")
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority",
                "-keyout", self.key, "-out", self.certificate)

    def path(self, name):
        return os.path.join(self.directory, name)

    def issue(self, name, names="IP:127.0.0.1,DNS:localhost,IP:::1"):
        """A certificate for a server or a client: (certificate, key), paths."""
        key, request, certificate = (self.path(f"{name}.{ending}") for ending in ("key", "csr", "pem"))
        extensions = write(self.path(f"{name}.ext"), f"subjectAltName={names}\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                "-days", "2", "-extfile", extensions, "-out", certificate)
        return certificate, key


class SecureRegistry(Registry):
    """docker-registry over TLS, serving what another Registry stores (which the test pushes to)."""

    def __init__(self, source, authority, auth="", client_authority=None):
        self._source, self._authority = source, authority
        certificate, key = authority.issue("registry")
        extra = f"  tls:\n    certificate: {certificate}\n    key: {key}\n"
        if client_authority:
            extra += f"    clientcas:\n      - {client_authority.certificate}\n"
            self._client = client_authority.issue("probe")
        else:
            self._client = None
        super().__init__(extra + auth)

    @property
    def storage(self):
        return self._source.storage

    def request(self, method, path, body=None, headers=None):
        context = ssl.create_default_context(cafile=self._authority.certificate)
        if self._client:
            context.load_cert_chain(*self._client)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)
        return http_request.send(connection, method, path, body, headers)


def htpasswd_auth(directory):
    path = write(os.path.join(directory, "htpasswd"), HTPASSWD)
    return f"auth:\n  htpasswd:\n    realm: test, realm\n    path: {path}\n"


class Certificates:
    """A certs.d folder, to be named in the configuration."""

    def __init__(self, directory):
        self.directory = directory

    def trust(self, host, authority, client=None):
        folder = os.path.join(self.directory, host)
        with open(authority.certificate, encoding="utf-8") as source:
            write(os.path.join(folder, "ca.crt"), source.read())
        for path, name in zip(client or (), ("client.cert", "client.key")):
            with open(path, encoding="utf-8") as source:
                write(os.path.join(folder, name), source.read())


def config(path, **registries):
    """A configuration file with these keys below `registries`."""
    return write(path, json.dumps({"registries": registries}))     # JSON is YAML


def auth_file(path, mode=0o600, **hosts):
    """{"HOST": (user, password) or {…}} as podman login writes it."""
    auths = {}
    for host, value in hosts.items():
        pair = base64.b64encode(":".join(value).encode()).decode() if isinstance(value, tuple) else None
        auths[host] = {"auth": pair} if pair else value
    write(path, json.dumps({"auths": auths}))
    os.chmod(path, mode)
    return path


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenService:
    """A token service for docker-registry: RS256 tokens with the service's certificate in their header."""

    ISSUER, SERVICE = "test issuer", "test registry"

    def __init__(self, authority, life=60, identity_token=None):
        self.life, self.identity_token = life, identity_token
        self.certificate, self.key = authority.issue("tokens")
        self.requests, self.given = [], []
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                service.answer(self, query, self.headers.get("Authorization"))

            def do_POST(self):
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                service.answer(self, urllib.parse.parse_qs(form), None)

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def auth(self):
        """For the registry's configuration."""
        return (f"auth:\n  token:\n    realm: https://{self.host}/token\n    service: {self.SERVICE}\n"
                f"    issuer: {self.ISSUER}\n    rootcertbundle: {self.certificate}\n")

    def answer(self, handler, parameters, authorization):
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        refresh = parameters.get("refresh_token", [None])[0]
        good = refresh == self.identity_token if self.identity_token else authorization == f"Basic {pair}"
        self.requests.append((handler.command, parameters, authorization))
        body = json.dumps(self.token(parameters) if good else {"details": "who are you?"}).encode()
        handler.send_response(200 if good else 401)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def token(self, parameters):
        scope = parameters["scope"][0].split(":")
        now = int(time.time())
        der = openssl("x509", "-in", self.certificate, "-outform", "der")
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        claims = {"iss": self.ISSUER, "sub": USER, "aud": self.SERVICE, "exp": now + self.life, "nbf": now - 60,
                  "iat": now, "jti": str(len(self.given)),
                  "access": [{"type": scope[0], "name": scope[1], "actions": ["pull"]}]}
        text = encode(json.dumps(header).encode()) + "." + encode(json.dumps(claims).encode())
        signature = openssl("dgst", "-sha256", "-sign", self.key, input=text.encode())
        self.given.append(text + "." + encode(signature))
        name = "access_token" if self.identity_token else "token"
        return {name: self.given[-1], "expires_in": self.life}


class TunnelProxy:
    """A proxy that knows CONNECT only, and counts."""

    def __init__(self):
        self.tunnels, self.heads = [], []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        self.heads.append(head)
        self.tunnels.append(head.split()[1].decode())
        host, port = self.tunnels[-1].rsplit(":", 1)
        server = socket.create_connection((host.strip("[]"), int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
        back.start()
        self._copy(client, server)

    @staticmethod
    def _copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass    # one side has gone

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
