"""Directory: making, reading, combining, writing to the client's machine."""

from api_case import ApiTest, ask, call, run, shell
from support import case


class Reading(ApiTest):
    def test_an_empty_directory(self):
        self.assertEqual(self.ask("directory", "entries"), [])
        with self.fails("no such file or directory"):
            self.ask("directory", call("file", path="none"), "id")
        with self.fails("no such file or directory"):
            self.ask("directory", call("directory", path="none"), "id")

    def test_entries_are_sorted_and_can_be_asked_for_below(self):
        directory = self.new_directory({"b": "", "a/y": "", "a/x": "", "c": ""})
        at = call("directory", id=directory)
        self.assertEqual(self.ask(at, "entries"), ["a", "b", "c"])
        self.assertEqual(self.ask(at, call("entries", path="a")), ["x", "y"])
        self.assertEqual(self.ask(at, call("directory", path="a"), "entries"), ["x", "y"])
        with self.fails("no such file or directory"):
            self.ask(at, call("entries", path="none"))

    def test_later_clients_see_which_entries_are_directories(self):
        newer = self.open_session("0.21.0")
        id = self.new_directory({"a/x": "", "b": ""})
        self.assertEqual(ask(newer, call("loadDirectoryFromID", id=id), "entries"), ["a/", "b"])

    def test_the_empty_id_is_the_empty_directory(self):
        self.assertEqual(self.ask("directory", call("withDirectory", path="made", directory=""), "entries"), ["made"])

    def test_sync_gives_an_id_that_goes_on(self):
        id = self.ask("directory", call("withNewFile", path="f", contents="x"), "sync")
        self.assertEqual(self.ask(call("directory", id=id), "entries"), ["f"])

    def test_glob(self):
        at = call("directory", id=self.new_directory({"test.md": "", "foo/bar.md/x.md": "", "foo/bar.md/y.go": "", "z.go": ""}))
        self.assertEqual(self.ask(at, call("glob", pattern="*.md")), ["test.md"])
        self.assertEqual(sorted(self.ask(at, call("glob", pattern="**/*.md"))), ["foo/bar.md", "foo/bar.md/x.md", "test.md"])


class Writing(ApiTest):
    def test_new_files_and_directories_have_the_usual_modes(self):
        fields = [
            "directory", call("withNewFile", path="p/f", contents=""), call("withNewFile", path="x", contents="", permissions=0o755),
            call("withNewDirectory", path="locked", permissions=0o444), call("withNewFile", path="locked/in", contents=""),
            call("withNewDirectory", path="n/m"), "id",
        ]  # fmt: skip
        mounted = call("withMountedDirectory", path="/d", source=self.ask(*fields))
        seen = self.ask(*self.busybox, mounted, shell("cd /d; stat -c '%a %n' p p/f x locked locked/in n n/m"), "stdout")
        self.assertEqual(
            seen.splitlines(), ["755 p", "644 p/f", "755 x", "444 locked", "644 locked/in", "755 n", "755 n/m"]
        )

    def test_a_name_that_is_too_long_is_refused(self):
        message = "File name length exceeds the maximum supported 255 characters"
        with self.fails(message):
            self.ask("directory", call("withNewFile", path="a" * 256, contents=""), "id")
        with self.fails(message):
            self.ask("directory", call("file", path="a" * 256), "id")
        self.assertTrue(self.ask("directory", call("withNewFile", path="a" * 255, contents=""), "entries"))

    def test_a_path_cannot_leave_the_directory(self):
        for field in call("withNewDirectory", path="../x"), call("withNewDirectory", path="a/../../x"):
            with self.fails(".."):
                self.ask("directory", field, "id")

    def test_with_directory_merges_contents(self):
        source = self.new_directory({"sub/a": "new", "b": "b"})
        at = ["directory", call("withNewFile", path="t/sub/a", contents="old"), call("withNewFile", path="t/sub/kept", contents="")]
        merged = [*at, call("withDirectory", path="t", directory=source)]
        self.assertEqual(self.ask(*merged, call("entries", path="t/sub")), ["a", "kept"])
        self.assertEqual(self.ask(*merged, call("file", path="t/sub/a"), "contents"), "new")
        part = self.ask(call("directory", id=source), call("directory", path="sub"), "id")
        self.assertEqual(self.ask("directory", call("withDirectory", path="/", directory=part), "entries"), ["a"])

    def test_include_and_exclude(self):
        source = self.new_directory({"a.txt": "", "b.rar": "", "sub/f.txt": "", "sub/f.txt.rar": "", "other/x": ""})
        copied = lambda **more: self.ask(
            "directory", call("withDirectory", path=".", directory=source, **more), call("glob", pattern="**/*")
        )
        self.assertEqual(sorted(copied(include=["*.rar"])), ["b.rar"])
        self.assertEqual(sorted(copied(exclude=["*.rar"])), ["a.txt", "other", "other/x", "sub", "sub/f.txt", "sub/f.txt.rar"])
        self.assertEqual(sorted(copied(exclude=["sub", "other"])), ["a.txt", "b.rar"])
        self.assertEqual(sorted(copied(include=["**/*.rar"], exclude=["sub"])), ["b.rar"])

    def test_with_file_takes_that_file_only_and_renames(self):
        file = self.ask(call("directory", id=self.new_directory({"one": "1", "two": "2"})), call("file", path="one"), "id")
        fields = ["directory", call("withFile", path="deep/renamed", source=file)]
        self.assertEqual(self.ask(*fields, call("glob", pattern="**/*")), ["deep", "deep/renamed"])

    def test_without(self):
        at = call("directory", id=self.new_directory({"a1": "", "a2": "", "b/x.txt": "", "b/y.md": "", "c/d": ""}))
        self.assertEqual(self.ask(at, call("withoutFile", path="b/*.txt"), call("entries", path="b")), ["y.md"])
        self.assertEqual(self.ask(at, call("withoutFile", path="a*"), "entries"), ["b", "c"])
        self.assertEqual(self.ask(at, call("withoutDirectory", path="c"), "entries"), ["a1", "a2", "b"])
        self.assertEqual(self.ask(at, call("withoutDirectory", path="none"), "entries"), ["a1", "a2", "b", "c"])

    def test_timestamps(self):
        stamped = self.ask(call("directory", id=self.new_directory({"a/f": "x"})), call("withTimestamps", timestamp=499162500), "id")
        mounted = call("withMountedDirectory", path="/d", source=stamped)
        seen = self.ask(*self.busybox, mounted, run("stat", "-c", "%Y", "/d/a", "/d/a/f"), "stdout")
        self.assertEqual(seen.split(), ["499162500"] * 2)


