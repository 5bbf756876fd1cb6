"""Running the program under test."""

import collections
import os
import shutil
import subprocess
import tempfile

Result = collections.namedtuple("Result", "status stdout stderr")


class Ducc:
    """The binary that DUCC_BINARY names, with a state directory of its own."""

    def __init__(self, environment=None, state_dir=None):
        """environment: variables for every run, such as StandInRepository.environment()."""
        self.binary = os.environ.get("DUCC_BINARY", "")
        if not os.access(self.binary, os.X_OK):
            raise AssertionError(f"DUCC_BINARY must name the program under test; it says {self.binary!r}")
        self.binary = os.path.realpath(self.binary)
        self.environment = dict(os.environ if environment is None else environment)
        self._own = state_dir is None
        self.state_dir = state_dir or tempfile.mkdtemp(prefix="ducc-state-")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._own:
            shutil.rmtree(self.state_dir, ignore_errors=True)

    def command(self, *arguments, state=True):
        """The command line; the state directory comes right after the subcommand."""
        arguments = [os.fspath(argument) for argument in arguments]
        options = ["--state-dir", self.state_dir] if state else []
        return [self.binary, *arguments[:1], *options, *arguments[1:]]

    def run(self, *arguments, env=None, check=False, timeout=120, stdin=b"", state=True, cwd=None):
        """Run to the end. `env` adds variables (None as a value removes one); `check` may be True or a status.

        Output is text; bytes that are none come as surrogate escapes.
        """
        command = self.command(*arguments, state=state)
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, env=self.variables(env), cwd=cwd,
                                  timeout=timeout, check=False)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"{command} still runs after {timeout} s\n{(late.stderr or b'').decode()}") from None
        result = Result(done.returncode, *(os.fsdecode(text) for text in (done.stdout, done.stderr)))
        expected = 0 if check is True else check
        if check is not False and result.status != expected:
            raise AssertionError(f"{command} ended with {result.status}, not {expected}\n"
                                 f"{result.stdout}\n{result.stderr}")
        return result

    def start(self, *arguments, env=None, state=True, **how):
        """Start in a process group of its own, for tests that signal it; see stop_process in registry.py."""
        return subprocess.Popen(self.command(*arguments, state=state), env=self.variables(env), start_new_session=True,
                                **{"stdin": subprocess.DEVNULL, **how})

    def variables(self, more):
        merged = {**self.environment, **(more or {})}
        return {key: str(value) for key, value in merged.items() if value is not None}
