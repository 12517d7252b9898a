"""The program under test, with a state directory, a configuration and a runtime directory of its own.

    with Engine(config='...toml...') as engine:
        result = engine.run(["sh", "-c", "..."])            # dagger run: returncode, stdout, stderr
        with engine.session() as session:                    # dagger session
            data = session.query("{ defaultPlatform }")

Nothing that an engine starts may outlive it: on leaving, the runner is asked to stop, and a process or a mount that
is left then is an error (Leftovers) that names it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path

from support import graphql, processes
from support.processes import Process

# Which engine started a process; inherited, so that two engines in one test tell their runners apart.
_MARK = "DAGGER_TEST_ENGINE"


class EngineError(RuntimeError):
    """The program did not do what the toolkit needs of it (no connection line, no listening runner)."""


class Leftovers(AssertionError):
    """A process or a mount is left after the engine was told to stop."""


def build_dir() -> Path:
    """The build tree under test: DAGGER_BUILD_DIR, else build/dev of this repository."""
    root = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("DAGGER_BUILD_DIR") or root / "build" / "dev").resolve()


def query_command(text: str, variables: dict | None = None) -> list[str]:
    """A command for `dagger run` that sends one query and prints its data as JSON."""
    command = [sys.executable, graphql.__file__, text]
    return command + [json.dumps(variables)] if variables else command


class Session(graphql.Client):
    """A running `dagger session`. `close()` ends it as an SDK does and checks that it exits with 0."""

    def __init__(self, process: subprocess.Popen, stderr_file: Path, timeout: float):
        self.process, self._stderr_file = process, stderr_file
        line = processes.eventually(self._first_line_reader(), timeout, "the session's connection line")
        if line is None or not line.strip():
            process.wait(10)
            raise EngineError(f"dagger session ended with status {process.returncode}:\n{self.stderr()}")
        self.connection_line = line
        params = json.loads(line)
        super().__init__(params["port"], params["session_token"])

    def _first_line_reader(self):
        """A pipe has no readline with a time limit: a thread reads, the caller polls."""
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.append(self.process.stdout.readline().decode()), daemon=True)
        reader.start()
        return lambda: (lines[0] or "\n") if lines else None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.kill()
        else:
            self.close()

    def stderr(self) -> str:
        return self._stderr_file.read_text(errors="replace")

    def close(self, *, how: str = "eof", timeout: float = 30) -> int:
        """Ends the session by stdin's end ("eof"), or by a signal's name ("SIGTERM"); returns its exit status."""
        if self.process.poll() is None:
            if how == "eof":
                self.process.stdin.close()
            else:
                self.process.send_signal(signal.Signals[how])
        status = self.process.wait(timeout)
        self.process.stdout.close()
        if status != 0:
            raise EngineError(f"dagger session exits with {status} on {how}:\n{self.stderr()}")
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Engine:
    """`config` is the text of the operator's file (none: no file is named). `env` is added to every command's
    environment; None as a value takes a variable away. `state_dir` shares or keeps a state directory."""

    def __init__(self, config: str = "", *, env: dict[str, str | None] | None = None, state_dir: Path | None = None):
        processes.adopt_orphans()
        self.program = build_dir() / "bin" / "dagger"
        if not self.program.exists():
            raise EngineError(f"{self.program} is not built; DAGGER_BUILD_DIR names the build tree to test")
        self.dir = Path(tempfile.mkdtemp(prefix="dagger-test-"))
        self.state_dir = Path(state_dir) if state_dir else self.dir / "state"
        self.runtime_dir = self.dir / "run"
        self.runtime_dir.mkdir(mode=0o700)
        self.config_file = self.dir / "config.toml"
        self._id = uuid.uuid4().hex
        self._extra_env = env or {}
        self._started: list[subprocess.Popen] = []
        self._files = 0
        self.configure(config)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(check=kind is None)

    # ---- set-up

    def configure(self, text: str):
        """Replaces the operator's file; a running runner does not notice. "" means no file. DAGGER_TEST_CONFIG of the
        test's own environment goes before it."""
        text = "\n".join(filter(None, [os.environ.get("DAGGER_TEST_CONFIG"), text]))
        if text:
            self.config_file.write_text(text)
        else:
            self.config_file.unlink(missing_ok=True)

    def env(self, more: dict[str, str | None] | None = None) -> dict[str, str]:
        """The environment of every command."""
        result = {key: value for key, value in os.environ.items() if not key.startswith(("DAGGER_", "_EXPERIMENTAL_DAGGER"))}
        result.update(
            {
                _MARK: self._id,
                "DAGGER_STATE_DIR": str(self.state_dir),
                "XDG_RUNTIME_DIR": str(self.runtime_dir),
                "XDG_CACHE_HOME": str(self.dir / "cache"),
                "XDG_STATE_HOME": str(self.dir / "client-state"),
                "PYTHONDONTWRITEBYTECODE": "1",
            }
        )
        if self.config_file.exists():
            result["DAGGER_CONFIG"] = str(self.config_file)
        for key, value in {**self._extra_env, **(more or {})}.items():
            if value is None:
                result.pop(key, None)
            else:
                result[key] = value
        return result

    # ---- commands

    def dagger(self, *args, env=None, stdin: str | None = None, cwd=None, timeout: float = 120):
        """Runs `dagger ARGS...` to its end: a CompletedProcess with text in stdout and stderr, whatever its status."""
        return subprocess.run(
            [self.program, *map(str, args)], env=self.env(env), cwd=cwd or self.dir, timeout=timeout, text=True,
            errors="replace", capture_output=True, **({"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}),
        )  # fmt: skip

    def run(self, command, *flags, **more):
        """`dagger run FLAGS... COMMAND...`"""
        return self.dagger("run", *flags, *command, **more)

    def query(self, text: str, variables: dict | None = None, **more):
        """One query under `dagger run`: the data, or GraphQLError."""
        result = self.run(query_command(text, variables), **more)
        if result.returncode == 0:
            return json.loads(result.stdout)
        for line in result.stderr.splitlines():
            if line.startswith('{"errors"'):
                raise graphql.GraphQLError(json.loads(line)["errors"])
        raise EngineError(f"dagger run ended with status {result.returncode}:\n{result.stderr}")

    def start(self, *args, env=None, cwd=None, stdin=subprocess.DEVNULL, stdout=None) -> tuple[subprocess.Popen, Path]:
        """Starts `dagger ARGS...` and leaves it running: the process, and the file that gets its stderr (and its
        stdout, unless that is said)."""
        self._files += 1
        output = self.dir / f"output-{self._files}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [self.program, *map(str, args)], env=self.env(env), cwd=cwd or self.dir, stdin=stdin,
                stdout=stdout or file, stderr=file,
            )  # fmt: skip
        self._started.append(process)
        return process, output

    def session(self, *args, env=None, cwd=None, timeout: float = 60) -> Session:
        """`dagger session ARGS...`, ready for queries."""
        process, output = self.start(
            "session", *args, env=env, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return Session(process, output, timeout)

    def start_runner(self, *args, host: str | None = None, env=None, timeout: float = 30) -> subprocess.Popen:
        """`dagger runner --listen HOST ARGS...`, once it listens; later commands of this engine use it. `host` is
        unix:///path or tcp://127.0.0.1:port; without it a socket in the runtime directory."""
        host = host or f"unix://{self.runtime_dir}/test-runner.sock"
        process, output = self.start("runner", "--listen", host, *args, env=env)

        def listening():
            if process.poll() is not None:
                raise EngineError(f"dagger runner ended with status {process.returncode}:\n{output.read_text()}")
            return processes.accepts(host)

        processes.eventually(listening, timeout, f"dagger runner on {host}")
        self._extra_env = {**self._extra_env, "_EXPERIMENTAL_DAGGER_RUNNER_HOST": host}
        return process

    # ---- what is there

    def processes(self) -> list[Process]:
        """Every living process that this engine's commands left or lead to: runner, helpers, containers."""
        mine, others = [], set()
        for process in processes.descendants():
            environment = process.environment()
            foreign = environment.get(_MARK, self._id) != self._id or processes.SUPPORT_MARK.items() <= environment.items()
            if foreign or process.parent in others:
                others.add(process.pid)
            else:
                mine.append(process)
        return mine

    def runners(self) -> list[Process]:
        """The runners among them: the program with the word `runner`."""
        program = str(self.program.resolve())
        return [
            process
            for process in self.processes()
            if process.executable.removesuffix(" (deleted)") == program and "runner" in process.command[1:3]
        ]

    def kill_runners(self, how=signal.SIGKILL) -> list[int]:
        """Sends a signal to every runner, and returns their ids."""
        ids = [process.pid for process in self.runners()]
        for pid in ids:
            os.kill(pid, how)
        return ids

    def mounts(self, *, everywhere=True) -> list[str]:
        """Mounts in any mount namespace, or in this one, that have to do with this engine's directories."""
        look = processes.mounts_everywhere if everywhere else processes.mounts
        return sorted({line for place in {str(self.dir), str(self.state_dir)} for line in look(place)})

    def left(self) -> list[str]:
        return [f"process {process}" for process in self.processes()] + [f"mount {line}" for line in self.mounts()]

    def check_nothing_is_left(self, within: float = 1.0):
        """Leftovers, unless every process and mount is gone `within` seconds."""
        try:
            processes.eventually(lambda: not self.left(), within, "processes and mounts to go")
        except TimeoutError:
            left = self.left()
            if left:
                raise Leftovers("left behind:\n  " + "\n  ".join(left)) from None

    def close(self, *, check: bool = True):
        """Stops what is left of the commands and the runner; removes the directory; Leftovers if anything survives."""
        try:
            for process in self._started:
                if process.poll() is None:
                    process.terminate()
            self.kill_runners(signal.SIGTERM)
            try:
                self.check_nothing_is_left(within=15 if check else 1)
            except Leftovers:
                if check:
                    raise
        finally:
            self._clean_up()

    def _clean_up(self):
        for process in self.processes():
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for process in self._started:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe and not pipe.closed:
                    pipe.close()
        processes.reap_orphans(except_for={process.pid for process in self._started})
        for line in reversed(self.mounts(everywhere=False)):
            subprocess.run(["umount", "-l", line.split()[4]], check=False, capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)
