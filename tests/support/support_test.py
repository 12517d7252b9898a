"""The toolkit's own test: what the other tests rely on without looking."""

import http.client
import io
import json
import os
import tarfile
import tempfile
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from unittest import mock

from support import images
from support.engine import Engine, EngineError, Leftovers
from support.processes import eventually
from support.faulty_registry import FaultyRegistry
from support.registry import Registry


class Images(unittest.TestCase):
    def test_an_image_names_its_blobs_by_their_digests(self):
        image = images.busybox(compression=["gzip", "zstd", "none"])
        manifest = json.loads(image.document)
        named = [manifest["config"], *manifest["layers"]]
        self.assertEqual({part["digest"]: part["size"] for part in named}, {k: len(v) for k, v in image.blobs.items()})

    def test_equal_calls_make_equal_images(self):
        self.assertEqual(images.busybox().digest, images.busybox().digest)

    def test_hostile_names_stay_as_they_are(self):
        layers = images.hostile_layers()
        with tarfile.open(fileobj=io.BytesIO(layers["absolute"].tar())) as archive:
            self.assertEqual(archive.getnames(), ["/dagger-escape"])


class RealRegistry(unittest.TestCase):
    def test_takes_an_index_and_gives_it_back(self):
        both = images.index([images.busybox(), images.busybox(platform="linux/arm64", family="docker")])
        with Registry() as registry:
            self.assertEqual(registry.push(both, "a/b:1"), f"{registry.address}/a/b:1")
            status, headers, body = registry.request("GET", "/v2/a/b/manifests/1", headers={"Accept": both.media_type})
        self.assertEqual((status, body, headers["docker-content-digest"]), (200, both.document, both.digest))

    def test_asks_for_its_password(self):
        with Registry(auth=("me", "secret")) as registry:
            registry.push(images.image([images.Layer().file("x")]), "x:1")
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"http://{registry.address}/v2/x/manifests/1")
            caught.exception.close()
        self.assertEqual(caught.exception.code, 401)

    def test_serves_https_with_its_own_authority(self):
        with Registry(tls=True) as registry:
            registry.push(images.image([images.Layer().file("x")]), "x:1")
            self.assertTrue(registry.ca_file.exists())


class Faults(unittest.TestCase):
    def setUp(self):
        self.image = images.busybox()
        self.digest = self.image.layer_digests[0]
        self.data = self.image.blobs[self.digest]

    def get(self, registry, path, **headers):
        request = urllib.request.Request(f"http://{registry.address}{path}", headers=headers)
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def test_a_cut_blob_can_be_continued(self):
        with FaultyRegistry() as registry:
            registry.add(self.image, "a/b:1")
            registry.cut(self.digest, at=0.6)
            path = f"/v2/a/b/blobs/{self.digest}"
            with self.assertRaises(http.client.IncompleteRead) as caught:
                self.get(registry, path)
            part = caught.exception.partial
            self.assertEqual(len(part), int(len(self.data) * 0.6))
            self.assertEqual(part + self.get(registry, path, Range=f"bytes={len(part)}-"), self.data)
            self.assertEqual(registry.bytes_served_twice(self.digest), 0)
            self.get(registry, path, Range="bytes=0-9")
            # The registry counts after the client has its bytes.
            eventually(lambda: registry.bytes_served_twice(self.digest) == 10, 5, "the registry's count")

    def test_faults_end_after_their_times(self):
        with FaultyRegistry(redirect=True) as registry:
            registry.add(self.image, "a/b:1")
            registry.corrupt(self.digest, times=1)
            registry.fail("/manifests/1$", status=503)
            path = f"/v2/a/b/blobs/{self.digest}"
            self.assertNotEqual(self.get(registry, path), self.data)
            self.assertEqual(self.get(registry, path), self.data)
            with self.assertRaises(urllib.error.HTTPError) as caught:
                self.get(registry, "/v2/a/b/manifests/1")
            caught.exception.close()
            self.assertEqual(self.get(registry, "/v2/a/b/manifests/1"), self.image.document)

    def test_a_token_is_asked_for_and_given(self):
        with FaultyRegistry(auth="bearer") as registry:
            registry.add(self.image, "a/b:1")
            with self.assertRaises(urllib.error.HTTPError) as caught:
                self.get(registry, "/v2/a/b/manifests/1")
            caught.exception.close()
            self.assertIn('scope="repository:a/b:pull"', caught.exception.headers["WWW-Authenticate"])
            token = json.loads(self.get(registry, "/token?service=test"))["token"]
            self.get(registry, "/v2/a/b/manifests/1", Authorization=f"Bearer {token}")

    def test_a_held_blob_waits_for_its_release(self):
        with FaultyRegistry() as registry:
            registry.add(self.image, "a/b:1")
            gate = registry.hold(self.digest)
            connection = http.client.HTTPConnection(registry.address, timeout=10)
            connection.request("GET", f"/v2/a/b/blobs/{self.digest}")
            self.assertTrue(gate.reached.wait(10))
            gate.release()
            self.assertEqual(connection.getresponse().read(), self.data)
            connection.close()


# Stands in for the program: `session` behaves, `leak` leaves a daemon, `refuse` ends at once.
FAKE = """#!/bin/sh
case "$1" in
  session) echo '{"port":1,"session_token":"t"}'; cat >/dev/null ;;
  leak) setsid sleep 60 >/dev/null 2>&1 & ;;
  refuse | runner) echo no >&2; exit 3 ;;
esac
"""


class EngineToolkit(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        program = Path(directory.name) / "bin" / "dagger"
        program.parent.mkdir()
        program.write_text(FAKE)
        program.chmod(0o755)
        patch = mock.patch.dict(os.environ, DAGGER_BUILD_DIR=directory.name)
        patch.start()
        self.addCleanup(patch.stop)

    def test_a_session_is_opened_and_closed(self):
        with Engine("# empty") as engine, engine.session() as session:
            self.assertEqual((session.port, session.token), (1, "t"))
            self.assertEqual(engine.env()["DAGGER_CONFIG"], str(engine.config_file))

    def test_a_daemon_that_stays_is_an_error_and_is_ended(self):
        with self.assertRaises(Leftovers) as caught, Engine() as engine:
            engine.dagger("leak")
            engine.check_nothing_is_left(within=0.05)
        self.assertIn("sleep 60", str(caught.exception))
        self.assertEqual(engine.processes(), [])

    def test_a_program_that_ends_at_once_is_quoted(self):
        with Engine() as engine, self.assertRaisesRegex(EngineError, "status 3:\nno"):
            engine.start_runner()
        with Engine() as engine:
            self.assertEqual(engine.dagger("refuse").returncode, 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
