"""Container: what it is made of, what runs in it, what is mounted and copied into it."""

from pathlib import Path

from api_case import ApiTest, Name, ask, call, run, shell
from support import case, images
from support.images import Layer


class Creation(ApiTest):
    def test_an_empty_container_has_no_files_and_an_id(self):
        self.assertEqual(self.ask("container", "rootfs", "entries"), [])
        self.assertTrue(self.ask("container", "id"))
        self.assertTrue(self.ask("container", call("directory", path="/"), "id"))

    def test_from_takes_files_and_configuration(self):
        settings = {
            "Env": [f"PATH={images.PATH}", "A=1", "B="], "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["true"],
            "User": "app", "WorkingDir": "/home/app", "Labels": {"note": "x"},
        }  # fmt: skip
        address = self.registry.push(images.busybox(settings), "test/configured:1")
        data = self.session.query(
            '{container{from(address:"%s"){envVariables{name value} entrypoint defaultArgs user workdir platform'
            " labels{name value} rootfs{entries} imageRef mounts}}}" % address
        )["container"]["from"]
        self.assertEqual([v["name"] for v in data["envVariables"]], ["PATH", "A", "B"])
        self.assertEqual(data["envVariables"][2]["value"], "")
        self.assertEqual((data["entrypoint"], data["defaultArgs"]), (["/bin/sh", "-c"], ["true"]))
        self.assertEqual((data["user"], data["workdir"], data["platform"]), ("app", "/home/app", "linux/amd64"))
        self.assertEqual((data["labels"], data["mounts"]), ([{"name": "note", "value": "x"}], []))
        self.assertTrue({"bin", "etc", "tmp"} <= set(data["rootfs"]["entries"]))
        self.assertRegex(data["imageRef"], r"^127\.0\.0\.1:\d+/test/configured:1@sha256:[0-9a-f]{64}$")

    def test_from_merges_into_what_is_there(self):
        fields = ["container", call("withEnvVariable", name="MINE", value="1"), call("from", address=self.image)]
        self.assertEqual(self.ask(*fields, call("envVariable", name="MINE")), "1")
        self.assertEqual(self.ask(*fields, call("envVariable", name="PATH")), images.PATH)

    def test_the_image_reference_is_gone_after_a_change(self):
        kept = self.ask(*self.busybox, call("withEnvVariable", name="A", value="b"), call("withUser", name="app"), "imageRef")
        self.assertIn("@sha256:", kept)
        for change in run("true"), call("withNewFile", path="/x", contents=""):
            with self.fails(
                "Image reference can only be retrieved immediately after the 'Container.From' call. Error in "
                "fetching imageRef as the container image is changed"
            ):
                self.ask(*self.busybox, change, "imageRef")

    def test_siblings_do_not_change_each_other(self):
        data = self.session.query(
            '{container{a:withEnvVariable(name:"FOO",value:"BAR"){envVariable(name:"FOO")} b:envVariable(name:"FOO")}}'
        )
        self.assertEqual(data["container"], {"a": {"envVariable": "BAR"}, "b": None})

    def test_an_unknown_platform_is_refused(self):
        with self.fails("unknown operating system or architecture"):
            self.ask(call("container", platform="windows98"), "id")
        self.assertEqual(self.ask(call("container", platform="linux/arm64"), "platform"), "linux/arm64")

    def test_an_id_is_short_and_works_in_another_session(self):
        ids = [self.ask(*self.busybox, shell("echo from an id"), "id") for _ in range(2)]
        self.assertEqual(ids[0], ids[1])
        self.assertFalse(ids[0].isdigit())
        self.assertLess(len(ids[0]), 200)
        other = self.open_session("0.9.3")
        self.assertEqual(ask(other, call("container", id=ids[0]), "stdout"), "from an id\n")
        self.assertEqual(ask(other, call("loadContainerFromID", id=ids[0]), "stdout"), "from an id\n")
        arm = self.ask(call("container", platform="linux/arm64"), "id")
        self.assertEqual(ask(other, call("container", id=arm), "platform"), "linux/arm64")

    def test_an_id_of_something_else_is_refused(self):
        with self.fails("Directory", "Container"):
            self.ask(call("container", id=self.new_directory({"a": ""})), "id")
        with self.fails("nonsense"):
            self.ask(call("container", id="nonsense"), "id")

    def test_rootfs_can_be_replaced(self):
        directory = self.new_directory({"etc/only": "mine"})
        fields = [*self.busybox, call("withEnvVariable", name="KEPT", value="1"), call("withRootfs", directory=directory)]
        self.assertEqual(self.ask(*fields, "rootfs", "entries"), ["etc"])
        self.assertEqual(self.ask(*fields, call("envVariable", name="KEPT")), "1")


