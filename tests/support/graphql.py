"""A GraphQL client for a session; as a program, the smallest user of DAGGER_SESSION_PORT and DAGGER_SESSION_TOKEN:

    dagger run python3 tests/support/graphql.py '{ defaultPlatform }'     # prints the data as JSON; 1 on errors
"""

import base64
import http.client
import json
import os
import sys


class GraphQLError(RuntimeError):
    """The answer holds errors. `errors` are all of them; `extensions` those of the first."""

    def __init__(self, errors: list[dict], data=None):
        super().__init__("; ".join(error.get("message", "(no message)") for error in errors))
        self.errors, self.data = errors, data
        self.extensions = errors[0].get("extensions") or {}


class Client:
    """Talks to one session. Each request has a connection of its own, so threads may share a client."""

    def __init__(self, port: int, token: str, *, timeout: float = 120):
        self.port, self.token, self.timeout = port, token, timeout

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)

    def headers(self) -> dict[str, str]:
        credentials = base64.b64encode(f"{self.token}:".encode()).decode()
        return {"Content-Type": "application/json", "Authorization": f"Basic {credentials}"}

    def request(self, method="POST", path="/query", body=b"", headers=None) -> tuple[int, dict[str, str], bytes]:
        """One plain HTTP request: (status, headers in lower case, body). `headers` replaces the usual ones."""
        connection = self.connect()
        try:
            connection.request(method, path, body=body, headers=self.headers() if headers is None else headers)
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def query(self, text: str, variables: dict | None = None, operation: str | None = None):
        """Returns the data; GraphQLError where the answer has errors or is none."""
        message = {"query": text}
        if variables:
            message["variables"] = variables
        if operation:
            message["operationName"] = operation
        status, _, body = self.request(body=json.dumps(message).encode())
        try:
            answer = json.loads(body)
        except ValueError:
            raise GraphQLError([{"message": f"HTTP {status}: {body[:500]!r}"}]) from None
        if answer.get("errors"):
            raise GraphQLError(answer["errors"], answer.get("data"))
        return answer["data"]


def from_environment() -> Client:
    return Client(int(os.environ["DAGGER_SESSION_PORT"]), os.environ["DAGGER_SESSION_TOKEN"])


def main() -> int:
    text = sys.argv[1]
    variables = json.loads(sys.argv[2]) if len(sys.argv) > 2 else None
    try:
        print(json.dumps(from_environment().query(text, variables)))
    except GraphQLError as error:
        print(json.dumps({"errors": error.errors}), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
