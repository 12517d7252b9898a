"""Backends chosen by the configuration alone; plugin files that are no good; a plugin of somebody else."""

import os
import shutil
import signal
from pathlib import Path

from api_case import ask, call, run, shell
from support import case, engine, examples, processes

PLUGINS = engine.build_dir() / "lib" / "dagger" / "plugins" / "1"


class Executors(case.EngineTest):
    def pipeline(self, session):
        source = ask(session, "directory", call("withNewFile", path="in", contents="from outside\n"), "id")
        steps = ["container", call("from", address=self.image), call("withMountedDirectory", path="/src", source=source),
                 call("withUser", name="app:floppy"), shell("id; cat /src/in; pwd; grep -c . /proc/self/mounts > /dev/null && echo mounts")]  # fmt: skip
        written = ["container", call("from", address=self.image), call("withMountedDirectory", path="/src", source=source),
                   shell("echo more > /src/out; rm /src/in"), call("directory", path="/src"), "entries"]  # fmt: skip
        return ask(session, *steps, "stdout"), ask(session, *written)

    def test_the_same_pipeline_under_each(self):
        seen = {}
        for name in "crun", "runc":
            own = self.new_engine(f'[executor]\nuse = "{name}"\n')
            with own.session() as session:
                seen[name] = self.pipeline(session)
                with self.assertRaisesRegex(RuntimeError, "no-such-command"):
                    ask(session, "container", call("from", address=self.image), run("no-such-command"), "stdout")
                with self.assertRaisesRegex(RuntimeError, "exit code: 5"):
                    ask(session, "container", call("from", address=self.image), shell("exit 5"), "stdout")
        self.assertEqual(seen["crun"], seen["runc"])
        self.assertEqual(seen["crun"], ("uid=1000(app) gid=11(floppy) groups=11(floppy)\nfrom outside\n/\nmounts\n", ["out"]))


class BadPlugins(case.EngineTest):
    def setUp(self):
        super().setUp()
        self.dir = self.engine.dir / "plugins"
        self.dir.mkdir(mode=0o755)

    def copy(self, name="exec-crun.so") -> Path:
        return Path(shutil.copy(PLUGINS / name, self.dir))

    def refused(self, file, *texts, more=""):
        self.engine.configure(f'[executor]\nuse = "crun"\nfile = "{file}"\n{more}')
        for command in ["run", "true"], ["config", "check"]:
            result = self.engine.dagger(*command)
            self.assertNotEqual(result.returncode, 0, command)
            self.assertEqual(result.stdout, "")
            for text in str(file), *texts:
                self.assertIn(text, result.stderr, command)
        self.assertEqual(self.engine.runners(), [])

    def test_a_file_that_is_missing(self):
        self.refused(self.dir / "none.so", "no such file")

    def test_a_file_that_is_truncated(self):
        file = self.copy()
        data = file.read_bytes()
        for size in 0, 10, 100, 4096, len(data) // 2:
            file.write_bytes(data[:size])
            self.refused(file)

    def test_a_file_of_another_kind_or_name(self):
        self.refused(self.copy("source-oci.so"), "source", "exec")
        self.refused(self.copy("exec-runc.so"), "runc", "crun")

    def test_a_file_that_is_no_plugin(self):
        file = self.dir / "x.so"
        file.write_text("#!/bin/sh\n")
        self.refused(file)
        self.refused(self.dir)

    def test_a_file_that_others_may_write(self):
        file = self.copy()
        file.chmod(0o666)
        self.refused(file, "writable", "chmod")
        file.chmod(0o644)
        self.dir.chmod(0o777)
        self.refused(file, str(self.dir), "writable")

    def test_a_file_of_another_version(self):
        zoo = engine.build_dir() / "tests" / "plugin-zoo" / "plugins"
        for name, text in ("wrong_api", "built for plugin API 9"), ("no_manifest", "manifest"), ("debug_stl", "ABI"):
            file = zoo / f"zoo-{name}.so"
            self.engine.configure(f'[[source]]\nuse = "{name}"\nfile = "{file}"\n')
            result = self.engine.run(["true"])
            self.assertNotEqual(result.returncode, 0, name)
            for part in str(file), text:
                self.assertIn(part, result.stderr)
            self.assertEqual(self.engine.runners(), [])

    def test_a_file_that_is_not_the_one_that_was_checked(self):
        self.refused(self.copy(), "sha256", more='sha256 = "' + "0" * 64 + '"\n')

    def test_settings_that_the_plugin_does_not_know(self):
        for section in '[executor]\nuse = "crun"', '[[source]]\nuse = "oci"':
            self.engine.configure(f"{section}\nsettings = {{ nonsense = 1 }}\n")
            result = self.engine.run(["true"])
            self.assertNotEqual(result.returncode, 0, section)
            self.assertIn("nonsense", result.stderr)

    def test_a_good_file_elsewhere_works(self):
        self.engine.configure(f'[executor]\nuse = "crun"\nfile = "{self.copy()}"\n')
        data = self.engine.query('{container{from(address:"%s"){withExec(args:["echo","hi"]){stdout}}}}' % self.image)
        self.assertEqual(data["container"]["from"]["withExec"]["stdout"], "hi\n")