class Configuration(ApiTest):
    def test_variables_are_set_replaced_expanded_and_removed(self):
        set_ = lambda name, value, **more: call("withEnvVariable", name=name, value=value, **more)
        self.assertEqual(self.ask(*self.busybox, set_("FOO", ""), shell('echo "[${FOO-unset}]"'), "stdout"), "[]\n")
        fields = [*self.busybox, set_("USER_PATH", "/opt"), set_("PATH", "${USER_PATH}/bin:$PATH:$NONE", expand=True)]
        self.assertEqual(self.ask(*fields, call("envVariable", name="PATH")), f"/opt/bin:{images.PATH}:")
        self.assertEqual(self.ask(*self.busybox, set_("X", "$PATH"), call("envVariable", name="X")), "$PATH")
        gone = self.ask(*self.busybox, set_("X", "1"), call("withoutEnvVariable", name="X"), call("envVariable", name="X"))
        self.assertIsNone(gone)

    def test_working_directory(self):
        fields = [*self.busybox, call("withWorkdir", path="/usr"), call("withWorkdir", path="made/here")]
        self.assertEqual(self.ask(*fields, "workdir"), "/usr/made/here")
        self.assertEqual(self.ask(*fields, run("pwd"), "stdout"), "/usr/made/here\n")

    def test_users_and_groups_come_from_the_image(self):
        identity = lambda user: self.ask(*self.busybox, call("withUser", name=user), run("id"), "stdout").strip()
        self.assertEqual(self.ask(*self.busybox, run("id"), "stdout").strip(),
                         "uid=0(root) gid=0(root) groups=0(root),1(bin),2(daemon),11(floppy)")  # fmt: skip
        self.assertEqual(identity("app"), "uid=1000(app) gid=1000(app) groups=1000(app),2000(extra)")
        self.assertEqual(identity("daemon:floppy"), "uid=2(daemon) gid=11(floppy) groups=11(floppy)")
        self.assertIn("uid=2(daemon) gid=11(floppy)", identity("2:11"))
        with self.fails("nobody-here"):
            identity("nobody-here")

    def test_home_is_set(self):
        self.assertEqual(self.ask(*self.busybox, shell("echo $HOME"), "stdout"), "/root\n")
        self.assertEqual(self.ask(*self.busybox, call("withUser", name="app"), shell("echo $HOME"), "stdout"), "/home/app\n")

    def test_entrypoint_and_default_arguments(self):
        fields = [*self.busybox, call("withEntrypoint", args=["echo", "entry"])]
        self.assertEqual(self.ask(*fields, "entrypoint"), ["echo", "entry"])
        self.assertEqual(self.ask(*fields, "defaultArgs"), ["/bin/sh"])
        self.assertEqual(self.ask(*fields, run("x"), "stdout"), "entry x\n")
        self.assertEqual(self.ask(*fields, run("echo", "x", skipEntrypoint=True), "stdout"), "x\n")
        self.assertEqual(self.ask(*fields, call("withDefaultArgs", args=["d"]), run(), "stdout"), "entry d\n")
        newer = self.open_session("0.9.5")
        self.assertEqual(ask(newer, *fields, "defaultArgs"), [])
        with self.fails("no command has been set"):
            ask(newer, *self.busybox, "withoutEntrypoint", "stdout")

    def test_later_clients_ask_for_the_entrypoint(self):
        newer = self.open_session("0.21.0")
        fields = [*self.busybox, call("withEntrypoint", args=["echo", "entry"])]
        self.assertEqual(ask(newer, *fields, run("echo", "x"), "stdout"), "x\n")
        self.assertEqual(ask(newer, *fields, run("x", useEntrypoint=True), "stdout"), "entry x\n")


