"""Bad input of every kind, while somebody else works: a clear error that names the thing, and nobody else is disturbed."""

import contextlib
import os
import socket
import struct
import time

from api_case import ApiTest, ask, call, run, shell
from support import case, images, processes
from support.faulty_registry import FaultyRegistry
from support.images import Layer
from support.graphql import GraphQLError
from support.registry import Registry

RANDOM = run("cat", "/proc/sys/kernel/random/uuid")


class Somebody:
    """A session whose step runs from start() until finish(), and that has a result in the cache."""

    def __init__(self, test: ApiTest):
        self.test = test
        self.session = test.open_session("0.9.3")
        volume = ask(self.session, call("cacheVolume", key=f"somebody {test.id()}"), "id")
        self.volume = call("withMountedCache", path="/count", cache=volume)
        self.known = ask(self.session, *test.busybox, RANDOM, "stdout")

    def start(self):
        wait = "echo x >> /count/lines; while [ ! -e /count/go ]; do sleep 0.05; done; wc -l < /count/lines"
        steps = [*self.test.busybox, self.volume, shell(wait), "stdout"]
        self.answer = case.in_background(lambda: ask(self.session, *steps))
        running = lambda: [process for process in self.test.engine.processes() if wait in process.command]
        processes.eventually(running, 20, "somebody's step to run")
        (self.runner,) = self.test.engine.runners()

    def finish(self):
        """The step was never started again, the runner is the same, and what was known is known."""
        test = self.test
        ask(test.session, *test.busybox, self.volume, shell("touch /count/go"), "sync")
        test.assertEqual(self.answer(), "1\n")
        test.assertEqual(ask(self.session, *test.busybox, RANDOM, "stdout"), self.known)
        test.assertEqual([runner.pid for runner in test.engine.runners()], [self.runner.pid])


