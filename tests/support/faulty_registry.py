"""A registry inside the test's own process that misbehaves on order and remembers every request.

    with FaultyRegistry() as registry:
        image = images.busybox()
        address = registry.add(image, "busybox:1")
        registry.cut(image.layer_digests[0], at=0.6)          # the connection ends after 60 % of the blob, once
        ... pull ...
        assert registry.bytes_served_twice(image.layer_digests[0]) == 0
        assert registry.requests_for(image.layer_digests[0])[1].range == "bytes=621529-"
"""

import base64
import json
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from support.images import Image

_CHUNK = 16 * 1024


@dataclass
class Request:
    """One request as it was answered. `first` and `sent` say which bytes of a blob went out."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    first: int = 0
    sent: int = 0

    @property
    def range(self) -> str | None:
        return self.headers.get("range")

    @property
    def authorized(self) -> bool:
        return "authorization" in self.headers


class Gate:
    """Where a held transfer stops: `reached` is set then, and `release` lets it go on."""

    def __init__(self):
        self.reached = threading.Event()
        self._open = threading.Event()

    def release(self):
        self._open.set()

    def wait(self):
        self.reached.set()
        self._open.wait(60)


@dataclass
class _Fault:
    """What to do differently with requests whose path matches, `times` times (None: always)."""

    path: str
    times: int | None = 1
    methods: tuple[str, ...] = ("GET",)
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: float | None = None
    edit: object = None
    bytes_per_second: int = 0
    gate: Gate | None = None
    gate_at: float = 0.5

    @property
    def stops(self) -> bool:
        return self.gate is not None or self.cut_at is not None


class FaultyRegistry:
    """`auth`: None, "basic" or "bearer"; with `user` and `password` "", a bearer token is given to anybody.
    `ranges`: whether Range is honoured. `redirect`: blobs are answered by a redirect to another host name, where an
    Authorization header is refused (as object stores do)."""

    def __init__(self, *, auth=None, user="", password="", ranges=True, redirect=False):
        self.auth, self.user, self.password, self.ranges, self.redirect = auth, user, password, ranges, redirect
        self.requests: list[Request] = []
        self.tokens: set[str] = set()
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []
        self._manifests: dict[str, Image] = {}
        self._blobs: dict[str, bytes] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        for fault in self._faults:
            if fault.gate:
                fault.gate.release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # ---- content

    def add(self, image: Image, name: str) -> str:
        """Serves an image, or an index with its images, as `name` ("repository:tag"); returns its full address."""
        repository, _, tag = name.partition(":")
        for child in image.children:
            self.add(child, f"{repository}:{child.digest}")
        with self._lock:
            self._manifests[f"{repository}/{tag}"] = self._manifests[f"{repository}/{image.digest}"] = image
            self._blobs.update(image.blobs)
        return f"{self.address}/{name}"

    # ---- faults, each for the next `times` requests that it fits (times=None: for all)

    def cut(self, digest: str, at=0.6, times=1):
        """Announces the whole blob (or what was asked of it), sends until `at` of the blob, ends the connection."""
        self._add(_Fault(self._blob_path(digest), times, cut_at=at))

    def truncate(self, digest: str, at=0.6, times=None):
        """Serves only the first part, as if that were the whole blob."""
        self._add(_Fault(self._blob_path(digest), times, edit=lambda data: data[: int(len(data) * at)]))

    def corrupt(self, digest: str, times=None):
        """Serves the blob with one bit wrong in the middle."""
        self._add(_Fault(self._blob_path(digest), times, edit=_flip_a_bit))

    def corrupt_manifest(self, reference: str, times=None):
        """Serves another document than the digest says: a space is appended. `reference` is a tag or a digest."""
        path = rf"^/v2/.*/manifests/{re.escape(reference)}$"
        self._add(_Fault(path, times, edit=lambda data: data + b" "))

    def fail(self, path: str, status=500, times=1, headers=None, methods=("GET", "HEAD")):
        """Answers requests whose path matches the regular expression with a status."""
        self._add(_Fault(path, times, tuple(methods), status=status, headers=headers or {}))

    def slow(self, digest: str, bytes_per_second: int, times=None):
        self._add(_Fault(self._blob_path(digest), times, bytes_per_second=bytes_per_second))

    def hold(self, digest: str, at=0.5, times=1) -> Gate:
        """Stops in the middle of a blob until the gate is released: the moment for a kill, without any sleep."""
        gate = Gate()
        self._add(_Fault(self._blob_path(digest), times, gate=gate, gate_at=at))
        return gate

    def _blob_path(self, digest: str) -> str:
        return ("/storage/" if self.redirect else "/blobs/") + re.escape(digest) + "$"

    def _add(self, fault: _Fault):
        with self._lock:
            self._faults.append(fault)

    # ---- what was asked

    def requests_for(self, digest: str, method="GET") -> list[Request]:
        with self._lock:
            return [request for request in self.requests if request.method == method and digest in request.path]

    def bytes_served(self, digest: str) -> int:
        return sum(request.sent for request in self.requests_for(digest))

    def bytes_served_twice(self, digest: str) -> int:
        """How many bytes of a blob went out more than once."""
        twice = end = 0
        for first, last in sorted((request.first, request.first + request.sent) for request in self.requests_for(digest)):
            twice += max(0, min(last, end) - first)
            end = max(end, last)
        return twice

    # ---- for the handler

    def note(self, request: Request):
        with self._lock:
            self.requests.append(request)

    def take_faults(self, method: str, path: str) -> list[_Fault]:
        with self._lock:
            taken = []
            for fault in self._faults:
                if fault.times != 0 and method in fault.methods and re.search(fault.path, path):
                    taken.append(fault)
                    if fault.times is not None:
                        fault.times -= 1
            return taken

    def manifest(self, repository: str, reference: str) -> Image | None:
        with self._lock:
            return self._manifests.get(f"{repository}/{reference}")

    def blob(self, digest: str) -> bytes | None:
        with self._lock:
            return self._blobs.get(digest)

    def new_token(self) -> str:
        token = secrets.token_hex(16)
        with self._lock:
            self.tokens.add(token)
        return token

    def revoke_tokens(self):
        """Every token given so far is refused from now on, as if its time were over."""
        with self._lock:
            self.tokens.clear()


def _flip_a_bit(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _handler_of(registry: FaultyRegistry):
    class Handler(_Handler):
        pass

    Handler.registry = registry
    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: FaultyRegistry

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.request_record = Request(self.command, self.path, {key.lower(): value for key, value in self.headers.items()})
        self.registry.note(self.request_record)
        try:
            self._route()
        except (BrokenPipeError, ConnectionResetError):  # the client hung up
            self.close_connection = True

    def _route(self):
        url = urlsplit(self.path)
        faults = self.registry.take_faults(self.command, url.path)
        for fault in faults:
            if fault.status:
                return self._answer(fault.status, b'{"errors":[{"code":"UNKNOWN","message":"on order"}]}', fault.headers)
        if url.path == "/token":
            return self._token(parse_qs(url.query))
        if url.path.startswith("/storage/"):
            if self.request_record.authorized:
                return self._answer(400, b"only one way of authorization is allowed")
            return self._blob(url.path.removeprefix("/storage/"), faults)
        if not self._allowed(url.path):
            return None
        if url.path in ("/v2/", "/v2"):
            return self._answer(200, b"{}")
        if match := re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", url.path):
            return self._manifest(*match.groups(), faults)
        if match := re.fullmatch(r"/v2/(.+)/blobs/([^/]+)", url.path):
            if self.registry.redirect:
                place = f"http://localhost:{self.registry.port}/storage/{match[2]}"
                return self._answer(307, b"", {"Location": place})
            return self._blob(match[2], faults)
        return self._answer(404, b'{"errors":[{"code":"NOT_FOUND","message":"no such path"}]}')

    def _credentials_fit(self) -> bool:
        wanted = f"{self.registry.user}:{self.registry.password}".encode()
        return self.headers.get("Authorization") == "Basic " + base64.b64encode(wanted).decode()

    def _allowed(self, path: str) -> bool:
        if self.registry.auth == "basic" and not self._credentials_fit():
            self._unauthorized('Basic realm="test"')
            return False
        if self.registry.auth == "bearer":
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if token not in self.registry.tokens:
                match = re.match(r"/v2/(.+)/(?:manifests|blobs)/", path)
                scope = f',scope="repository:{match[1]}:pull"' if match else ""
                self._unauthorized(f'Bearer realm="http://{self.registry.address}/token",service="test"{scope}')
                return False
        return True

    def _unauthorized(self, challenge: str):
        body = b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
        self._answer(401, body, {"WWW-Authenticate": challenge})

    def _token(self, query: dict):
        if self.registry.user and not self._credentials_fit():
            return self._unauthorized('Basic realm="token"')
        if query.get("service") != ["test"]:
            return self._answer(400, b"the service is missing")
        token = self.registry.new_token()
        return self._answer(200, json.dumps({"token": token, "expires_in": 300}).encode())

    def _manifest(self, repository: str, reference: str, faults):
        image = self.registry.manifest(repository, reference)
        if not image:
            return self._answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
        document = image.document
        for fault in faults:
            document = fault.edit(document) if fault.edit else document
        headers = {"Content-Type": image.media_type, "Docker-Content-Digest": image.digest}
        return self._answer(200, document, headers)

    def _blob(self, digest: str, faults):
        data = self.registry.blob(digest)
        if data is None:
            return self._answer(404, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}')
        for fault in faults:
            data = fault.edit(data) if fault.edit else data
        first, last, headers = 0, len(data) - 1, {"Content-Type": "application/octet-stream"}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.request_record.range or "")
        if self.registry.ranges:
            headers["Accept-Ranges"] = "bytes"
            if wanted and int(wanted[1]) >= len(data):
                return self._answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            if wanted:
                first, last = int(wanted[1]), min(int(wanted[2] or last), last)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        self.request_record.first = first
        self._head(206 if "Content-Range" in headers else 200, last + 1 - first, headers)
        if self.command != "HEAD":
            self._send_blob(data, first, last + 1, faults)
        return None

    def _send_blob(self, data: bytes, first: int, end: int, faults):
        stops = [(fault.gate_at if fault.gate else fault.cut_at, fault) for fault in faults if fault.stops]
        stops.sort(key=lambda stop: stop[0])
        rate = min((fault.bytes_per_second for fault in faults if fault.bytes_per_second), default=0)
        position = first
        for share, fault in stops:
            stop = min(max(int(len(data) * share), first), end)
            position = self._send_until(data, position, stop, rate)
            if fault.gate:
                self.wfile.flush()
                fault.gate.wait()
            else:
                self.close_connection = True
                return
        self._send_until(data, position, end, rate)

    def _send_until(self, data: bytes, position: int, end: int, rate: int) -> int:
        while position < end:
            piece = data[position : min(position + _CHUNK, end)]
            self.wfile.write(piece)
            self.request_record.sent += len(piece)
            position += len(piece)
            if rate:
                time.sleep(len(piece) / rate)
        return position

    def _head(self, status: int, length: int, headers: dict[str, str]):
        self.request_record.status = status
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(key, value)
        self.end_headers()

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None):
        self._head(status, len(body), headers or {})
        if self.command != "HEAD":
            self.wfile.write(body)
