"""The source plugin's class against Debian's docker-registry, and against a registry that misbehaves on order."""

import json
import os
import subprocess
import unittest
from pathlib import Path

from support import images
from support.faulty_registry import FaultyRegistry
from support.registry import Registry

PROGRAM = Path(os.environ["DAGGER_BUILD_DIR"]) / "bin" / "oci_pull"


def pull(reference, *options, settings=None):
    """Returns what oci_pull prints: the image, or {"code", "error"}."""
    more = ["--settings", json.dumps(settings)] if settings else []
    done = subprocess.run([PROGRAM, reference, *options, *more], stdout=subprocess.PIPE, timeout=60, check=False)
    return json.loads(done.stdout)


class DebianRegistry(unittest.TestCase):
    def test_image_of_every_compression_and_family(self):
        with Registry() as registry:
            for family in ("oci", "docker"):
                for compression in ("gzip", "zstd", "none"):
                    image = images.busybox(family=family, compression=compression)
                    got = pull(registry.push(image, f"tools/busybox:{family}-{compression}"))
                    self.assertEqual(got.get("digest"), image.digest, got)
                    self.assertEqual([layer["id"] for layer in got["layers"]], image.layer_digests)
                    self.assertEqual(got["fetched"], 3)

    def test_platform_of_an_index(self):
        with Registry() as registry:
            for family in ("oci", "docker"):
                children = [images.busybox(platform=p, family=family) for p in ("linux/amd64", "linux/arm64", "linux/arm/v7")]
                top = images.index(children, family=family)
                address = registry.push(top, f"multi:{family}")
                for child in children:
                    got = pull(address, "--platform", child.platform)
                    self.assertEqual(got.get("digest"), child.digest, got)
                    self.assertTrue(got["identity"].endswith("@" + top.digest))
                missing = pull(address, "--platform", "linux/s390x")
                self.assertIn("available: linux/amd64, linux/arm64, linux/arm/v7", missing["error"])

    def test_unknown_image_and_registry_down(self):
        with Registry() as registry:
            got = pull(f"{registry.address}/nothing:1")
            self.assertEqual(got["code"], "not_found")
            self.assertIn(f'image "{registry.address}/nothing:1" not found', got["error"])
            registry.kill()
            got = pull(f"{registry.address}/nothing:1")
            self.assertEqual(got["code"], "unavailable")
            self.assertIn(f"cannot reach {registry.address}", got["error"])

    def test_password(self):
        with Registry(auth=("user", "secret-word")) as registry:
            address = registry.push(images.busybox(), "busybox:1")
            self.assertEqual(pull(address, "--user", "user", "secret-word").get("fetched"), 3)
            self.assertEqual(pull(address)["code"], "permission_denied")
            wrong = pull(address, "--user", "user", "wrong-word")
            self.assertEqual(wrong["code"], "permission_denied")
            self.assertIn(f"docker login {registry.address}", wrong["error"])
            self.assertNotIn("wrong-word", wrong["error"])

    def test_tls(self):
        with Registry(tls=True) as registry:
            address = registry.push(images.busybox(), "busybox:1")
            trusted = {"registries": {registry.address: {"ca": str(registry.ca_file)}}}
            self.assertEqual(pull(address, settings=trusted).get("fetched"), 3)
            untrusted = {"registries": {registry.address: {"plain_http": False}}}
            self.assertIn("is not trusted", pull(address, settings=untrusted)["error"])
            self.assertIn("plain_http", pull(address)["error"])


class Misbehaviour(unittest.TestCase):
    def test_a_cut_download_goes_on_and_no_byte_is_served_twice(self):
        with FaultyRegistry() as registry:
            image = images.busybox()
            address = registry.add(image, "busybox:1")
            layer = image.layer_digests[0]
            registry.cut(layer, at=0.6)
            self.assertEqual(pull(address).get("fetched"), 3)
            requests = registry.requests_for(layer)
            self.assertEqual(len(requests), 2)
            self.assertEqual(requests[1].range, f"bytes={int(len(image.blobs[layer]) * 0.6)}-")
            self.assertEqual(registry.bytes_served_twice(layer), 0)

    def test_storage_behind_a_redirect(self):
        for auth in (None, "basic", "bearer"):
            with FaultyRegistry(auth=auth, user="u", password="p", redirect=True) as registry:
                image = images.busybox()
                address = registry.add(image, "busybox:1")
                registry.cut(image.layer_digests[0], at=0.6)
                self.assertEqual(pull(address, "--user", "u", "p").get("fetched"), 3, auth)

    def test_damage_is_noticed(self):
        with FaultyRegistry() as registry:
            image = images.busybox()
            address = registry.add(image, "busybox:1")
            registry.corrupt(image.layer_digests[1], times=1)
            self.assertEqual(pull(address)["code"], "corrupt_data")
            registry.truncate(image.layer_digests[0], times=1)
            self.assertEqual(pull(address)["code"], "corrupt_data")
            registry.corrupt_manifest("1", times=1)
            self.assertEqual(pull(address)["code"], "corrupt_data")
            self.assertEqual(pull(address).get("fetched"), 3)

    def test_a_mirror(self):
        with FaultyRegistry() as mirror, FaultyRegistry() as registry:
            image = images.busybox()
            mirror.add(image, "busybox:1")
            settings = {"registries": {registry.address: {"mirrors": [mirror.address]}}}
            self.assertEqual(pull(f"{registry.address}/busybox:1", settings=settings).get("fetched"), 3)
            self.assertEqual(registry.requests, [])
            registry.add(image, "busybox:1")
            mirror.fail("/v2/", status=503, times=None)
            self.assertEqual(pull(f"{registry.address}/busybox:1", settings=settings).get("fetched"), 3)


if __name__ == "__main__":
    unittest.main()
