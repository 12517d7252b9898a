"""Host: directories and files of the client's machine, which come and go through the link."""

import hashlib
import os
import shutil
import socket

from api_case import ApiTest, ask, call, run, shell
from support import case
from support.graphql import GraphQLError
from support.relay import Relay


class HostDirectory(ApiTest):
    def setUp(self):
        self.dir = self.engine.dir / self.id().rpartition(".")[2]
        self.dir.mkdir()

    def write(self, files: dict[str, str]):
        for path, text in files.items():
            (self.dir / path).parent.mkdir(parents=True, exist_ok=True)
            (self.dir / path).write_text(text)

    def host(self, path=None, field="directory", **more):
        return "host", call(field, path=str(path or self.dir), **more)

    def mounted(self, *host):
        return call("withMountedDirectory", path="/d", source=self.ask(*host, "id"))

    def test_entries_and_contents(self):
        self.write({"f": "text", "sub/g": "more", "ünï ©": ""})
        self.assertEqual(self.ask(*self.host(), "entries"), ["f", "sub", "ünï ©"])
        self.assertEqual(self.ask(*self.host(), call("file", path="sub/g"), "contents"), "more")
        self.assertEqual(self.ask(*self.host(self.dir / "f", "file"), "contents"), "text")

    def test_paths_are_relative_to_the_working_directory(self):
        self.write({"sub/f": "x"})
        session = self.open_session("0.9.3", "--workdir", str(self.dir))
        self.assertEqual(ask(session, *self.host("."), "entries"), ["sub"])
        self.assertEqual(ask(session, *self.host("sub"), "entries"), ["f"])
        self.assertEqual(ask(session, *self.host("sub/f", "file"), "contents"), "x")
        with self.fails('path ".." escapes workdir; use an absolute path instead') as caught:
            ask(session, *self.host("sub/../.."), "id")
        self.assertNotIn(str(self.dir), str(caught.exception))

    def test_a_missing_path_is_named(self):
        with self.fails(f"host directory {self.dir}/none:", "o such file or directory"):
            self.ask(*self.host(self.dir / "none"), "id")
        with self.fails("none"):
            self.ask(*self.host(self.dir / "none", "file"), "id")
        self.write({"f": ""})
        with self.fails(f"{self.dir}/f"):
            self.ask(*self.host(self.dir / "f"), "id")

    def test_a_file_is_found_through_links(self):
        self.write({"d/real": "text", "f": "x"})
        (self.dir / "link").symlink_to("d/real")
        (self.dir / "again").symlink_to(self.dir / "link")
        newer = self.open_session("0.9.7")
        for name in "link", "again":
            self.assertEqual(ask(newer, *self.host(self.dir / name, "file"), "contents"), "text")
            self.assertEqual(ask(newer, *self.host(self.dir / name, "file"), "name"), name)

    def test_what_is_no_file_is_named(self):
        (self.dir / "loop").symlink_to("loop")
        (self.dir / "dangling").symlink_to("none")
        (self.dir / "away").symlink_to("/dev/zero")
        os.mkfifo(self.dir / "fifo")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.dir / "socket"))
        for name, error in (
            ("loop", "Too many levels of symbolic links"), ("dangling", "no such file or directory"), ("none", "no such file or directory"),
            ("none/x", "no such file or directory"), ("away", "is a character device; only regular files can be read"),
            ("fifo", "is a fifo; only regular files can be read"), ("socket", "is a socket; only regular files can be read"),
        ):  # fmt: skip
            with self.assertRaises(GraphQLError) as caught:
                self.ask(*self.host(self.dir / name, "file"), "size")
            self.assertIn(error, str(caught.exception))
            self.assertTrue(str(caught.exception).startswith(f"host file {self.dir}/{name}"), caught.exception)
        with self.fails("host file /dev/zero is a character device"):
            self.ask(*self.host("/dev/zero", "file"), "size")
        with self.fails(f"path {self.dir} is a directory, not a file"):
            self.ask(*self.host(self.dir, "file"), "size")
        for path in f"{self.dir}/a\0b", f"{self.dir}/a\0/b":
            for field in "file", "directory":
                with self.fails(f'path "{self.dir}/a..." holds a zero byte'):
                    self.ask(*self.host(path, field), "id")

    def test_include_and_exclude(self):
        self.write({"a.txt": "", "b.rar": "", "sub/f.txt": "", "sub/f.rar": "", "empty/x": ""})
        glob = call("glob", pattern="**/*")
        self.assertEqual(sorted(self.ask(*self.host(include=["*.rar"]), glob)), ["b.rar"])
        self.assertEqual(sorted(self.ask(*self.host(include=["**/*.rar"]), glob)), ["b.rar", "sub", "sub/f.rar"])
        self.assertEqual(sorted(self.ask(*self.host(exclude=["sub", "empty"]), glob)), ["a.txt", "b.rar"])
        kept = self.ask(*self.host(include=["**/*.txt"], exclude=["sub"]), glob)
        self.assertEqual(sorted(kept), ["a.txt"])

    def test_what_is_left_out_is_not_even_opened(self):
        self.write({"in/f": "x"})
        os.mkfifo(self.dir / "out")
        self.assertEqual(self.ask(*self.host(exclude=["out"]), "entries"), ["in"])

    def test_modes_times_and_links_survive_and_owners_become_root(self):
        self.write({"f": "x", "d/g": "y"})
        os.chmod(self.dir / "f", 0o4751)
        os.chmod(self.dir / "d", 0o750)
        os.link(self.dir / "f", self.dir / "hard")
        os.symlink("d/g", self.dir / "soft")
        os.symlink("/nowhere/at/all", self.dir / "dangling")
        os.chown(self.dir / "d/g", 1234, 1234)
        os.utime(self.dir / "f", ns=(10**18 + 5, 10**18 + 123456789))
        script = "cd /d; stat -c '%a %u %g %n' f d d/g; stat -c '%Y %h' f; readlink soft; readlink dangling; stat -c %y f"
        lines = self.ask(*self.busybox, self.mounted(*self.host()), shell(script), "stdout").splitlines()
        self.assertEqual(lines[:3], ["4751 0 0 f", "750 0 0 d", "644 0 0 d/g"])
        self.assertEqual(lines[3].split()[0], "1000000000")
        self.assertEqual(lines[4:6], ["d/g", "/nowhere/at/all"])
        self.assertIn("01:46:40.123456789", lines[6])

    def test_a_session_keeps_what_it_saw_first_and_the_next_sees_the_change(self):
        self.write({"f": "first"})
        session = self.open_session("0.9.3")
        first = ask(session, *self.host(), "id")
        self.write({"f": "second", "g": ""})
        self.assertEqual(ask(session, *self.host(), "id"), first)
        self.assertEqual(ask(session, *self.host(), call("file", path="f"), "contents"), "first")
        later = self.open_session("0.9.3")
        self.assertEqual(ask(later, *self.host(), call("file", path="f"), "contents"), "second")
        self.assertEqual(ask(later, call("directory", id=first), call("file", path="f"), "contents"), "first")

    def test_equal_contents_are_a_hit_for_what_comes_after(self):
        self.write({"f": "x", "sub/g": "y"})
        random = [*self.busybox, self.mounted(*self.host()), run("cat", "/proc/sys/kernel/random/uuid"), "stdout"]
        first = self.ask(*random)
        later = self.open_session("0.9.3")
        source = ask(later, *self.host(), "id")
        again = [*self.busybox, call("withMountedDirectory", path="/d", source=source), *random[3:]]
        self.assertEqual(ask(later, *again), first)
        (self.dir / "f").write_text("changed")
        source = ask(self.open_session("0.9.3"), *self.host(), "id")
        again = [*self.busybox, call("withMountedDirectory", path="/d", source=source), *random[3:]]
        self.assertNotEqual(ask(self.session, *again), first)

    def test_a_round_trip_gives_the_same_tree(self):
        self.write({f"d{n % 17}/f{n}": "x" * n for n in range(500)})
        (self.dir / "empty").mkdir()
        target = self.engine.dir / "round-trip"
        self.ask(*self.host(), call("export", path=str(target)))
        listing = lambda root: {
            str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in root.rglob("*")
        }
        self.assertEqual(listing(target), listing(self.dir))

    def test_a_file_that_goes_away_after_the_first_look_is_not_missed(self):
        self.write({"f": "here"})
        id = self.ask(*self.host(), "id")
        shutil.rmtree(self.dir)
        self.assertEqual(self.ask(call("directory", id=id), call("file", path="f"), "contents"), "here")


