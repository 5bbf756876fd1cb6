"""Git servers on loopback, with Debian's programs: git http-backend behind Python's web server, and sshd."""

import base64
import contextlib
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

from gitrepo import ENVIRONMENT
from registry import free_port, need, stop_process


class HttpGitServer:
    """git http-backend for all repositories below a folder; `url` has no slash at its end.

    `requests` holds [method, path, status, bytes sent] of each; `hang_after` stops sending after so many bytes of an
    answer, and stays; `rate` is bytes a second.
    """

    def __init__(self, root, certificate=None, password=None, name="127.0.0.1"):
        """certificate: (file, key) makes it https; password: (user, password), else nobody is let in."""
        self.root, self.password = root, password
        self.requests, self.hang_after, self.rate = [], None, None
        self._let_go = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):
                server.answer(self)

            do_POST = do_GET

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.host = f"{name}:{self.port}"
        self.url = f"{'https' if certificate else 'http'}://{self.host}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.let_go()
        self._server.shutdown()
        self._server.server_close()

    def let_go(self):
        """Of those who hang: their connections are closed."""
        self._let_go.set()

    def bytes_sent(self):
        return sum(each[3] for each in self.requests)

    # One request ------------------------------------------------------------------------------------------------

    def answer(self, handler):
        path, _, query = handler.path.partition("?")
        record = [handler.command, path, 401, 0]
        self.requests.append(record)
        body = self._body(handler)
        if self.password and handler.headers.get("Authorization") != self._expected():
            self._refuse(handler)
            return
        variables = {"GIT_PROJECT_ROOT": self.root, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
                     "REQUEST_METHOD": handler.command, "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
                     "CONTENT_LENGTH": str(len(body)), "REMOTE_ADDR": "127.0.0.1",
                     "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
                     "GIT_PROTOCOL": handler.headers.get("Git-Protocol", "")}
        child = subprocess.Popen([need("git"), "http-backend"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, env={**os.environ, **ENVIRONMENT, **variables})
        threading.Thread(target=self._feed, args=(child, body), daemon=True).start()
        try:
            record[2] = self._send_head(handler, child.stdout)
            self._send_body(handler, child.stdout, record)
        except (OSError, ssl.SSLError):
            handler.close_connection = True     # the client has gone
        finally:
            child.kill()
            child.wait()
            child.stdout.close()

    def _expected(self):
        return "Basic " + base64.b64encode(":".join(self.password).encode()).decode()

    @staticmethod
    def _refuse(handler):
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", 'Basic realm="lists"')
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    @staticmethod
    def _body(handler):
        if handler.headers.get("Transfer-Encoding", "") != "chunked":
            return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        body = b""
        while size := int(handler.rfile.readline().split(b";")[0], 16):
            body += handler.rfile.read(size)
            handler.rfile.readline()
        handler.rfile.readline()
        return body

    @staticmethod
    def _feed(child, body):
        with contextlib.suppress(OSError):
            child.stdin.write(body)
            child.stdin.close()

    @staticmethod
    def _send_head(handler, source):
        status, headers = 200, []
        while line := source.readline().decode().strip():
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(value.split()[0])
            else:
                headers.append((name, value))
        handler.send_response(status)
        for header in headers:
            handler.send_header(*header)
        handler.end_headers()
        return status

    def _send_body(self, handler, source, record):
        while data := source.read1(65536 if self.rate is None else max(1, self.rate // 10)):
            if self.hang_after is not None and record[3] + len(data) > self.hang_after:
                data = data[:self.hang_after - record[3]]
            handler.wfile.write(data)
            handler.wfile.flush()
            record[3] += len(data)
            if record[3] == self.hang_after:
                self._let_go.wait()
                raise OSError("hung")
            if self.rate:
                time.sleep(len(data) / self.rate)


def make_key(path, passphrase="", kind="ed25519"):
    """A key pair at path and path.pub; the public key's line."""
    done = subprocess.run([need("ssh-keygen"), "-q", "-t", kind, "-N", passphrase, "-C", "test", "-f", path],
                          capture_output=True, check=False)
    if done.returncode:
        raise AssertionError(f"ssh-keygen: {done.stderr.decode()}")
    with open(path + ".pub", encoding="ascii") as source:
        return source.read().strip()


class SshGitServer:
    """sshd that lets in whoever has one of the keys that authorize() was given; `url` for paths of the machine."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.host_key = make_key(os.path.join(directory, "host_key"))
        self.port, self._process = free_port(), None
        self.authorized = os.path.join(directory, "authorized_keys")
        with open(self.authorized, "w", encoding="ascii"):
            pass
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        self.url = f"ssh://{user}@127.0.0.1:{self.port}"

    def authorize(self, public_key):
        with open(self.authorized, "a", encoding="ascii") as out:
            out.write(public_key + "\n")

    def known_host(self, key=None):
        """The line for known_hosts."""
        return f"[127.0.0.1]:{self.port} {' '.join((key or self.host_key).split()[:2])}\n"

    def __enter__(self):
        lines = ["ListenAddress 127.0.0.1", f"Port {self.port}", f"HostKey {self.directory}/host_key", "PidFile none",
                 f"AuthorizedKeysFile {self.authorized}", "StrictModes no", "UsePAM no", "PasswordAuthentication no",
                 "KbdInteractiveAuthentication no", "PermitRootLogin yes", "UseDNS no"]
        config = os.path.join(self.directory, "sshd_config")
        with open(config, "w", encoding="ascii") as out:
            out.write("\n".join(lines) + "\n")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        program = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin") or need("sshd")
        self._log = open(os.path.join(self.directory, "log"), "wb")
        self._process = subprocess.Popen([program, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL, stderr=self._log)
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"sshd does not start:\n{self.log()}")
            time.sleep(0.05)

    def __exit__(self, *_):
        stop_process(self._process)
        self._log.close()

    def log(self):
        with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as source:
            return source.read()


class Agent:
    """ssh-agent with these private keys; `socket` is for SSH_AUTH_SOCK."""

    def __init__(self, directory, *keys):
        self.socket, self._keys = os.path.join(directory, "agent"), keys

    def __enter__(self):
        self._process = subprocess.Popen([need("ssh-agent"), "-D", "-a", self.socket], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not os.path.exists(self.socket) and time.monotonic() < deadline:
            time.sleep(0.02)
        for key in self._keys:
            subprocess.run([need("ssh-add"), "-q", key], check=True, stdin=subprocess.DEVNULL,
                           env={**os.environ, "SSH_AUTH_SOCK": self.socket})
        return self

    def __exit__(self, *_):
        stop_process(self._process)
