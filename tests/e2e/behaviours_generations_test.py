"""Clients that cannot say which version they were made for: SDKs under `dagger run`."""

from api_case import ask, call, run
from support import case
from support.graphql import Client

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NODE_FETCH_2 = "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)"
OLD = '{checkVersionCompatibility(version:"0.11.9")}'
VERSION = "{version}"


class ClientCalled(Client):
    """A client that calls itself so, and sends these headers."""

    def __init__(self, session: Client, user_agent: str, more: dict[str, str]):
        super().__init__(session.port, session.token)
        self._more = {"User-Agent": user_agent, **more}

    def headers(self) -> dict[str, str]:
        return {**super().headers(), **self._more}


class Generations(case.EngineTest):
    def test_a_trace_begins_with_the_command_unless_there_is_one(self):
        show = ["sh", "-c", 'echo "$TRACEPARENT"']
        begun = r"^00-[0-9a-f]{32}-[0-9a-f]{16}-01\n$"
        self.assertRegex(self.engine.run(show, env={"TRACEPARENT": None}).stdout, begun)
        self.assertRegex(self.engine.run(show, env={"TRACEPARENT": ""}).stdout, begun)
        self.assertEqual(self.engine.run(show, env={"TRACEPARENT": TRACE}).stdout, TRACE + "\n")

    def test_the_entrypoint_is_used_as_each_generation_expects(self):
        entrypoint = call("withEntrypoint", args=["echo", "entry"])
        query = "container", call("from", address=self.image), entrypoint, run("echo", "x"), "stdout"
        for user_agent, questions, headers, expected in (
            ("curl/7.88.1", [VERSION], {}, "entry echo x\n"),
            (NODE_FETCH_2, [], {}, "entry echo x\n"),
            (NODE_FETCH_2, [OLD, VERSION], {}, "entry echo x\n"),
            (NODE_FETCH_2, [VERSION], {}, "x\n"),
            ("node-fetch", [], {}, "x\n"),
            ("python-httpx/0.28.1", [VERSION], {}, "x\n"),
            ("Go-http-client/1.1", [], {"traceparent": TRACE}, "x\n"),
            ("Go-http-client/1.1", [OLD], {"traceparent": TRACE}, "entry echo x\n"),
        ):
            with self.subTest(user_agent=user_agent, questions=questions), self.engine.session() as session:
                client = ClientCalled(session, user_agent, headers)
                for question in questions:
                    client.query(question)
                self.assertEqual(ask(client, *query), expected)


if __name__ == "__main__":
    case.main()
