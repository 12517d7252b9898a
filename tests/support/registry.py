"""Debian's docker-registry on a free loopback port, for the real pull path.

    with Registry() as registry:
        address = registry.push(images.busybox(), "tools/busybox:1")    # 127.0.0.1:PORT/tools/busybox:1

Each registry keeps its data in a temporary directory of its own and is gone with it. faulty_registry.py is the one
that misbehaves on order.
"""

import base64
import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from support import processes
from support.images import Image

PROGRAM = "docker-registry"


class RegistryError(RuntimeError):
    """The registry did not start, or refused a push."""


def _bcrypt(password: str) -> str:
    """A line of htpasswd wants bcrypt; libc's own crypt (libcrypt.so.1 is part of every Debian) makes one."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    salt = b"$2b$05$abcdefghijklmnopqrstuu"
    return crypt(password.encode(), salt).decode()


def _make_certificate(directory: Path) -> tuple[Path, Path, Path]:
    """A CA and a certificate for 127.0.0.1 and localhost; returns (ca, certificate, key)."""
    ca, ca_key, cert, key = (directory / name for name in ("ca.pem", "ca.key", "cert.pem", "cert.key"))
    request, extensions = directory / "cert.csr", directory / "cert.ext"
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        ["req", "-x509", *new_key, "-days", "30", "-subj", "/CN=test CA", "-keyout", ca_key, "-out", ca],
        ["req", *new_key, "-subj", "/CN=localhost", "-keyout", key, "-out", request],
        ["x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "30",
         "-extfile", extensions, "-out", cert],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    return ca, cert, key


class Registry:
    """A running docker-registry. `auth` is (user, password) when it is to ask for them; `tls` serves https, with the
    CA to trust in `ca_file`."""

    def __init__(self, *, auth: tuple[str, str] | None = None, tls: bool = False):
        self.auth = auth
        self.ca_file: Path | None = None
        self._dir = Path(tempfile.mkdtemp(prefix="dagger-registry-"))
        try:
            self._start(tls)
        except BaseException:
            self.stop()
            raise

    def _start(self, tls: bool):
        if not shutil.which(PROGRAM):
            raise RegistryError(f"{PROGRAM} is missing: install Debian's docker-registry (tools/install-packages)")
        settings = {
            "version": 0.1,
            "log": {"level": "info", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(self._dir / "data")}, "delete": {"enabled": True}},
            "http": {"addr": "127.0.0.1:0", "secret": "test"},
        }
        if self.auth:
            user, password = self.auth
            (self._dir / "htpasswd").write_text(f"{user}:{_bcrypt(password)}\n")
            settings["auth"] = {"htpasswd": {"realm": "test", "path": str(self._dir / "htpasswd")}}
        if tls:
            self.ca_file, cert, key = _make_certificate(self._dir)
            settings["http"]["tls"] = {"certificate": str(cert), "key": str(key)}
        (self._dir / "config.yml").write_text(json.dumps(settings))  # JSON is YAML
        self.log_file = self._dir / "log"
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "serve", str(self._dir / "config.yml")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **processes.SUPPORT_MARK},
            )  # fmt: skip
        self.address = processes.eventually(self._listening_address, 20, "docker-registry to listen")

    def _listening_address(self):
        if self._process.poll() is not None:
            raise RegistryError(f"{PROGRAM} ended with status {self._process.returncode}:\n{self.log_file.read_text()}")
        match = re.search(r"listening on (127\.0\.0\.1:\d+)", self.log_file.read_text())
        return match and match.group(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends the registry and removes its data. May be called twice."""
        self.kill()
        shutil.rmtree(self._dir, ignore_errors=True)

    def kill(self):
        """Ends the registry at once, as if its machine were gone; its address stays as it was."""
        process = getattr(self, "_process", None)
        if process and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def request(self, method, path, body=None, headers=None) -> tuple[int, dict[str, str], bytes]:
        """One HTTP request, with the registry's own user and password: (status, headers in lower case, body)."""
        headers = dict(headers or {})
        if self.auth:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(self.auth).encode()).decode()
        if self.ca_file:
            context = ssl.create_default_context(cafile=self.ca_file)
            connection = http.client.HTTPSConnection(self.address, context=context, timeout=60)
        else:
            connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def push(self, image: Image, name: str) -> str:
        """Puts an image, or an index with its images, under `name` ("repository:tag"); returns its full address."""
        repository, _, tag = name.partition(":")
        for child in image.children:
            self.push(child, f"{repository}:{child.digest}")
        for digest, data in image.blobs.items():
            self._push_blob(repository, digest, data)
        self._expect(201, "PUT", f"/v2/{repository}/manifests/{tag or 'latest'}", image.document,
                     {"Content-Type": image.media_type})  # fmt: skip
        return f"{self.address}/{name}"

    def _push_blob(self, repository: str, digest: str, data: bytes):
        if self.request("HEAD", f"/v2/{repository}/blobs/{digest}")[0] == 200:
            return
        headers = self._expect(202, "POST", f"/v2/{repository}/blobs/uploads/")
        upload = urlsplit(headers["location"])
        query = f"{upload.query}&digest={digest}" if upload.query else f"digest={digest}"
        self._expect(201, "PUT", f"{upload.path}?{query}", data, {"Content-Type": "application/octet-stream"})

    def _expect(self, wanted: int, method: str, path: str, body=None, headers=None) -> dict[str, str]:
        status, answer, text = self.request(method, path, body, headers)
        if status != wanted:
            raise RegistryError(f"{method} {path}: {status} instead of {wanted}: {text.decode(errors='replace')}")
        return answer
