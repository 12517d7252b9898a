"""Pulling images: what registries serve, what goes wrong on the way, and images that want out of their layer."""

import base64
import json
import os
import threading
from pathlib import Path

from api_case import ApiTest, ask, call, chain, run, shell
from support import case, images
from support.faulty_registry import FaultyRegistry
from support.images import Layer
from support.registry import Registry


def steps(address: str, *more):
    return ["container", call("from", address=address), *more]


class Forms(ApiTest):
    def check(self, image, name):
        address = self.registry.push(image, name)
        fields = steps(address, run("cat", "/etc/image-note"), "stdout")
        self.assertEqual(self.ask(*fields), f"{name}\n")

    def test_every_family_and_compression(self):
        for family in "oci", "docker":
            for compression in "gzip", "zstd", "none", ["zstd", "none", "gzip"]:
                label = compression if isinstance(compression, str) else "mixed"
                name = f"forms/{family}-{label}:1"
                self.check(images.busybox(note=name, family=family, compression=compression), name)

    def test_an_index_gives_the_platform(self):
        both = images.index([images.busybox(note="arm", platform="linux/arm64"), images.busybox(note="amd")])
        address = self.registry.push(both, "forms/index:1")
        self.assertEqual(self.ask(*steps(address), call("file", path="/etc/image-note"), "contents"), "amd\n")
        arm = ["container" + '(platform:"linux/arm64")', call("from", address=address)]
        self.assertEqual(self.ask(*arm, call("file", path="/etc/image-note"), "contents"), "arm\n")
        with self.fails("linux/s390x"):
            self.ask('container(platform:"linux/s390x")', call("from", address=address), "id")

    def test_by_digest(self):
        image = images.busybox(note="by digest")
        address = self.registry.push(image, "forms/digest:1")
        by_digest = address.rpartition(":")[0] + "@" + image.digest
        self.assertEqual(self.ask(*steps(by_digest), call("file", path="/etc/image-note"), "contents"), "by digest\n")

    def test_a_tag_that_moves_is_seen_by_the_next_session_only(self):
        address = self.registry.push(images.busybox(note="first"), "forms/moving:1")
        session = self.open_session("0.9.3")
        note = steps(address, call("file", path="/etc/image-note"), "contents")
        self.assertEqual(ask(session, *note), "first\n")
        self.registry.push(images.busybox(note="second"), "forms/moving:1")
        self.assertEqual(ask(session, *note), "first\n")
        self.assertEqual(ask(self.open_session("0.9.3"), *note), "second\n")

    def test_whiteouts_links_owners_and_attributes(self):
        extra = [
            Layer().dir("a").file("a/1", "1").file("a/2", "2", uid=7, gid=8, mode=0o4755).dir("gone").file("gone/x")
            .hardlink("a/hard", "a/1").symlink("a/soft", "1").fifo("a/pipe").file("kind"),
            Layer().whiteout("gone").whiteout("a/1").whiteout("kind").dir("kind").file("kind/inside", "i\n"),
            Layer().dir("many").file("x" * 200, "long").file("ünï ©", "name"),
        ]  # fmt: skip
        address = self.registry.push(images.busybox(extra=extra), "forms/rich:1")
        script = "ls /a; stat -c '%u %g %a' /a/2; cat /a/hard; readlink /a/soft; ls -d /gone; cat /kind/inside; for f in /x* /ü*; do echo $f; done"
        lines = self.ask(*steps(address, shell(script + "; true"), "stdout")).splitlines()
        self.assertEqual(lines, ["2", "hard", "pipe", "soft", "7 8 4755", "11", "i", "/" + "x" * 200, "/ünï ©"])

    def test_an_image_of_forty_layers(self):
        extra = [Layer().dir("l").file(f"l/{n}", str(n)).file("l/last", str(n)) for n in range(40)]
        address = self.registry.push(images.busybox(extra=extra), "forms/layers:1")
        self.assertEqual(self.ask(*steps(address, shell("ls /l | wc -l; cat /l/last"), "stdout")), "41\n39")

    def test_an_empty_image(self):
        address = self.registry.push(images.image([Layer()]), "forms/empty:1")
        self.assertEqual(self.ask(*steps(address), "rootfs", "entries"), [])