class Export(ApiTest):
    def export(self, id: str, path, **more):
        return self.ask(call("directory", id=id), call("export", path=str(path), **more))

    def test_contents_are_merged_into_what_is_there(self):
        target = self.engine.dir / "merged"
        target.mkdir()
        (target / "kept").write_text("kept")
        (target / "replaced").write_text("old")
        self.assertIs(self.export(self.new_directory({"replaced": "new", "sub/f": "f"}), target), True)
        files = {str(file.relative_to(target)): file.read_text() for file in target.rglob("*") if file.is_file()}
        self.assertEqual(files, {"kept": "kept", "replaced": "new", "sub/f": "f"})

    def test_a_relative_path_is_below_the_working_directory(self):
        self.export(self.new_directory({"f": "x"}), "made/deep")
        self.assertEqual((self.engine.dir / "made/deep/f").read_text(), "x")
        self.assertEqual((self.engine.dir / "made").stat().st_mode & 0o777, 0o700)
        with self.fails('path ".." escapes workdir; use an absolute path instead'):
            self.export(self.new_directory({"f": "x"}), "..")

    def test_an_existing_link_is_not_followed_out(self):
        target, outside = self.engine.dir / "links", self.engine.dir / "outside"
        target.mkdir()
        outside.write_text("untouched")
        (target / "f").symlink_to(outside)
        self.export(self.new_directory({"f": "new"}), target)
        self.assertEqual((outside.read_text(), (target / "f").read_text()), ("untouched", "new"))

    def test_modes_and_links_arrive(self):
        made = shell("mkdir -p /o/d; echo x > /o/d/f; chmod 4751 /o/d/f; ln -s d/f /o/link; chmod 750 /o/d; mkfifo /o/pipe")
        id = self.ask(*self.busybox, made, call("directory", path="/o"), "id")
        target = self.engine.dir / "modes"
        self.export(id, target)
        self.assertEqual((target / "d").stat().st_mode & 0o7777, 0o750)
        self.assertEqual((target / "d/f").stat().st_mode & 0o7777, 0o4751)
        self.assertEqual((target / "link").readlink().as_posix(), "d/f")


if __name__ == "__main__":
    case.main()