class Isolated(case.EngineTest):
    """The bundled plugins of every kind that can be, in processes of their own."""

    def test_a_pipeline_under_it(self):
        alone = 'isolation = "process"\n'
        sections = [f'[{name}]\nuse = "{use}"\n{alone}' for name, use in (
            ("network.host", "host"), ("network.none", "none"), ("[source]", "oci"), ("[secret]", "env"))]  # fmt: skip
        self.engine.configure("".join(sections) + f'[[cache]]\nuse = "local"\n{alone}settings = {{ path = "{self.engine.dir}/tier" }}\n')
        with self.engine.session(env={"TOKEN_OF_TEST": "s3cret-value"}) as session:
            secret = ask(session, call("secret", uri="env://TOKEN_OF_TEST"), "id")
            variable = call("withSecretVariable", name="TOKEN", secret=secret)
            said = ask(session, "container", call("from", address=self.image), variable, shell("printf %s $TOKEN | wc -c"), "stdout")
            self.assertEqual(said.strip(), "12")


class CrashingSource(case.EngineTest):
    """A source that crashes: in a process of its own, as every plugin from elsewhere, and inside the engine."""

    zoo = engine.build_dir() / "tests" / "plugin-zoo" / "plugins"

    def configure(self, more=""):
        self.engine.configure(
            f'[[source]]\nuse = "oci"\n[[source]]\nuse = "crashes"\nfile = "{self.zoo}/zoo-crashes.so"\n{more}'
        )

    def crash(self, session, how):
        ask(session, call("git", url="zoo://" + how), call("branch", name="b"), "tree", "entries")

    def test_one_step_fails_and_nobody_else_notices(self):
        self.configure()
        with self.engine.session() as session, self.engine.session() as other:
            (pid,) = [runner.pid for runner in self.engine.runners()]
            for how, ending in ("segv", "was killed by signal SEGV"), ("exit", "ended with exit code 3"):
                with self.assertRaisesRegex(RuntimeError, f"source plugin 'crashes', pin\\(\\): its process {ending}"):
                    self.crash(session, how)
                self.assertEqual(ask(other, "container", call("from", address=self.image), run("echo", how), "stdout"), how + "\n")
            self.assertEqual([runner.pid for runner in self.engine.runners()], [pid])

    def test_its_process_ends_with_a_runner_that_is_killed(self):
        self.configure()
        with self.engine.session() as session:
            self.assertTrue(ask(session, "container", call("from", address=self.image), "id"))
            (runner,) = self.engine.runners()
            (own,) = [p for p in processes.descendants(runner.pid) if "dagger-plugin-host" in p.executable]
            os.kill(runner.pid, signal.SIGKILL)
            processes.eventually(lambda: own.pid not in [p.pid for p in processes.descendants()], 10, "its end")

    def test_inside_the_engine_the_report_names_it_and_the_store_is_whole(self):
        self.configure('isolation = "none"\n')
        step = ["container", call("from", address=self.image), shell("ls /; echo still here"), "stdout"]
        with self.engine.session() as session:
            before = ask(session, *step)
            with self.assertRaises(Exception):
                self.crash(session, "segv")
        log = "".join(f.read_text(errors="replace") for f in self.engine.dir.rglob("*.log"))
        self.assertIn("fatal signal SEGV inside source plugin 'crashes', pin()", log)
        with self.engine.session() as session:
            self.assertEqual(ask(session, *step), before)


class ForeignSource(case.EngineTest):
    """examples/source-hello, built out of tree against the installed package."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.file = examples.build(cls, "source-hello")

    def setUp(self):
        super().setUp()
        self.engine.configure(
            '[[source]]\nuse = "oci"\n[[source]]\nuse = "hello"\n'
            f'file = "{self.file}"\nsettings = {{ greeting = "good morning" }}\n'
        )

    def test_its_scheme_works_in_a_pipeline(self):
        with self.engine.session() as session:
            tree = ["git" + '(url: "hello://world")', call("branch", name="any"), "tree"]
            self.assertEqual(ask(session, *tree, "entries"), ["hello.txt"])
            mounted = call("withMountedDirectory", path="/h", source=ask(session, *tree, "id"))
            said = ask(session, "container", call("from", address=self.image), mounted, run("cat", "/h/hello.txt"), "stdout")
            self.assertRegex(said, r"^good morning, .*world\n$")

    def test_a_file_of_it_by_http(self):
        with self.engine.session() as session:
            file = call("http", url="hello://world")
            self.assertRegex(ask(session, file, "contents"), r"^good morning, .*world\n$")
            mounted = call("withMountedFile", path="/greeting", source=ask(session, file, "id"))
            said = ask(session, "container", call("from", address=self.image), mounted, run("cat", "/greeting"), "stdout")
            self.assertRegex(said, r"^good morning, .*world\n$")
        with self.engine.session() as session:  # pinned once, kept
            self.assertRegex(ask(session, file, "contents"), r"^good morning")

    def test_every_kind_of_git_reference_reaches_it(self):
        with self.engine.session() as session:
            for reference in call("branch", name="main"), call("tag", name="v1"), call("commit", id="a" * 40):
                self.assertEqual(ask(session, call("git", url="hello://world"), reference, "tree", "entries"), ["hello.txt"])

    def test_its_errors_are_told_and_an_unknown_scheme_is_named(self):
        with self.engine.session() as session:
            with self.assertRaisesRegex(RuntimeError, "greets nobody"):
                ask(session, call("git", url="hello://" + "x" * 2000), call("branch", name="b"), "tree", "entries")
            with self.assertRaisesRegex(RuntimeError, "nosuch"):
                ask(session, call("http", url="nosuch://x"), "contents")


if __name__ == "__main__":
    case.main()
