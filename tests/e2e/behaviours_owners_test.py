"""Whose files are whose: names of owners are those of the container's root file system, wherever the files go."""

from api_case import ApiTest, call, shell
from support import case

STAT = "stat -c '%a %u:%g'"


class Owners(ApiTest):
    def directory_with_foreign_users(self) -> str:
        """A directory that has users of its own, who are not those of the image."""
        return self.new_directory({"etc/passwd": "app:x:7:7::/:/bin/sh\n", "etc/group": "app:x:7:\n", "file": "text"})

    def test_names_are_looked_up_in_the_root_for_what_goes_into_a_mount(self):
        directory = self.directory_with_foreign_users()
        mounted = *self.busybox, call("withMountedDirectory", path="/m", source=directory)
        for copy in (
            call("withNewFile", path="/m/new", contents="", owner="app"),
            call("withDirectory", path="/m/new", directory=directory, owner="app"),
            call("withFile", path="/m/new", source=self.new_file("text"), owner="app"),
        ):
            self.assertEqual(self.ask(*mounted, copy, shell("stat -c %u:%g /m/new"), "stdout"), "1000:1000\n", copy)
        with self.fails("find uid: no such user: who"):
            self.ask(*mounted, call("withNewFile", path="/m/new", contents="", owner="who"), shell("true"), "stdout")

    def test_a_cache_volume_belongs_to_its_owner_with_all_that_it_begins_with(self):
        cache, source = self.ask(call("cacheVolume", key="owned"), "id"), self.directory_with_foreign_users()

        def mounted(**arguments):
            mount = call("withMountedCache", path="/c", cache=cache, **arguments)
            return *self.busybox, mount

        self.assertEqual(self.ask(*mounted(owner="app:floppy"), shell(f"{STAT} /c"), "stdout"), "755 1000:11\n")
        script = shell(f"{STAT} /c /c/file /c/etc")
        self.assertEqual(
            self.ask(*mounted(owner="2:11", source=source), script, "stdout"), "755 2:11\n644 2:11\n755 2:11\n"
        )
        self.assertEqual(self.ask(*mounted(source=source), script, "stdout"), "755 0:0\n644 0:0\n755 0:0\n")

    def test_without_an_owner_files_are_roots_whoever_runs(self):
        as_app = *self.busybox, call("withUser", name="app")
        new = call("withNewFile", path="/new", contents=""), call("withMountedDirectory", path="/m", source=self.new_directory({"a": ""}))
        self.assertEqual(self.ask(*as_app, *new, shell("stat -c %u:%g /new /m /m/a"), "stdout"), "0:0\n0:0\n0:0\n")


if __name__ == "__main__":
    case.main()
