"""Git repositories for tests, by the real git: without the configuration of machine and user."""

import os
import subprocess

from registry import need

ENVIRONMENT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "t",
               "GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org",
               "GIT_TERMINAL_PROMPT": "0"}


def git(directory, *arguments, stdin=b"", env=None):
    """What it printed, as text."""
    done = subprocess.run([need("git"), "-C", directory, *arguments], input=stdin, capture_output=True, check=False,
                          env={**os.environ, **ENVIRONMENT, **(env or {})})
    if done.returncode:
        raise AssertionError(f"git {' '.join(arguments)}: {done.stderr.decode()}")
    return done.stdout.decode().strip()


class WorkTree:
    """A repository with a work tree, on branch main; `bare` is a bare one that push() brings it to."""

    def __init__(self, directory, bare=None):
        self.directory, self.bare = directory, bare
        os.makedirs(directory)
        git(directory, "init", "-q", "-b", "main")
        if bare:
            git(os.path.dirname(directory), "init", "-q", "--bare", "-b", "main", bare)

    def git(self, *arguments, **how):
        return git(self.directory, *arguments, **how)

    def write(self, path, text):
        full = os.path.join(self.directory, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as out:
            out.write(text)
        return full

    def commit(self, message="change", **files):
        """files: text by path, "__" in a name standing for a slash and "_yaml" for its ending."""
        for name, text in files.items():
            self.write(name.replace("__", "/").replace("_yaml", ".yaml"), text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def push(self, *options, branch="main"):
        self.git("push", "-q", *options, self.bare, f"HEAD:refs/heads/{branch}")
