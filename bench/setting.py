"""What every part of the bench works with: a registry, images, engines, sessions over one kept connection each."""

import http.client
import json
import os
import subprocess
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

from support import graphql, images
from support.engine import Engine
from support.registry import Registry


def ms_since(begin: float) -> float:
    return (time.perf_counter() - begin) * 1000


def timed(function, *args) -> float:
    begin = time.perf_counter()
    function(*args)
    return ms_since(begin)


class Session:
    """`dagger session`, with one HTTP connection that is kept. to_line and to_answer: ms from the start of the process
    to its JSON line, and to the answer of a first trivial query."""

    TRIVIAL = "{ defaultPlatform }"

    def __init__(self, engine: Engine):
        begin = time.perf_counter()
        self._process, self._log = engine.start("session", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self._process.stdout.readline()
        self.to_line = ms_since(begin)
        if not line:
            raise RuntimeError(f"dagger session gave no line:\n{self._log.read_text()}")
        params = json.loads(line)
        self._client = graphql.Client(params["port"], params["session_token"])
        self._connection = http.client.HTTPConnection("127.0.0.1", params["port"], timeout=3600)
        self.query(self.TRIVIAL)
        self.to_answer = ms_since(begin)

    def query(self, text: str):
        self._connection.request("POST", "/query", json.dumps({"query": text}).encode(), self._client.headers())
        answer = json.loads(self._connection.getresponse().read())
        if answer.get("errors"):
            raise graphql.GraphQLError(answer["errors"])
        return answer["data"]

    def timed(self, text: str) -> float:
        return timed(self.query, text)

    def close(self):
        self._connection.close()
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Setting:
    """`quick` asks for a small fraction of the work; `files` and `megabytes` scale the heavy parts."""

    def __init__(self, directory: Path, *, quick: bool, runs: int, files: int, megabytes: int):
        self.directory, self.quick, self.runs = directory, quick, runs
        self.files, self.megabytes = files, megabytes
        self.registry = Registry()
        self.image = self.registry.push(images.busybox(), "bench/busybox:1")

    def close(self):
        self.registry.stop()

    @contextmanager
    def engine(self, config: str = "", *, runner: bool = True):
        """An engine with an empty state; `runner`: with a runner that is up."""
        engine = Engine(config)
        try:
            if runner:
                engine.start_runner(timeout=120)
            yield engine
        finally:
            engine.close(check=False)

    def pull(self, session: Session):
        """The image that chains start from, in the store."""
        session.query('{container{from(address:"%s"){sync}}}' % self.image)

    def chain(self, steps: int, name: str) -> str:
        """One query for a chain of distinct execs; `name` makes it distinct from other chains."""
        text = "".join('{withExec(args:["/bin/true","%s","%d"])' % (name, step) for step in range(steps))
        return '{container{from(address:"%s")' % self.image + text + "{stdout}" + "}" * (steps + 2)


def new_name() -> str:
    return uuid.uuid4().hex


def disk_at_rest():
    """What others wrote goes to the disk before something is measured, not while."""
    os.sync()