class Hostile(ApiTest):
    def test_nothing_is_written_outside_of_a_layer(self):
        passwd = Path("/etc/passwd").read_bytes()
        escapes = [Path("/dagger-escape"), self.engine.dir / "dagger-escape", self.engine.dir.parent / "dagger-escape"]
        for number, (what, layer) in enumerate(images.hostile_layers().items()):
            with self.subTest(what):
                address = self.registry.push(images.busybox(extra=[layer]), f"hostile/n{number}:1")
                try:
                    self.ask(*steps(address, run("ls", "-la", "/"), "stdout"))
                except RuntimeError as error:
                    self.assertNotIn("internal", str(error))
                found = [str(path) for path in escapes if path.exists()]
                found += [path for path in _named("dagger-escape", self.engine.state_dir) if not _in_a_layer(path, self.engine.state_dir)]
                self.assertEqual(found, [])
                self.assertEqual(Path("/etc/passwd").read_bytes(), passwd)
                self.assertEqual(os.stat("/etc/passwd").st_nlink, 1)

    def test_a_tar_that_is_none(self):
        for number, data in enumerate([b"", b"not a tar" * 1000, b"\0" * 512, os.urandom(4096)]):
            address = self.registry.push(images.image([images.busybox_layers()[0], data]), f"broken/n{number}:1")
            try:
                self.ask(*steps(address, run("/bin/busybox", "true"), "stdout"))
            except RuntimeError as error:
                self.assertIn("layer", str(error))

    def test_a_diff_id_that_lies_is_found(self):
        layers = images.busybox_layers()
        lie = images.image(layers, diff_ids=["sha256:" + "0" * 64] * len(layers))
        address = self.registry.push(lie, "broken/diff-id:1")
        with self.fails("sha256:" + "0" * 64):
            self.ask(*steps(address, run("/bin/true"), "stdout"))


def _named(name: str, root: Path) -> list[Path]:
    """Files of that name below a directory in which things come and go."""
    return [Path(parent) / name for parent, _, files in os.walk(root) if name in files]


def _in_a_layer(path: Path, state: Path) -> bool:
    """Whether a file is below the root of a tree of the store, not merely somewhere in the store."""
    return len(path.relative_to(state).parts) > 3


class Faults(ApiTest):
    def setUp(self):
        self.faulty = FaultyRegistry()
        self.addCleanup(self.faulty.stop)
        self.big = images.busybox(note=self.id(), extra=[Layer().file("big", os.urandom(3_000_000))])
        self.layer = self.big.layer_digests[-1]
        self.address = self.faulty.add(self.big, "test/image:1")

    def pull(self):
        return self.ask(*steps(self.address, shell("wc -c < /big"), "stdout"))

    def test_a_cut_download_goes_on_where_it_was(self):
        self.faulty.cut(self.layer, at=0.6)
        self.assertEqual(self.pull(), "3000000\n")
        self.assertTrue(any(request.range for request in self.faulty.requests_for(self.layer)))
        self.assertEqual(self.faulty.bytes_served_twice(self.layer), 0)

    def test_a_registry_that_stumbles_is_asked_again(self):
        self.faulty.fail("/blobs/", status=503, times=1)
        self.faulty.fail("/manifests/", status=500, times=1)
        self.assertEqual(self.pull(), "3000000\n")

    def test_a_wrong_digest_is_found_and_nothing_wrong_is_kept(self):
        self.faulty.corrupt(self.layer)
        with self.fails(self.layer):
            self.pull()
        self.faulty._faults.clear()
        self.assertEqual(self.pull(), "3000000\n")

    def test_a_truncated_layer_is_found(self):
        self.faulty.truncate(self.layer)
        with self.fails(self.layer):
            self.pull()

    def test_a_manifest_that_does_not_fit_its_digest(self):
        self.faulty.corrupt_manifest(self.big.digest)
        with self.fails("digest"):
            self.ask(*steps(self.address.rpartition(":")[0] + "@" + self.big.digest), "id")

    def test_a_layer_is_fetched_once_for_all_who_want_it(self):
        results = []
        sessions = [self.open_session("0.9.3") for _ in range(3)]
        wanted = steps(self.address, shell("wc -c < /big"), "stdout")
        threads = [threading.Thread(target=lambda s=session: results.append(ask(s, *wanted))) for session in sessions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, ["3000000\n"] * 3)
        self.assertEqual(self.faulty.bytes_served_twice(self.layer), 0)


