"""`dagger plugin`: what an operator sees of plugins; several backends to choose from."""

import shutil
from pathlib import Path

from api_case import ask, call, shell
from support import case, engine

PLUGINS = engine.build_dir() / "lib" / "dagger" / "plugins" / "1"
ZOO = engine.build_dir() / "tests" / "plugin-zoo" / "plugins"


class Look(case.EngineTest):
    def rows(self, *flags):
        listed = self.engine.dagger("plugin", "list", *flags)
        return [line.split("\t") for line in listed.stdout.splitlines()], listed

    def test_the_list_says_what_chose_a_plugin_and_what_it_can(self):
        self.engine.configure('[[cache]]\nuse = "local"\nsettings = { path = "%s/cache" }\n' % self.engine.dir)
        rows, listed = self.rows()
        self.assertEqual(listed.returncode, 0, listed.stdout)
        chosen = {(row[0], row[1]): row[5:] for row in rows[1:]}
        self.assertEqual(chosen["cache", "local"], [f"{self.engine.config_file}:1:1", "-"])
        self.assertEqual(chosen["secret", "env"], ["default", "scheme env"])
        self.assertEqual(chosen["network", "none"], ["default, class none", "class none"])
        self.assertEqual(chosen["executor", "crun"][0], "default, 1 of 2: taken")
        self.assertIn("executor.local/1", chosen["executor", "crun"][1])

    def test_a_crash_is_an_entry_of_the_list(self):
        file = ZOO / "zoo-crash_static.so"
        for isolation in "none", "process":
            self.engine.configure(f'[[source]]\nuse = "crash_static"\nfile = "{file}"\nisolation = "{isolation}"\n')
            rows, _ = self.rows()
            (row,) = [row for row in rows if row[1] == "crash_static"]
            self.assertTrue(row[5].startswith(f"{self.engine.config_file}:1:1: does not work here: "), row)
            self.assertIn("its process was killed by signal ABRT", row[5])
        rows, _ = self.rows("--no-run")
        (row,) = [row for row in rows if row[1] == "crash_static"]
        self.assertEqual(row[5], f"{self.engine.config_file}:1:1")

    def test_a_plugin_tells_its_settings(self):
        shown = self.engine.dagger("plugin", "show", "oci")
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        for text in ("source plugin 'oci': Images", "chosen by default", "scheme docker-image",
                     "parallel_downloads  (integer, 1 to 64, default 6)\n        How many layers", "registries.*.mirrors"):  # fmt: skip
            self.assertIn(text, shown.stdout)
        by_file = self.engine.dagger("plugin", "show", PLUGINS / "source-oci.so")
        self.assertEqual(by_file.stdout, shown.stdout)
        self.assertIn('did you mean "crun"?', self.engine.dagger("plugin", "show", "crnu").stderr)

    def test_every_bundled_plugin_tells_what_it_is(self):
        for file in sorted(PLUGINS.glob("*.so")):
            first, *rest = self.engine.dagger("plugin", "show", file).stdout.splitlines()
            self.assertRegex(first, r"^\w+ plugin '\w+': \w+", file)
            self.assertTrue(any(line.startswith("  settings") for line in rest), file)
            self.assertNotIn("does not tell them", "\n".join(rest), file)


class Check(case.EngineTest):
    def test_every_reason_for_a_refusal_without_running_it(self):
        directory = self.engine.dir / "plugins"
        directory.mkdir()
        file = Path(shutil.copy(ZOO / "zoo-wrong_api.so", directory))
        file.chmod(0o666)
        directory.chmod(0o777)
        checked = self.engine.dagger("plugin", "check", file)
        self.assertEqual((checked.returncode, checked.stdout), (1, ""))
        for text in (f"{file} is refused, 3 reasons:", f"run: chmod go-w {file}\n", f"run: chmod go-w {directory}\n", "plugin API 9.1"):
            self.assertIn(text, checked.stderr)
        for name in "no_manifest", "debug_stl", "bad_schema":
            checked = self.engine.dagger("plugin", "check", ZOO / f"zoo-{name}.so")
            self.assertEqual((checked.returncode, checked.stdout), (1, ""), name)
            self.assertIn("is refused, 1 reason:", checked.stderr)

    def test_what_only_running_it_shows(self):
        file = ZOO / "zoo-crash_static.so"
        self.assertEqual(self.engine.dagger("plugin", "check", file).returncode, 0)
        ran = self.engine.dagger("plugin", "check", file, "--run", "--", "--only", "construction")
        self.assertEqual(ran.returncode, 1)
        self.assertIn("it crashed with signal 6", ran.stdout)

    def test_a_good_one_is_fine(self):
        ran = self.engine.dagger("plugin", "check", PLUGINS / "secret-env.so", "--run", "--", "--ref", "env:NAME")
        self.assertEqual(ran.returncode, 0, ran.stdout)
        self.assertRegex(ran.stdout, r"secret plugin 'env': \d+ kept, 0 broken, 0 skipped\n$")