class Exec(ApiTest):
    def test_output_is_kept_as_it_is(self):
        script = "printf ' out \\n\\n'; printf 'err' >&2"
        self.assertEqual(self.ask(*self.busybox, shell(script), "stdout"), " out \n\n")
        self.assertEqual(self.ask(*self.busybox, shell(script), "stderr"), "err")

    def test_nothing_runs_before_it_is_asked_for(self):
        self.assertIn("linux", self.ask(*self.busybox, shell("exit 1"), "platform"))
        with self.fails("exit code: 1"):
            self.ask(*self.busybox, shell("exit 1"), "sync")
        self.assertTrue(self.ask(*self.busybox, call("withDefaultArgs", args=["false"]), "sync"))

    def test_without_an_exec_the_default_command_runs(self):
        self.assertEqual(self.ask(*self.busybox, "stdout"), "")
        with self.fails("no command has been set"):
            self.ask("container", "stdout")

    def test_standard_input(self):
        self.assertEqual(self.ask(*self.busybox, run("cat", stdin="hello"), "stdout"), "hello")
        self.assertEqual(self.ask(*self.busybox, run("readlink", "/proc/self/fd/0"), "stdout"), "/dev/null\n")

    def test_redirects_write_files_too(self):
        redirected = shell("echo out; echo err >&2", redirectStdout="out.txt", redirectStderr="/tmp/err.txt")
        fields = [*self.busybox, call("withWorkdir", path="/home"), redirected]
        self.assertEqual(self.ask(*fields, call("file", path="/home/out.txt"), "contents"), "out\n")
        self.assertEqual(self.ask(*fields, call("file", path="/tmp/err.txt"), "contents"), "err\n")
        self.assertEqual(self.ask(*fields, "stdout"), "out\n")

    def test_a_failure_says_what_ran_and_what_it_printed(self):
        with self.fails('process "sh -c echo partial; echo reason >&2; exit 7" did not complete successfully: exit code: 7') as caught:
            self.ask(*self.busybox, shell("echo partial; echo reason >&2; exit 7"), "stdout")
        self.assertEqual(
            caught.exception.extensions,
            {"_type": "EXEC_ERROR", "cmd": ["sh", "-c", "echo partial; echo reason >&2; exit 7"], "exitCode": 7,
             "stdout": "partial", "stderr": "reason"},
        )  # fmt: skip
        error = caught.exception.errors[0]
        self.assertEqual(error["path"], ["container", "from", "withExec", "stdout"])
        self.assertEqual(len(error["locations"]), 1)

    def test_a_process_that_a_signal_ends_fails(self):
        with self.fails("did not complete successfully") as caught:
            self.ask(*self.busybox, shell("sh -c 'kill -9 $$'; exit $?"), "stdout")
        self.assertEqual(caught.exception.extensions["exitCode"], 137)

    def test_long_output_of_a_failure_is_cut_at_its_start(self):
        with self.fails("exit code: 1") as caught:
            self.ask(*self.busybox, shell("yes 0123456 | head -c 200000; exit 1"), "stdout")
        text = caught.exception.extensions["stdout"]
        self.assertTrue(text.startswith("[omitting 97600 bytes]..."), text[:60])
        self.assertIn(len(text), (102400, 102399))  # the last newline is trimmed

    def test_a_lot_of_output_is_complete(self):
        self.assertEqual(len(self.ask(*self.busybox, shell("yes | head -c 5000000"), "stdout")), 5_000_000)

    def test_an_unknown_command_is_named(self):
        with self.fails("not-a-command"):
            self.ask(*self.busybox, run("not-a-command"), "stdout")

    def test_an_error_that_is_none_of_a_process_has_no_exec_extension(self):
        with self.fails("invalid!") as caught:
            self.ask("container", call("from", address="invalid!"), "id")
        self.assertNotIn("_type", caught.exception.extensions)

    def test_an_expected_failure_is_a_result(self):
        newer = self.open_session("0.21.0")
        for expect, code in ("ANY", 3), ("FAILURE", 3), ("ANY", 0):
            self.assertEqual(ask(newer, *self.busybox, shell(f"exit {code}", expect=Name(expect)), "exitCode"), code)
        with self.fails("exit code: 0"):
            ask(newer, *self.busybox, shell("exit 0", expect=Name("FAILURE")), "sync")

    def test_steps_see_what_steps_before_them_wrote(self):
        fields = [*self.busybox, shell("mkdir -p /a/b; echo 1 > /a/b/f; rm /etc/image-note"), shell("echo 2 >> /a/b/f")]
        self.assertEqual(self.ask(*fields, call("file", path="/a/b/f"), "contents"), "1\n2\n")
        self.assertNotIn("image-note", self.ask(*fields, call("directory", path="/etc"), "entries"))

    def test_a_static_program_runs_without_any_image(self):
        program = self.ask(*self.busybox, call("file", path="/bin/busybox"), "id")
        fields = ["container", call("withMountedFile", path="/busybox", source=program)]
        self.assertEqual(self.ask(*fields, run("/busybox", "echo", "hi"), "stdout"), "hi\n")
        self.assertEqual(self.ask(*fields, run("/busybox", "true"), "rootfs", "entries"), [])

    def test_capabilities(self):
        plain = self.ask(*self.busybox, run("grep", "Cap", "/proc/self/status"), "stdout")
        full = self.ask(*self.busybox, run("grep", "Cap", "/proc/self/status", insecureRootCapabilities=True), "stdout")
        sets = lambda text: {l.split(":")[0]: int(l.split()[1], 16) for l in text.splitlines() if l.startswith("Cap")}
        # net_admin, sys_{module,rawio,ptrace,admin,boot,resource}, as far as this machine lets anybody have them
        wanted = sum(1 << bit for bit in (12, 16, 17, 19, 21, 22, 24)) & sets(Path("/proc/self/status").read_text())["CapBnd"]
        for name in "CapPrm", "CapEff", "CapBnd":
            self.assertEqual(sets(plain)[name] & wanted, 0, name)
        for name in "CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb":
            self.assertEqual(sets(full)[name] & wanted, wanted, name)

    def test_nothing_of_the_engine_is_left_in_the_root(self):
        before = self.ask(*self.busybox, "rootfs", "entries")
        self.assertEqual(self.ask(*self.busybox, run("true"), "rootfs", "entries"), before)
        etc = self.ask(*self.busybox, call("directory", path="/etc"), "entries")
        self.assertEqual(self.ask(*self.busybox, run("true"), call("directory", path="/etc"), "entries"), etc)

    def test_a_hundred_steps_in_one_query(self):
        fields = [*self.busybox, *(shell(f"echo {n} >> /n") for n in range(60))]
        self.assertEqual(self.ask(*fields, call("file", path="/n"), "contents").split(), [str(n) for n in range(60)])