class Errors(ApiTest):
    def test_an_unknown_image_is_named(self):
        for name in f"{self.registry.address}/none/such:1", f"{self.registry.address}/test/busybox:no-such-tag":
            with self.fails(name):
                self.ask(*steps(name), "id")

    def test_a_registry_that_is_down_is_named(self):
        registry = Registry()
        address = registry.push(images.image([Layer().file("x")]), "a/b:1")
        registry.stop()
        with self.fails(registry.address):
            self.ask(*steps(address), "id")

    def test_names_that_are_none(self):
        for name in "invalid!", "", "UPPER/case", "a b", "x@sha256:123":
            with self.fails(name):
                self.ask(*steps(name), "id")

    def test_a_pulled_image_needs_no_registry(self):
        registry = Registry()
        self.addCleanup(registry.stop)
        image = images.busybox(note="kept")
        address = registry.push(image, "a/b:1")
        id = self.ask(*steps(address, run("cat", "/etc/image-note")), "id")
        self.assertEqual(self.ask(call("container", id=id), "stdout"), "kept\n")
        registry.kill()
        later = self.open_session("0.9.3")
        self.assertEqual(ask(later, call("container", id=id), "stdout"), "kept\n")


class Credentials(case.EngineTest):
    def setUp(self):
        super().setUp()
        self.private = Registry(auth=("me", "the password"))
        self.addCleanup(self.private.stop)
        self.address = self.private.push(images.busybox(note="private"), "a/b:1")
        self.query = chain(steps(self.address, call("file", path="/etc/image-note"), "contents"))

    def docker_config(self, password: str, address=None) -> dict[str, str]:
        directory = self.engine.dir / f"docker-{len(password)}"
        directory.mkdir(exist_ok=True)
        auth = base64.b64encode(f"me:{password}".encode()).decode()
        (directory / "config.json").write_text(json.dumps({"auths": {address or self.private.address: {"auth": auth}}}))
        return {"DOCKER_CONFIG": str(directory)}

    def test_right_wrong_and_none(self):
        data = self.engine.query(self.query, env=self.docker_config("the password"))
        self.assertIn("private", json.dumps(data))
        other = self.new_engine()
        for env in self.docker_config("wrong"), {"DOCKER_CONFIG": str(self.engine.dir)}:
            with self.assertRaises(RuntimeError) as caught:
                other.query(self.query, env=env)
            self.assertIn(self.private.address, str(caught.exception))
            self.assertNotIn("wrong:", str(caught.exception))

    def test_a_private_image_is_not_given_to_a_session_without_credentials(self):
        self.engine.query(self.query, env=self.docker_config("the password"))
        with self.assertRaises(RuntimeError):
            self.engine.query(self.query, env={"DOCKER_CONFIG": str(self.engine.dir)})

    def test_a_token_server(self):
        with FaultyRegistry(auth="bearer", user="me", password="the password", redirect=True) as registry:
            address = registry.add(images.busybox(note="by token"), "a/b:1")
            query = chain(steps(address, call("file", path="/etc/image-note"), "contents"))
            data = self.engine.query(query, env=self.docker_config("the password", registry.address))
            self.assertIn("by token", json.dumps(data))

    def test_https_with_an_authority_of_the_operator(self):
        with Registry(tls=True) as secure:
            address = secure.push(images.busybox(note="secure"), "a/b:1")
            query = chain(steps(address, call("file", path="/etc/image-note"), "contents"))
            trusting = self.new_engine(f'[registries."{secure.address}"]\nca = "{secure.ca_file}"\nplain_http = false\n')
            self.assertIn("secure", json.dumps(trusting.query(query)))


if __name__ == "__main__":
    case.main()
