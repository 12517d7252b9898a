"""File: contents, size, and writing to the client's machine."""

import os
import stat

from api_case import ApiTest, ask, call, run, shell
from support import case


class Reading(ApiTest):
    def test_contents_and_size(self):
        text = 'ü "quoted"\n\ttab \\ \u2028 end'
        id = self.new_file(text)
        self.assertEqual(self.ask(call("file", id=id), "contents"), text)
        self.assertEqual(self.ask(call("file", id=id), "size"), len(text.encode()))
        self.assertEqual(self.ask(call("loadFileFromID", id=id), "contents"), text)

    def test_a_missing_file(self):
        with self.fails("no such file or directory"):
            self.ask(*self.busybox, shell("rm -f /x"), call("file", path="/x"), "sync")

    def test_large_contents_are_complete(self):
        made = [*self.busybox, shell("yes 123456 | head -c 8000000 > /big")]
        self.assertEqual(self.ask(*made, call("file", path="/big"), "size"), 8_000_000)
        self.assertEqual(self.ask(*made, call("file", path="/big"), "contents"), ("123456\n" * 1142858)[:8_000_000])

    def test_contents_beyond_the_limit_are_an_error(self):
        sparse = run("truncate", "-s", "134217729", "/sparse")
        with self.fails("file size 134217729 exceeds limit 134217728"):
            self.ask(*self.busybox, sparse, call("file", path="/sparse"), "contents")

    def test_a_link_in_the_way_stays_inside_the_container(self):
        made = shell("ln -s /etc/passwd /inside; ln -s ../../../../../../etc/hostname-of-nobody /outside; ln -s /home /dir")
        fields = [*self.busybox, made, shell("echo found > /home/f")]
        self.assertIn("floppy", self.ask(*self.busybox, call("file", path="/etc/group"), "contents"))
        self.assertIn("app:x:1000", self.ask(*fields, call("file", path="/inside"), "contents"))
        self.assertEqual(self.ask(*fields, call("file", path="/dir/f"), "contents"), "found\n")
        with self.fails("no such file or directory"):
            self.ask(*fields, call("file", path="/outside"), "contents")

    def test_the_name_is_that_of_its_path(self):
        newer = self.open_session("0.9.7")
        self.assertEqual(ask(newer, *self.busybox, call("file", path="/etc/passwd"), "name"), "passwd")

    def test_timestamps(self):
        stamped = self.ask(call("file", id=self.new_file("x")), call("withTimestamps", timestamp=499162500), "id")
        seen = self.ask(*self.busybox, call("withMountedFile", path="/f", source=stamped), run("stat", "-c", "%Y", "/f"), "stdout")
        self.assertEqual(seen, "499162500\n")


class Export(ApiTest):
    def export(self, id: str, path, **more):
        return self.ask(call("file", id=id), call("export", path=str(path), **more))

    def test_one_file_is_made_with_its_mode(self):
        id = self.ask(
            "directory", call("withNewFile", path="sub/f", contents="x", permissions=0o744), call("file", path="sub/f"), "id"
        )
        target = self.engine.dir / "out" / "named"
        self.assertIs(self.export(id, target), True)
        self.assertEqual([entry.name for entry in target.parent.iterdir()], ["named"])
        self.assertEqual((target.read_text(), target.stat().st_mode & 0o777), ("x", 0o744))
        self.assertEqual(target.parent.stat().st_mode & 0o777, 0o700)
        self.export(self.new_file("again"), target)
        self.assertEqual(target.read_text(), "again")

    def test_a_directory_is_a_target_only_on_request(self):
        target = self.engine.dir / "directory"
        target.mkdir()
        with self.fails("directory"):
            self.export(self.new_file("x", "name"), target)
        with self.fails("directory"):
            self.export(self.new_file("x", "name"), ".")
        self.export(self.new_file("x", "name"), target, allowParentDirPath=True)
        self.assertEqual((target / "name").read_text(), "x")

    def test_only_a_regular_file_is_ever_replaced(self):
        directory = self.engine.dir / "special"
        directory.mkdir()
        os.mkfifo(directory / "fifo")
        os.mknod(directory / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        (directory / "link").symlink_to("null")
        for name, kind in ("fifo", "fifo"), ("null", "character device"), ("link", "character device"):
            with self.fails(f'destination "{directory}/{name}" is a {kind}; export writes regular files only'):
                self.export(self.new_file("x"), directory / name)
        with self.fails(f'destination "{directory}/null" is a character device'):
            self.export(self.new_file("x", "null"), directory, allowParentDirPath=True)
        with self.fails(f'destination "{directory}/null" is a character device'):
            self.ask(call("directory", id=self.new_directory({"null": "x"})), call("export", path=str(directory)))
        self.assertTrue(stat.S_ISCHR((directory / "null").lstat().st_mode))
        self.assertTrue(stat.S_ISFIFO((directory / "fifo").lstat().st_mode))
        self.assertEqual(sorted(path.name for path in directory.iterdir()), ["fifo", "link", "null"])

    def test_a_link_to_a_file_stays_a_link(self):
        directory = self.engine.dir / "links"
        (directory / "real").mkdir(parents=True)
        (directory / "real/file").write_text("old")
        (directory / "link").symlink_to("real/file")
        (directory / "dangling").symlink_to("real/none")
        self.export(self.new_file("x"), directory / "link")
        self.assertTrue((directory / "link").is_symlink())
        self.assertEqual((directory / "real/file").read_text(), "x")
        self.export(self.new_file("x"), directory / "dangling")
        self.assertFalse((directory / "dangling").is_symlink())
        self.assertEqual([path.name for path in (directory / "real").iterdir()], ["file"])

    def test_a_relative_path_stays_below_the_working_directory(self):
        with self.fails('path "../x" escapes workdir; use an absolute path instead'):
            self.export(self.new_file("x"), "../x")
        self.export(self.new_file("x"), "relative/f")
        self.assertEqual((self.engine.dir / "relative/f").read_text(), "x")

    def test_a_large_file_is_complete(self):
        made = [*self.busybox, shell("yes 123456 | head -c 50000000 > /big; truncate -s 60000000 /big")]
        target = self.engine.dir / "big"
        self.assertIs(self.ask(*made, call("file", path="/big"), call("export", path=str(target))), True)
        data = target.read_bytes()
        self.assertEqual((len(data), data[49_999_990:50_000_002]), (60_000_000, b"6\n123456\n1\0\0"))


if __name__ == "__main__":
    case.main()