class WhatIsSent(case.EngineTest):
    """How many bytes go from the session to the runner for a directory of 2 MB."""

    FILES, SIZE = 100, 20_000

    def setUp(self):
        super().setUp()
        self.engine.start_runner()
        self.relay = Relay(self.engine.dir / "relay.sock", self.engine.runtime_dir / "test-runner.sock")
        self.addCleanup(self.relay.stop)
        self.dir = self.engine.dir / "source"
        for number in range(self.FILES):
            file = self.dir / f"d{number % 10}" / f"f{number}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(os.urandom(self.SIZE))

    def sync(self, file: str) -> tuple[str, int]:
        """A new session reads the directory: the content of one file as a step sees it, and the bytes that were sent."""
        before = self.relay.to_runner
        with self.engine.session(env={"_EXPERIMENTAL_DAGGER_RUNNER_HOST": self.relay.host}) as session:
            source = ask(session, "host", call("directory", path=str(self.dir)), "id")
            mounted = call("withMountedDirectory", path="/s", source=source)
            steps = "container", call("from", address=self.image), mounted, run("sha256sum", f"/s/{file}"), "stdout"
            digest = ask(session, *steps).split()[0]
        return digest, self.relay.to_runner - before

    def check(self, file: str, least: int, most: int):
        digest, sent = self.sync(file)
        self.assertEqual(digest, hashlib.sha256((self.dir / file).read_bytes()).hexdigest())
        self.assertTrue(least <= sent <= most, f"{sent} bytes were sent, not {least} to {most}")

    def test_contents_are_sent_once_and_then_only_what_changed(self):
        all_of_it, other = self.FILES * self.SIZE, 20_000  # other: calls, and listings of directories
        self.check("d7/f37", all_of_it, all_of_it + 3 * other)
        self.check("d7/f37", 0, other)
        with open(self.dir / "d7/f37", "ab") as file:
            file.write(b"more")
        self.check("d7/f37", self.SIZE, self.SIZE + other)
        (self.dir / "d7/f37").chmod(0o600)
        (self.dir / "d1/new").write_bytes(os.urandom(self.SIZE))
        self.check("d1/new", self.SIZE, 2 * self.SIZE + other)
        (self.dir / "d1/new").unlink()
        self.check("d1/f1", 0, other)

    def test_equal_contents_are_sent_once(self):
        for number in range(self.FILES):
            (self.dir / f"d{number % 10}" / f"f{number}").write_bytes(b"x" * self.SIZE)
        self.check("d7/f37", self.SIZE, 4 * self.SIZE)

    def test_a_file_is_sent_without_its_directory(self):
        before = self.relay.to_runner
        with self.engine.session(env={"_EXPERIMENTAL_DAGGER_RUNNER_HOST": self.relay.host}) as session:
            size = ask(session, "host", call("file", path=str(self.dir / "d7/f37")), "size")
        self.assertEqual(size, self.SIZE)
        self.assertLess(self.relay.to_runner - before, 2 * self.SIZE)


if __name__ == "__main__":
    case.main()
