"""A web server inside the test's own process: answers with what it was given, and remembers what it was asked.

    with WebServer() as web:
        web.files["/x.tar.gz"] = data        # with an ETag; a request that knows it gets 304
        web.moved["/old"] = "/x.tar.gz"      # 302
        web.endless.add("/big")              # a body without an end
        web.silent.add("/slow")              # an answer that never comes
        url = web.url("/x.tar.gz")
"""

import hashlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class WebServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.moved: dict[str, str] = {}
        self.endless: set[str] = set()
        self.silent: set[str] = set()
        self.answered: list[tuple[str, int]] = []  # path and status
        self.waiting = threading.Event()  # somebody asked for a silent path
        self.gone = threading.Event()  # and hung up again
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.shutdown()
        self.server_close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def statuses(self, path: str) -> list[int]:
        return [status for asked, status in self.answered if asked == path]


class _Handler(BaseHTTPRequestHandler):
    server: WebServer

    def do_GET(self):
        path = self.path.split("?")[0]
        if path in self.server.silent:
            self.server.waiting.set()
            self.connection.settimeout(60)
            if self.connection.recv(1, socket.MSG_PEEK) == b"":
                self.server.gone.set()
            self.close_connection = True
        elif path in self.server.endless:
            self._endless(path)
        elif path in self.server.moved:
            self._answer(path, 302, {"Location": self.server.moved[path]})
        elif path in self.server.files:
            body = self.server.files[path]
            etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            if self.headers.get("If-None-Match") == etag:
                self._answer(path, 304, {"ETag": etag})
            else:
                self._answer(path, 200, {"ETag": etag, "Content-Length": str(len(body))}, body)
        else:
            self._answer(path, 404, {"Content-Length": "0"})

    def _answer(self, path: str, status: int, headers: dict[str, str], body: bytes = b""):
        self.server.answered.append((path, status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:  # who asked needs no more than the headers
            self.close_connection = True

    def _endless(self, path: str):
        self._answer(path, 200, {})
        try:
            while True:
                self.wfile.write(bytes(65536))
        except OSError:  # hung up, as it should
            self.server.gone.set()

    def log_message(self, *_):
        pass
