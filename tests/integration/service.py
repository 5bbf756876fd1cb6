"""What tests of the service share: a configuration with lists, the running daemon, and waiting for what it does."""

import json
import os
import signal
import subprocess
import time

from failing import FailureTest
from published import metadata


class Service:
    """`ducc daemon`, or another command that runs on; its log goes to a file."""

    def __init__(self, ducc, log, *arguments, env=None):
        self.log_file = log
        with open(log, "ab") as out:
            self.process = ducc.start(*arguments, stdout=out, stderr=subprocess.STDOUT, env=env)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()

    def log(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as source:
            return source.read()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self, seconds=60):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def proc(self, name):
        with open(f"/proc/{self.process.pid}/{name}", encoding="ascii", errors="replace") as source:
            return source.read()

    def usage(self):
        """Resident memory in kB, open files, threads."""
        status = dict(line.split(":", 1) for line in self.proc("status").splitlines())
        return {"memory": int(status["VmRSS"].split()[0]), "threads": int(status["Threads"]),
                "files": len(os.listdir(f"/proc/{self.process.pid}/fd"))}


class ServiceTest(FailureTest):
    """With `self.configure()`, a configuration file; with `self.recipe()`, a list."""

    def fast(self):
        """A directory where waiting for the disk takes no time: for tests of many commits, on a machine that is busy."""
        os.mkdir(self.path("fast"))
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.path("fast")], check=True)
        return self.path("fast")

    def recipe(self, name, repository, entries, interval=None):
        path = self.path(name)
        text = {"version": 2, "lists": [{"repository": repository, "images": [f"http://{e}" for e in entries]}]}
        if interval:
            text["lists"][0]["interval"] = interval
        with open(path + ".new", "w", encoding="utf-8") as out:
            json.dump(text, out)            # which is YAML, too
        os.rename(path + ".new", path)
        return path

    def configure(self, lists, service=None, **more):
        """The path of a configuration: lists are paths, URLs or mappings."""
        text = {"lists": [one if isinstance(one, dict) else {"source": one} for one in lists],
                "service": {"interval": "10s", **(service or {})}, **more}
        path = self.path("ducc.yaml")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(text, out)
        return path

    def service(self, ducc, *arguments, env=None):
        return self.enterContext(Service(ducc, self.path("service.log"), *arguments, env=env))

    def daemon(self, ducc, config, *arguments, speed=None):
        return self.service(ducc, "daemon", "--config", config, *arguments,
                            env={"DUCC_CLOCK_SPEED": speed} if speed else None)

    def poll(self, ducc, config, *arguments, status=0, env=None, timeout=120):
        result = ducc.run("poll", "--config", config, "--json", *arguments, env=env, timeout=timeout)
        lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
        self.outcomes = {line["image"]: line["outcome"] for line in lines if line["event"] == "result"}
        self.errors = {line["image"]: line["error"] for line in lines if line.get("outcome") == "failed"}
        self.assertEqual(result.status, status, result.stdout + result.stderr)
        return result

    def is_published(self, backend, name, image):
        try:
            return metadata(backend.view, name) == image.manifest and os.path.isdir(os.path.join(backend.view, name))
        except OSError:
            return False

    def wait_for(self, what, service=None, seconds=60, message=""):
        """Seconds until what() is true."""
        start = time.monotonic()
        while not what():
            if service and service.process.poll() is not None:
                raise AssertionError(f"the service ended with {service.process.returncode}\n{service.log()}")
            if time.monotonic() > start + seconds:
                raise AssertionError(f"{message or what} does not happen\n{service.log() if service else ''}")
            time.sleep(0.05)
        return time.monotonic() - start

    def wait_published(self, backend, name, image, service=None, seconds=60):
        return self.wait_for(lambda: self.is_published(backend, name, image), service, seconds, f"publishing {name}")

    @staticmethod
    def left_in_spool(state):
        """Blobs and layers, whole or begun."""
        return [os.path.join(top, name) for top, directories, files in os.walk(state) for name in [*directories, *files]
                if os.path.basename(top) in ("blobs", "layers") and "spool" in top]