class Mounts(ApiTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory_id = cls.new_directory(cls, {"some-file": "content", "sub/inner": "inside"}, cls.session)

    def mounted(self, path="/mnt/dir", **more):
        return [*self.busybox, call("withMountedDirectory", path=path, source=self.directory_id, **more)]

    def test_a_mounted_directory_is_seen_and_its_changes_stay_in_it(self):
        fields = [*self.mounted(), shell("cat /mnt/dir/some-file; echo more >> /mnt/dir/some-file")]
        self.assertEqual(self.ask(*fields, "stdout"), "content")
        self.assertEqual(self.ask(*fields, call("file", path="/mnt/dir/some-file"), "contents"), "contentmore\n")
        self.assertEqual(self.ask(*fields, run("cat", "/mnt/dir/some-file"), "stdout"), "contentmore\n")
        again = call("withMountedDirectory", path="/mnt/dir", source=self.directory_id)
        self.assertEqual(self.ask(*fields, again, run("cat", "/mnt/dir/some-file"), "stdout"), "content")
        self.assertEqual(self.ask(*fields, call("withoutMount", path="/mnt/dir"), "rootfs", call("glob", pattern="mnt/*")), [])

    def test_a_part_of_a_directory_can_be_mounted(self):
        part = self.ask(call("directory", id=self.directory_id), call("directory", path="sub"), "id")
        fields = [*self.busybox, call("withMountedDirectory", path="/part", source=part), shell("ls /part; echo x > /part/y")]
        self.assertEqual(self.ask(*fields, "stdout"), "inner\n")
        self.assertEqual(self.ask(*fields, call("directory", path="/part"), "entries"), ["inner", "y"])

    def test_mounts_are_listed_replaced_and_removed(self):
        empty = self.new_directory({})
        mount = lambda path: call("withMountedDirectory", path=path, source=empty)
        fields = [*self.busybox, mount("/a/b"), mount("/c"), call("withMountedTemp", path="/t")]
        self.assertEqual(self.ask(*fields, "mounts"), ["/a/b", "/c", "/t"])
        self.assertEqual(self.ask(*fields, mount("/a"), "mounts"), ["/c", "/t", "/a"])
        self.assertEqual(self.ask(*fields, call("withoutMount", path="/c"), "mounts"), ["/a/b", "/t"])
        self.assertEqual(self.ask(*fields, call("withoutMount", path="/none"), "mounts"), ["/a/b", "/c", "/t"])

    def test_errors_name_the_path_as_it_was_given(self):
        fields = [*self.mounted(), call("withMountedTemp", path="/tmp/t")]
        with self.fails("bogus: no such file or directory"):
            self.ask(*self.busybox, call("file", path="bogus"), "id")
        with self.fails("/tmp/t/bogus: cannot retrieve path from tmpfs"):
            self.ask(*fields, call("file", path="/tmp/t/bogus"), "id")
        volume = self.ask(call("cacheVolume", key="errors"), "id")
        with self.fails("/cache/bogus: cannot retrieve path from cache"):
            self.ask(*self.busybox, call("withMountedCache", path="/cache", cache=volume), call("directory", path="/cache/bogus"), "id")
        with self.fails("path /mnt/dir/some-file is a file, not a directory"):
            self.ask(*fields, call("directory", path="/mnt/dir/some-file"), "id")
        with self.fails("path /mnt/dir is a directory, not a file"):
            self.ask(*fields, call("file", path="/mnt/dir"), "id")

    def test_a_mounted_file(self):
        file = self.new_file("one", "a-file")
        fields = [*self.busybox, call("withMountedFile", path="/mnt/file", source=file), shell("cat /mnt/file; echo two >> /mnt/file")]
        self.assertEqual(self.ask(*fields, "stdout"), "one")
        self.assertEqual(self.ask(*fields, call("file", path="/mnt/file"), "contents"), "onetwo\n")

    def test_a_temporary_mount(self):
        fields = [*self.busybox, call("withMountedTemp", path="/mnt/tmp")]
        self.assertIn("tmpfs /mnt/tmp tmpfs", self.ask(*fields, run("cat", "/proc/mounts"), "stdout"))
        self.assertEqual(self.ask(*fields, shell("echo x > /mnt/tmp/x"), run("ls", "/mnt/tmp"), "stdout"), "")

    def test_nothing_covers_the_file_systems_that_every_container_has(self):
        for path in "/proc", "/proc/sys", "/sys", "/dev", "/dev/null", "/mnt/../proc/self":
            named = path.removeprefix("/mnt/..")
            for field in "withMountedDirectory", "withMountedFile":
                source = self.directory_id if field == "withMountedDirectory" else self.new_file("x")
                with self.fails(f'nothing can be mounted on "{named}": every container has its own'):
                    self.ask(*self.busybox, call(field, path=path, source=source), "id")
            with self.fails(f'nothing can be mounted on "{named}"'):
                self.ask(*self.busybox, call("withMountedTemp", path=path), "id")
        fields = [call("withMountedFile", path="/proc/uptime", source=self.new_file("1 2\n")), call("withMountedTemp", path="/dev/shm")]
        script = "cat /proc/uptime; touch /dev/shm/x; head -c 1 /proc/kcore; echo x 2>&1 > /proc/sys/kernel/hostname; echo x > /dev/null"
        seen = self.ask(*self.busybox, *fields, shell(script), "stdout")
        self.assertTrue(seen.startswith("1 2\n"), seen)
        self.assertIn("Read-only", seen)

    def test_what_is_written_there_is_covered_while_an_exec_runs(self):
        write = call("withNewFile", path="/proc/version", contents="mine")
        into = call("withDirectory", path="/dev", directory=self.new_directory({"null": "mine", "zero": "mine", "more": "mine"}))
        fields = [*self.busybox, write, into, shell("head -c 5 /proc/version; ls /dev; cat /dev/null; echo x > /dev/null", redirectStdout="/proc/out")]
        seen = self.ask(*fields, "stdout")
        self.assertTrue(seen.startswith("Linux"), seen)
        self.assertNotIn("mine", seen)
        self.assertNotIn("more", seen)
        for path in "/proc/version", "/dev/null", "/dev/more":
            self.assertEqual(self.ask(*fields, call("file", path=path), "contents"), "mine")
        self.assertEqual(self.ask(*fields, call("file", path="/proc/out"), "contents"), seen)

    def test_owners_of_mounts_and_copies(self):
        wanted = {"1000": "1000 1000", "1000:11": "1000 11", "app": "1000 1000", "app:floppy": "1000 11", "daemon:1000": "2 1000"}
        for owner, expected in wanted.items():
            seen = self.ask(*self.mounted(owner=owner), shell("stat -c '%u %g' /mnt/dir /mnt/dir/some-file /mnt/dir/sub/inner"), "stdout")
            self.assertEqual(seen.splitlines(), [expected] * 3, owner)
        copied = call("withDirectory", path="/copy", directory=self.directory_id, owner="app:floppy")
        seen = self.ask(*self.busybox, copied, shell("stat -c '%u %g' /copy/some-file /copy/sub/inner"), "stdout")
        self.assertEqual(seen.splitlines(), ["1000 11"] * 2)
        new = call("withNewFile", path="/home/n", contents="", owner="app")
        self.assertEqual(self.ask(*self.busybox, call("withUser", name="app"), new, run("stat", "-c", "%u %g", "/home/n"), "stdout"), "1000 1000\n")
        plain = call("withNewFile", path="/home/n", contents="")
        self.assertEqual(self.ask(*self.busybox, call("withUser", name="app"), plain, run("stat", "-c", "%u %g", "/home/n"), "stdout"), "0 0\n")

    def test_an_unknown_owner_is_named(self):
        with self.fails("find uid: no such user: who"):
            self.ask(*self.mounted(owner="who"), run("true"), "stdout")
        with self.fails("find gid: no such group: which"):
            self.ask(*self.mounted(owner="app:which"), run("true"), "stdout")

    def test_copies_go_into_the_root_or_into_a_mount(self):
        fields = [*self.mounted(), call("withNewFile", path="/mnt/dir/new", contents="in the mount")]
        self.assertEqual(self.ask(*fields, call("directory", path="/mnt/dir"), "entries"), ["new", "some-file", "sub"])
        self.assertEqual(self.ask(*fields, run("cat", "/mnt/dir/new"), "stdout"), "in the mount")
        self.assertEqual(self.ask(*fields, "mounts"), ["/mnt/dir"])
        relative = [*self.busybox, call("withWorkdir", path="/home"), call("withDirectory", path="deep/er", directory=self.directory_id)]
        self.assertEqual(self.ask(*relative, call("file", path="/home/deep/er/sub/inner"), "contents"), "inside")
        file = self.new_file("renamed", "old-name")
        self.assertEqual(
            self.ask(*self.busybox, call("withFile", path="/x/new-name", source=file, permissions=0o741),
                     shell("stat -c %a /x/new-name; ls /x"), "stdout"),
            "741\nnew-name\n",
        )  # fmt: skip


class LayersOfAnImage(ApiTest):
    def test_what_a_layer_removes_is_gone_and_stays_gone_below_an_exec(self):
        layers = [
            Layer().dir("d").file("d/old", "old").dir("e").file("e/a", "a").file("e/b", "b"),
            Layer().opaque("d").file("d/new", "new").whiteout("e/a"),
        ]
        address = self.registry.push(images.busybox(extra=layers), "test/whiteouts:1")
        fields = ["container", call("from", address=address)]
        for steps in [], [shell("echo 1 > /d/third")]:
            self.assertEqual(self.ask(*fields, *steps, call("directory", path="/d"), "entries"), ["new", "third"][: 1 + len(steps)])
            self.assertEqual(self.ask(*fields, *steps, call("directory", path="/e"), "entries"), ["b"])

    def test_hundreds_of_steps_are_hundreds_of_layers_of_one_root(self):
        blocks, length = 11, 50  # more than Linux mounts by one old mount(2) call; one query may not nest as deep
        container = self.ask(*self.busybox, "id")
        for block in range(blocks):
            steps = [shell(f"echo {n} > /layer-{block}-{n}; echo {block}-{n} > /last") for n in range(length)]
            container = self.ask(call("loadContainerFromID", id=container), *steps, "id")
        count = shell("ls -d /layer-* | wc -l; cat /last /layer-0-0")
        expected = f"{blocks * length}\n{blocks - 1}-{length - 1}\n0\n"
        self.assertEqual(self.ask(call("loadContainerFromID", id=container), count, "stdout"), expected)


if __name__ == "__main__":
    case.main()