class WhileSomebodyWorks(ApiTest):
    def setUp(self):
        self.somebody = Somebody(self)
        self.somebody.start()
        self.addCleanup(self.somebody.finish)

    def image_fails(self, address: str, *texts: str):
        with self.fails(*texts):
            self.ask("container", call("from", address=address), run("true"), "stdout")

    def test_images(self):
        self.image_fails(f"{self.registry.address}/no/such:1", f"{self.registry.address}/no/such:1")
        with Registry() as registry:
            address = registry.push(images.busybox(note="down"), "a/b:1")
        self.image_fails(address, address)
        with FaultyRegistry() as faulty:
            for number, fault in enumerate((faulty.corrupt, faulty.truncate)):
                image = images.busybox(note=f"bad {number}", extra=[Layer().file("big", os.urandom(200_000))])
                address = faulty.add(image, f"bad/n{number}:1")
                fault(image.layer_digests[-1])
                self.image_fails(address, image.layer_digests[-1])
        with FaultyRegistry(auth="bearer", user="me", password="secret") as private:
            address = private.add(images.busybox(note="private"), "a/b:1")
            self.image_fails(address, private.address, "log in")

    def test_commands(self):
        for user, command, error in (
            ("", ["no-such-command"], 'exec: "no-such-command": executable file not found in $PATH'),
            ("", ["/no/such"], 'exec: "/no/such": no such file or directory'),
            ("", ["/etc/passwd"], 'exec: "/etc/passwd": permission denied'),
            ("", ["/etc"], 'exec: "/etc": not an executable file'),
            ("", ["", "x"], 'the command is empty: the first argument, which names it, is ""'),
            ("", ["a\0b"], "an argument of the command contains a NUL character"),
            ("nosuchuser", ["true"], "no such user: nosuchuser"),
        ):
            with self.assertRaises(GraphQLError) as caught:
                self.ask(*self.busybox, call("withUser", name=user), run(*command), "stdout")
            self.assertEqual(str(caught.exception)[: len(error)], error)
        with self.fails("no command has been set"):
            self.ask("container", run(), "stdout")
        with self.fails("exit code: 137"):
            self.ask(*self.busybox, shell("sh -c 'kill -9 $$'; exit $?"), "stdout")

    def test_queries(self):
        for query in (
            "{" + "container{" * 10_000 + "id" + "}" * 10_001,
            "{" + " ".join(f"a{number}:version" for number in range(200_000)) + "}",
            "{a(b:" + "[" * 50_000 + "]" * 50_000 + ")}",
            "\0" * 1000,
            '{container{from(address:"' + "x" * 1_000_000 + '"){id}}}',
        ):
            with self.assertRaises(RuntimeError):
                self.session.query(query)
        id_of_another_kind = self.ask("directory", "id")
        with self.fails("Container"):
            self.ask(call("container", id=id_of_another_kind), "stdout")
        with self.fails("id"):
            self.ask(call("container", id="no-id-at-all"), "stdout")

    def test_a_session_that_is_killed(self):
        other = self.engine.session()
        step = case.in_background(lambda: ask(other, *self.busybox, run("sleep", "71"), "stdout"))
        sleeping = lambda: [process for process in self.engine.processes() if process.command == ("sleep", "71")]
        processes.eventually(sleeping, 20, "the step to run")
        other.kill()
        with self.assertRaises(Exception):
            step()
        processes.eventually(lambda: not sleeping(), 2, "the container to end")

    def test_a_second_runner(self):
        process, output = self.engine.start("runner", "--listen", f"unix://{self.engine.runtime_dir}/second.sock")
        self.assertNotEqual(process.wait(20), 0)
        self.assertIn(str(self.engine.state_dir), output.read_text())

    # ---- the runner's socket

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        self.addCleanup(connection.close)
        connection.settimeout(10)
        (place,) = (self.engine.runtime_dir / "dagger").glob("*.sock")
        connection.connect(str(place))
        return connection

    def greeted(self) -> socket.socket:
        """A connection whose handshake is over: docs/link.md."""
        connection = self.connect()
        stream = connection.makefile("rb")
        self.addCleanup(stream.close)
        record = lambda: stream.read(struct.unpack(">I", stream.read(4))[0])
        self.assertEqual(stream.read(8), b"DGRLINK\n")
        versions = record()[1:3]  # what the runner speaks
        hello = b"\x87" + versions + b"\x6adagger 9.9" + b"\x80" + b"\x19\x13\x88" + b"\xf4" + b"\x58\x20" + os.urandom(32)
        for prefix, data in (b"DGRLINK\n", hello), (b"", b"\x82\x01\x40"):
            connection.sendall(prefix + struct.pack(">I", len(data)) + data)
        self.assertEqual(record()[1], 2, "accepted")
        self.stream = stream
        return connection

    def send(self, connection: socket.socket, data: bytes):
        with contextlib.suppress(OSError):  # it may have hung up already
            connection.sendall(data)

    def test_noise_instead_of_a_handshake(self):
        for noise in (
            b"", b"\0" * 100_000, b"GET / HTTP/1.1\r\n\r\n", os.urandom(100_000), b"DGRLINK\n" + b"\xff" * 100_000,
            b"DGRLINK\n" + struct.pack(">I", 60_000) + b"\x9f" * 60_000, b"DGRLINK\n" + struct.pack(">I", 5) + b"\x9b\xff\xff\xff\xff",
        ):  # fmt: skip
            connection = self.connect()
            self.send(connection, noise)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
        silent = [self.connect() for _ in range(70)]  # more than may shake hands at once
        started = time.monotonic()
        self.assertEqual(self.engine.run(["true"]).returncode, 0)
        self.assertLess(time.monotonic() - started, 20)
        for connection in silent:
            connection.close()

    def test_malformed_frames(self):
        def frame(kind, channel, payload=b"", flags=0, zero=0, length=None):
            return struct.pack(">BBHIQ", kind, flags, zero, len(payload) if length is None else length, channel) + payload

        def request(method: bytes, body: bytes):
            return bytes([len(method)]) + method + body

        for noise in (
            os.urandom(10_000), frame(200, 1), frame(1, 1, flags=255), frame(1, 1, zero=1), frame(1, 1, length=2**32 - 1),
            frame(1, 2, request(b"info", b"")), frame(1, 0, request(b"info", b"")), frame(1, 1, b"\xffinfo"), frame(1, 1, b""), frame(1, 1, b"\0"),
            frame(8, 99, b"data"), frame(5, 4, b""), frame(6, 4, b"\xff"), frame(7, 99, b"x"), frame(10, 99, b"\xff" * 4), frame(10, 1, b"x"),
            frame(4, 1, b"more"), frame(1, 1, request(b"info", b""), flags=1) + frame(1, 3, request(b"info", b""), flags=1),
            frame(1, 5, request(b"info", b"")) + frame(1, 3, request(b"info", b"")), frame(3, 1, request(b"x", b"")), frame(12, 0, b"\0\xff"),
        ):  # fmt: skip
            connection = self.greeted()
            self.send(connection, noise)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                while self.stream.read1(65536):
                    pass
        deep, long, wide = b"\x81" * 100_000, b"\x9b" + b"\xff" * 8, b"\x82" + b"\x5a\xff\xff\xff\xff"
        methods = [
            b"info", b"ops.put", b"pin", b"solve", b"exec.output", b"tree.entries", b"tree.glob", b"tree.stat", b"tree.digest",
            b"local.sync", b"recipe.put", b"recipe.get", b"drain.it", b"events",
        ]  # fmt: skip
        connection = self.greeted()
        channel = 1
        for method in methods:
            for body in b"", b"\xff", b"\x80", deep, long, wide, os.urandom(500):
                connection.sendall(frame(1, channel, request(method, body)))
                self.assertIn(self.answer_of(channel), (5, 6), method)
                channel += 2
        for method in b"file.read", b"tree.export", b"nothing":
            for body in b"", deep, os.urandom(500):
                connection.sendall(frame(2, channel, request(method, body)))
                self.assertEqual(self.answer_of(channel), 6, method)
                channel += 2
        self.send(connection, b"".join(frame(1, channel + 2 * n, request(b"info", b"")) for n in range(10_000)))

    def answer_of(self, channel: int) -> int:
        """The type of the first frame for a channel."""
        while head := self.stream.read(16):
            kind, _, _, length, its_channel = struct.unpack(">BBHIQ", head)
            body = self.stream.read(length)
            if its_channel == channel:
                return kind
        self.fail(f"the connection ended on channel {channel}: {body}")


if __name__ == "__main__":
    case.main()