class New(case.EngineTest):
    """That what it writes builds and works is seen by tests/package."""

    def test_what_it_cannot_write_is_an_error_and_leaves_nothing(self):
        for args, text in ((["surce", "x"], 'did you mean "source"?'), (["source", "Ünsinn"], "is no name for a plugin"),
                           (["source", "a_b"], "use a-z, 0-9 and '-'"), (["source", "x" * 40], "at most 31")):  # fmt: skip
            made = self.engine.dagger("plugin", "new", *args)
            self.assertEqual((made.returncode, made.stdout), (1, ""), args)
            self.assertIn(text, made.stderr)
        self.assertEqual(list(self.engine.dir.glob("source*")), [])

    def test_what_is_there_already_stays(self):
        self.assertEqual(self.engine.dagger("plugin", "new", "secret", "mine").returncode, 0)
        file = self.engine.dir / "secret-mine" / "plugin.cc"
        file.write_text("changed")
        again = self.engine.dagger("plugin", "new", "secret", "mine")
        self.assertEqual(again.returncode, 1)
        self.assertIn("exists already", again.stderr)
        self.assertEqual(file.read_text(), "changed")


class Choices(case.EngineTest):
    """The first executor that works on this machine is taken."""

    def setUp(self):
        super().setUp()
        self.engine.configure('executor = [{ use = "crun", settings = { binary = "/no/such/crun" } }, "runc"]\n')

    def test_the_second_is_taken_where_the_first_does_not_work(self):
        with self.engine.session() as session:
            said = ask(session, "container", call("from", address=self.image), shell("echo hi"), "stdout")
            self.assertEqual(said, "hi\n")
        log = (self.engine.state_dir / "runner.log").read_text()
        self.assertRegex(log, r"executor 'crun' does not work here: .*/no/such/crun")
        self.assertIn("takes the executor plugin 'runc'", log)

    def test_the_same_for_snapshotters(self):
        self.engine.configure('snapshotter = [{ use = "fuse", settings = { binary = "/no/such" } }, "overlay"]\n')
        with self.engine.session() as session:
            written = ask(session, "container", call("from", address=self.image), shell("echo hi > /x"), call("file", path="/x"), "contents")
            self.assertEqual(written, "hi\n")
        log = (self.engine.state_dir / "runner.log").read_text()
        self.assertRegex(log, r"snapshotter 'fuse' does not work here: .*/no/such")
        self.assertIn("takes the snapshotter plugin 'overlay'", log)

    def test_the_list_says_so(self):
        listed = self.engine.dagger("plugin", "list").stdout
        self.assertRegex(listed, r"\tcrun\t.*, 1 of 2: does not work here: .*/no/such/crun")
        self.assertRegex(listed, r"\trunc\t.*, 2 of 2: taken\t")

    def test_none_that_works_is_an_error_with_every_reason(self):
        broken = '{ use = "%s", settings = { binary = "/no/such/%s" } }'
        self.engine.configure("executor = [%s, %s]\n" % (broken % ("crun", "a"), broken % ("runc", "b")))
        result = self.engine.run(["true"])
        self.assertNotEqual(result.returncode, 0)
        for text in "no executor of the configuration works on this machine", "/no/such/a", "/no/such/b":
            self.assertIn(text, result.stderr)

    def test_a_mistake_is_not_passed_over(self):
        self.engine.configure('executor = ["crnu", "runc"]\n')
        result = self.engine.run(["true"])
        self.assertNotEqual(result.returncode, 0)
        self.assertIn('did you mean "crun"?', result.stderr)


if __name__ == "__main__":
    case.main()
