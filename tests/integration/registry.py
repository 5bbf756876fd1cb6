"""A real registry (Debian's docker-registry) on a free loopback port, for one test or one test class."""

import collections
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

import http_request
from ocilayout import MEDIA, Image, digest_of, index_of

Request = collections.namedtuple("Request", "method kind name reference status")
ACCESS = re.compile(r'"(GET|HEAD|PUT|POST|PATCH|DELETE) (/v2/\S*) HTTP/[\d.]+" (\d+)')
KINDS = re.compile(r"^/v2/(?P<name>.+)/(?P<kind>manifests|blobs|tags)/(?P<reference>[^?]*)")
CONFIG = """\
version: 0.1
log:
  accesslog:
    disabled: false
  level: error
storage:
  filesystem:
    rootdirectory: {storage}
  delete:
    enabled: true
http:
  addr: 127.0.0.1:{port}
{extra}"""


def need(program):
    """The path of a program; a missing one is a failure of the tests, never a reason to skip them."""
    path = shutil.which(program)
    if not path:
        raise AssertionError(f"the tests need the program {program!r}, which is not installed")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stop_process(process):
    """End a process that we started, politely first."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Registry:
    """Use as a context manager, or start() and stop(); `host` is what image references begin with."""

    def __init__(self, extra_config=""):
        """extra_config: more YAML for the registry's configuration, such as an auth section."""
        self._extra = extra_config
        self._process = None
        self.directory = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # Life -------------------------------------------------------------------------------------------------------

    def start(self, attempts=5):
        program = need("docker-registry")
        self.directory = tempfile.mkdtemp(prefix="registry-")
        for _ in range(attempts):   # somebody may take the port between our look and the registry's start
            self._launch(program, free_port())
            if self._answers():
                return self
            stop_process(self._process)
        text = self._log_text()
        self.stop()
        raise AssertionError(f"docker-registry does not start:\n{text}")

    def _launch(self, program, port):
        self.port, self.host = port, f"127.0.0.1:{port}"
        path = os.path.join(self.directory, "config.yml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(CONFIG.format(storage=self.storage, port=port, extra=self._extra))
        with open(self._log, "ab") as log:    # appending, so that forget_requests() can empty it
            self._process = subprocess.Popen([program, "serve", path], stdin=subprocess.DEVNULL, stdout=log,
                                             stderr=subprocess.STDOUT, start_new_session=True,
                                             env=dict(os.environ, OTEL_TRACES_EXPORTER="none"))

    def _answers(self, seconds=15):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._process.poll() is None:
            try:
                if self.request("GET", "/v2/").status in (200, 401):
                    return True
            except OSError:
                time.sleep(0.05)
        return False

    def stop(self):
        if self._process:
            stop_process(self._process)
            self._process = None
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None

    # HTTP -------------------------------------------------------------------------------------------------------

    def request(self, method, path, body=None, headers=None):
        """One request; the answer has status, headers and, as an attribute `body`, its bytes."""
        return http_request.send(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60), method, path, body, headers)

    def _expect(self, status, *request, **how):
        answer = self.request(*request, **how)
        if answer.status != status:
            raise AssertionError(f"{request[:2]}: the registry answers {answer.status} {answer.body[:500]!r}")
        return answer

    # Pushing ----------------------------------------------------------------------------------------------------

    def push_blob(self, repository, data):
        """Upload one blob (a no-op if it is there) and return its digest."""
        digest = digest_of(data)
        if self.request("HEAD", f"/v2/{repository}/blobs/{digest}").status == 200:
            return digest
        start = self._expect(202, "POST", f"/v2/{repository}/blobs/uploads/")
        place = urllib.parse.urlsplit(start.headers["Location"])
        self._expect(201, "PUT", f"{place.path}?{place.query}&digest={digest}", body=data,
                     headers={"Content-Type": "application/octet-stream"})
        return digest

    def push_manifest(self, repository, reference, data, media_type):
        self._expect(201, "PUT", f"/v2/{repository}/manifests/{reference}", body=data,
                     headers={"Content-Type": media_type})
        return digest_of(data)

    def push(self, repository, tag, image):
        """Push an Image; returns it."""
        for data in image.blobs.values():
            self.push_blob(repository, data)
        self.push_manifest(repository, tag or image.digest, image.manifest, image.types["manifest"])
        return image

    def push_image(self, repository, tag, layers, index=False, **options):
        """Make an image of raw layer tars (see ocilayout.Image for the options) and push it under a tag.

        With index=True the tag names an index that holds only this image. Returns the Image.
        """
        image = Image(layers, **options)
        if index:
            self.push_index(repository, tag, [image], media=options.get("media", "oci"))
            return image
        return self.push(repository, tag, image)

    def push_index(self, repository, tag, images, media="oci", extra=()):
        """Push images, and an index over them under the tag; returns the index's bytes."""
        for image in images:
            self.push(repository, None, image)
        data = index_of(images, media, extra)
        self.push_manifest(repository, tag, data, MEDIA[media]["index"])
        return data

    def push_layout(self, layout, layout_tag, repository, tag, image_format=None):
        """Copy an OCI layout with skopeo; image_format: None as it is, 'oci' or 'v2s2' (Docker's)."""
        command = [need("skopeo"), "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"]
        command += ["--format", image_format] if image_format else []
        done = subprocess.run([*command, f"oci:{layout}:{layout_tag}", f"docker://{self.host}/{repository}:{tag}"],
                              capture_output=True, check=False)
        if done.returncode:
            raise AssertionError(f"skopeo: {done.stderr.decode()}")

    def delete_manifest(self, repository, digest):
        """Remove a manifest and all tags that name it."""
        self._expect(202, "DELETE", f"/v2/{repository}/manifests/{digest}")

    def manifest(self, repository, reference):
        """The bytes of a manifest or index, whatever its type."""
        accept = ", ".join(MEDIA[media][kind] for media in MEDIA for kind in ("manifest", "index"))
        return self._expect(200, "GET", f"/v2/{repository}/manifests/{reference}", headers={"Accept": accept}).body

    # On disk ----------------------------------------------------------------------------------------------------

    @property
    def storage(self):
        return os.path.join(self.directory, "storage")

    def blob_path(self, digest):
        """The file that holds a blob or a manifest, for tampering. Restart nothing: it is read at each request."""
        hexadecimal = digest.removeprefix("sha256:")
        return os.path.join(self.storage, "docker/registry/v2/blobs/sha256", hexadecimal[:2], hexadecimal, "data")

    def tag_path(self, repository, tag):
        """The directory of a tag, for removing it."""
        return os.path.join(self.storage, "docker/registry/v2/repositories", repository, "_manifests/tags", tag)

    # Access log -------------------------------------------------------------------------------------------------

    @property
    def _log(self):
        return os.path.join(self.directory, "log")

    def _log_text(self):
        with open(self._log, encoding="utf-8", errors="replace") as source:
            return source.read()

    def requests(self, method=None, kind=None):
        """Requests since the last forget_requests(), in order: Request(method, kind, name, reference, status).

        kind is 'manifests', 'blobs', 'tags', or 'other' (such as GET /v2/).
        """
        found = []
        for verb, path, status in ACCESS.findall(self._log_text()):
            match = KINDS.match(path)
            parts = match.group("kind", "name", "reference") if match else ("other", "", path)
            found.append(Request(verb, *parts, int(status)))
        return [one for one in found if method in (None, one.method) and kind in (None, one.kind)]

    def count_requests(self):
        """{(method, kind): number}, such as {('HEAD', 'manifests'): 3}."""
        return dict(collections.Counter((one.method, one.kind) for one in self.requests()))

    def forget_requests(self):
        os.truncate(self._log, 0)
