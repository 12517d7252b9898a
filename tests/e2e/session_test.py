"""`dagger session`: what every SDK expects of it."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

from api_case import ask, call, chain, run, shell
from support import case, processes
from support.engine import Session


class Lifetime(case.EngineTest):
    def test_the_connection_line_is_exactly_what_sdks_parse(self):
        with self.engine.session() as session:
            self.assertRegex(session.connection_line, r'^\{"port":[1-9]\d*,"session_token":"[^"]+"\}\n$')
            self.assertEqual(session.query("{defaultPlatform}"), {"defaultPlatform": "linux/amd64"})

    def test_every_flag_of_every_sdk_is_tolerated(self):
        flags = [
            "--workdir", self.engine.dir, "--project", "/none", "--label", "dagger.io/sdk.name:go",
            "--label", "dagger.io/sdk.version:0.9.3", "--label", "dagger.io/sdk.async:true", "--version", "v0.13.0",
            "--workspace", "/w", "--load-workspace-modules", "--skip-workspace-modules", "-vvv",
        ]  # fmt: skip
        with self.engine.session(*flags) as session:
            session.query("{defaultPlatform}")
        with self.engine.session("-W", "/w", "-v", "-vv", "--label", "no colon") as session:
            session.query("{defaultPlatform}")

    def test_it_ends_quickly_with_0_however_it_is_told(self):
        for how in "eof", "SIGTERM", "SIGINT":
            session = self.engine.session()
            session.query("{defaultPlatform}")
            started = time.monotonic()
            self.assertEqual(session.close(how=how), 0)
            self.assertLess(time.monotonic() - started, 2, how)

    def test_it_ends_quickly_while_a_step_runs(self):
        session = self.engine.session()
        ready = threading.Thread(target=lambda: self.try_query(session, "sleep", "62"), daemon=True)
        ready.start()
        processes.eventually(lambda: self.sleeping("62"), 20, "the step to run")
        started = time.monotonic()
        session.close(how="SIGTERM")
        self.assertLess(time.monotonic() - started, 2)
        processes.eventually(lambda: not self.sleeping("62"), 2, "the step to be cancelled")

    def try_query(self, session, *args):
        try:
            ask(session, "container", call("from", address=self.image), run(*args), "stdout")
        except Exception:  # noqa: BLE001 - the session goes away below the query
            pass

    def sleeping(self, seconds):
        return [p for p in self.engine.processes() if p.command[-2:] == ("sleep", seconds)]

    def test_an_empty_standard_input_ends_it_after_its_line(self):
        result = self.engine.dagger("session")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(set(json.loads(result.stdout)), {"port", "session_token"})

    def start(self, **more):
        return subprocess.Popen(
            [self.engine.program, "session", "--label", "dagger.io/sdk.version:0.9.3"], env=self.engine.env(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, **more,
        )  # fmt: skip

    def test_a_standard_error_that_nobody_reads_does_not_block(self):
        process = self.start(stderr=subprocess.PIPE)
        session = Session(process, None, 30)
        noisy = shell("yes 0123456789012345678901234567890123456789 | head -n 30000; echo end")
        self.assertTrue(ask(session, "container", call("from", address=self.image), noisy, "stdout").endswith("end\n"))
        process.stdin.close()
        self.assertEqual(process.wait(5), 0)
        process.stdout.close()
        process.stderr.close()

    def test_closed_outputs_are_no_error(self):
        process = self.start(stderr=subprocess.PIPE)
        session = Session(process, None, 30)
        process.stderr.close()
        process.stdout.close()
        ask(session, "container", call("from", address=self.image), shell("echo x; echo y >&2"), "stdout")
        process.stdin.close()
        self.assertEqual(process.wait(5), 0)

    def test_a_socket_pair_as_standard_input(self):
        ours, its = socket.socketpair()
        process = subprocess.Popen(
            [self.engine.program, "session"], env=self.engine.env(), stdin=its, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        its.close()
        self.assertTrue(process.stdout.readline())
        ours.close()
        self.assertEqual(process.wait(5), 0)
        process.stdout.close()

    def test_a_client_that_is_killed_takes_its_session_along(self):
        client = "import subprocess,sys,time; p = subprocess.Popen([sys.argv[1],'session'], stdin=subprocess.PIPE); time.sleep(99)"
        process = subprocess.Popen(
            ["/usr/bin/python3", "-c", client, self.engine.program], env=self.engine.env(),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        port = json.loads(process.stdout.readline())["port"]
        process.kill()
        process.wait()
        process.stdout.close()
        processes.eventually(lambda: not processes.accepts(f"tcp://127.0.0.1:{port}"), 5, "the session to end")


class Http(case.EngineTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        from support.engine import Engine

        cls.engine = Engine()
        cls.addClassCleanup(cls.engine.close)
        cls.session = cls.engine.session("--label", "dagger.io/sdk.version:0.9.3")
        cls.addClassCleanup(cls.session.close)

    def setUp(self):
        pass

    def post(self, body, content="application/json", path="/query", method="POST", **headers):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        all_headers = {**self.session.headers(), "Content-Type": content, **headers}
        if content is None:
            del all_headers["Content-Type"]
        return self.session.request(method, path, data, {k: v for k, v in all_headers.items() if v is not None})

    def get(self, path, **headers):
        authorization = {"Authorization": self.session.headers()["Authorization"]}
        return self.session.request("GET", path, b"", {**authorization, **headers})

    QUERY = {"query": "{defaultPlatform}"}
    ANSWER = b'{"data":{"defaultPlatform":"linux/amd64"}}'

    def test_an_answer_is_compact_json(self):
        status, headers, body = self.post(self.QUERY)
        self.assertEqual((status, body), (200, self.ANSWER))
        self.assertEqual(headers["content-type"], "application/json; charset=utf-8")
        self.assertTrue(headers["x-dagger-engine"])

    def test_the_token_is_asked_for(self):
        wrong = base64.b64encode(b"wrong:").decode()
        for authorization in None, f"Basic {wrong}", "Basic !!!", "Bearer x", f"Basic {base64.b64encode(b':').decode()}":
            status, headers, body = self.post(self.QUERY, Authorization=authorization)
            self.assertEqual((status, body), (401, b""), authorization)
            self.assertTrue(headers["www-authenticate"].startswith("Basic realm="), headers)
        with_password = base64.b64encode(f"{self.session.token}:ignored".encode()).decode()
        self.assertEqual(self.post(self.QUERY, Authorization=f"Basic {with_password}")[0], 200)

    def test_it_listens_on_loopback_only(self):
        own = socket.gethostbyname(socket.gethostname())
        if own.startswith("127."):
            return  # this machine has no other address by name
        self.assertFalse(processes.accepts(f"tcp://{own}:{self.session.port}"))

    def test_forms_of_a_post(self):
        named = {
            "query": "query Not { defaultPlatform } query This($p: Platform!) { container(platform: $p) { platform } }",
            "operationName": "This", "variables": {"p": "linux/arm64"},
        }  # fmt: skip
        arm = b'{"data":{"container":{"platform":"linux/arm64"}}}'
        self.assertEqual(self.post(named)[2], arm)
        self.assertEqual(self.post({**named, "variables": json.dumps(named["variables"])})[2], arm)
        self.assertEqual(self.post({**self.QUERY, "operationName": "", "variables": None})[2], self.ANSWER)
        self.assertEqual(self.post("{defaultPlatform}", "application/graphql")[2], self.ANSWER)
        form = urllib.parse.urlencode(self.QUERY)
        self.assertEqual(self.post(form, "application/x-www-form-urlencoded")[2], self.ANSWER)
        self.assertEqual(self.post(self.QUERY, None)[2], self.ANSWER)
        self.assertEqual(self.post(self.QUERY, "application/json; charset=utf-8", Host="dagger")[2], self.ANSWER)

    def test_forms_of_a_get(self):
        encoded = lambda **parameters: "/query?" + urllib.parse.urlencode(parameters)
        self.assertEqual(self.get(encoded(query="{ defaultPlatform }"))[2], self.ANSWER)
        text = "query A { defaultPlatform } query B($p: Platform!) { container(platform: $p) { platform } }"
        status, _, body = self.get(encoded(query=text, operationName="B", variables='{"p":"linux/arm64"}'))
        self.assertEqual((status, body), (200, b'{"data":{"container":{"platform":"linux/arm64"}}}'))
        in_full = f"http://127.0.0.1:{self.session.port}" + encoded(query="{ defaultPlatform }")
        self.assertEqual(self.get(in_full)[2], self.ANSWER)
        self.assertEqual(self.get("/query")[0], 400)
        self.assertEqual(self.get(encoded(query="{defaultPlatform}", variables="{"))[0], 400)

    def test_status_codes_depend_on_what_the_client_accepts(self):
        newer = "application/graphql-response+json"
        broken, unknown, failing = {"query": "{"}, {"query": "{nothing}"}, {"query": chain(["directory", call("file", path="x"), "id"])}
        for query, status in (broken, 400), (unknown, 400), (failing, 200), (self.QUERY, 200):
            for accept, expected in (None, 200), ("*/*", 200), ("application/json", 200), (newer, status), (f"{newer}, application/json", status):
                got, headers, body = self.post(query, Accept=accept)
                self.assertEqual(got, expected, (query, accept))
                self.assertEqual("errors" in json.loads(body), query is not self.QUERY)
                type_ = newer if accept and accept.startswith(newer) else "application/json"
                self.assertEqual(headers["content-type"], f"{type_}; charset=utf-8")

    def test_bad_requests_are_400(self):
        for body in "", "{", "[]", "null", '"x"', "{}", '{"query":1}', '{"query":"{version}","variables":[]}', '{"query":"{version}","operationName":1}', '{"query":"\xff"}':  # fmt: skip
            data = body.encode("latin-1")
            status, _, answer = self.session.request(body=data)
            self.assertEqual(status, 400, body)
            self.assertTrue(json.loads(answer)["errors"][0]["message"], body)
        self.assertEqual(self.post(self.QUERY, path="/other")[0], 404)
        self.assertEqual(self.post(self.QUERY, method="PATCH")[0], 405)

    def test_errors_have_places(self):
        _, _, body = self.post({"query": "{\n  defaultPlatform\n  nothing\n}"})
        error = json.loads(body)["errors"][0]
        self.assertEqual(error["locations"], [{"line": 3, "column": 3}])
        self.assertIn('"nothing"', error["message"])

    def test_huge_and_deep_queries_are_errors(self):
        deep = "{" + "container{" * 10_000 + "id" + "}" * 10_001
        self.assertIn("errors", json.loads(self.post({"query": deep})[2]))
        cycle = "{...A} fragment A on Query {...B} fragment B on Query {...A}"
        self.assertIn("errors", json.loads(self.post({"query": cycle})[2]))
        wide = "{" + " ".join(f"a{n}:version" for n in range(200_000)) + "}"
        self.assertIn("errors", json.loads(self.post({"query": wide})[2]))
        nested = '{"query":"{version}","variables":' + "[" * 100_000 + "]" * 100_000 + "}"
        self.assertEqual(self.post(nested)[0], 400)
        self.assertEqual(self.post(self.QUERY)[2], self.ANSWER)

    def test_a_body_that_is_too_long_is_refused(self):
        connection = self.session.connect()
        connection.putrequest("POST", "/query")
        for key, value in {**self.session.headers(), "Content-Length": str(10**12)}.items():
            connection.putheader(key, value)
        connection.endheaders()
        self.assertEqual(connection.getresponse().status, 413)
        connection.close()

    def test_noise_is_no_harm(self):
        for noise in b"\0\1\2\3" * 1000, b"GET / HTTP/9.9\r\n\r\n", b"POST /query HTTP/1.1\r\n" + b"A: b\r\n" * 100_000:
            with socket.create_connection(("127.0.0.1", self.session.port), timeout=5) as connection:
                try:
                    connection.sendall(noise)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
                except OSError:
                    pass
        self.assertEqual(self.post(self.QUERY)[2], self.ANSWER)

    def test_a_connection_serves_many_requests(self):
        connection = self.session.connect()
        connection.connect()
        its_socket = connection.sock
        for _ in range(20):
            connection.request("POST", "/query", json.dumps(self.QUERY), self.session.headers())
            self.assertEqual(connection.getresponse().read(), self.ANSWER)
            self.assertIs(connection.sock, its_socket)
        connection.close()

    def test_many_connections_at_once(self):
        answers = []
        steps = ["container", call("from", address=self.image)]

        def one(number):
            answers.append(ask(self.session, *steps, shell(f"echo {number % 8}"), "stdout"))

        threads = [threading.Thread(target=one, args=(number,)) for number in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(answers), sorted(f"{number % 8}\n" for number in range(64)))

    def test_a_client_that_hangs_up_cancels_what_only_it_wanted(self):
        def wait_for(seconds, marker):
            steps = ["container", call("from", address=self.image), run("sleep", seconds), "stdout"]
            connection = self.session.connect()
            connection.request("POST", "/query", json.dumps({"query": chain(steps)}), self.session.headers())
            return connection

        sleeping = lambda seconds: [p for p in self.engine.processes() if p.command[-2:] == ("sleep", seconds)]
        alone, first, second = wait_for("63", "a"), wait_for("4", "b"), wait_for("4", "c")
        processes.eventually(lambda: sleeping("63") and sleeping("4"), 20, "both steps to run")
        alone.close()
        first.close()
        processes.eventually(lambda: not sleeping("63"), 2, "the step that nobody wants to end")
        self.assertEqual(json.loads(second.getresponse().read())["data"]["container"]["from"]["withExec"]["stdout"], "")
        second.close()

    def test_introspection_and_the_fields_that_sdks_ask_first(self):
        self.assertIs(self.session.query('{checkVersionCompatibility(version:"0.9.3")}')["checkVersionCompatibility"], True)
        schema = self.session.query("{__schema{queryType{name} types{name kind} directives{name args{name}}}}")["__schema"]
        self.assertIn("Container", {type_["name"] for type_ in schema["types"]})
        with self.engine.session("--version", "v0.21.0") as newer:
            self.assertTrue(newer.query("{version}")["version"])
            text = "{__schema{directives{name isRepeatable args(includeDeprecated:true){name}} types{name specifiedByURL isOneOf}}}"
            self.assertTrue(newer.query(text)["__schema"]["types"])


if __name__ == "__main__":
    case.main()
