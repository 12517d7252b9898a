"""The base class of tests of the API: one engine and one session per class, and a short way to write a query.

    class Exec(ApiTest):
        def test_prints(self):
            self.assertEqual(self.ask(*self.busybox, run("echo", "hi"), "stdout"), "hi\\n")
"""

import contextlib
import json

from support import case
from support.engine import Engine
from support.graphql import GraphQLError


def call(field: str, **arguments) -> str:
    """A field with its arguments: call("withFile", path="/a", source=id). Enumerators are Name("SHARED")."""
    if not arguments:
        return field
    return f"{field}({', '.join(f'{name}: {_literal(value)}' for name, value in arguments.items())})"


def run(*args: str, **more) -> str:
    return call("withExec", args=list(args), **more)


def shell(script: str, **more) -> str:
    return run("sh", "-c", script, **more)


class Name(str):
    """An enumerator: written without quotes."""


def _literal(value) -> str:
    return value if isinstance(value, Name) else json.dumps(value)


def chain(fields) -> str:
    fields = list(fields)
    return "{" + "{".join(fields) + "}" * len(fields)


def ask(client, *fields):
    """Sends one chain of fields; returns what the last one answers."""
    answer = client.query(chain(fields))
    while isinstance(answer, dict) and len(answer) == 1:
        answer = next(iter(answer.values()))
    return answer


class ApiTest(case.EngineTest):
    """`sdk_version` is the generation of the client, whose names and semantics the session takes on."""

    sdk_version = "0.9.3"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.engine = Engine(cls.config)
        cls.addClassCleanup(cls.engine.close)
        cls.session = cls.open_session(cls.sdk_version)

    def setUp(self):
        """The class has an engine; a test that wants one of its own calls new_engine()."""

    @classmethod
    def open_session(cls, sdk_version: str, *args, **more):
        """A further session with the class's engine, for clients of that generation; ends with the class."""
        session = cls.engine.session(*args, "--label", f"dagger.io/sdk.version:{sdk_version}", **more)
        cls.addClassCleanup(session.kill)
        cls.addClassCleanup(session.close)
        return session

    @property
    def busybox(self) -> tuple[str, str]:
        return "container", call("from", address=self.image)

    def ask(self, *fields):
        return ask(self.session, *fields)

    @contextlib.contextmanager
    def fails(self, *texts: str):
        """The query inside fails with a message that holds every one of the texts."""
        with self.assertRaises(GraphQLError) as caught:
            yield caught
        for text in texts:
            self.assertIn(text, str(caught.exception))

    def new_directory(self, files: dict[str, str], session=None) -> str:
        """The id of a directory with these files."""
        writes = [call("withNewFile", path=path, contents=contents) for path, contents in files.items()]
        return ask(session or self.session, "directory", *writes, "id")

    def new_file(self, contents: str, name="file") -> str:
        return self.ask("directory", call("withNewFile", path=name, contents=contents), call("file", path=name), "id")
