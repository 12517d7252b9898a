"""`dagger query`: one query from an argument, a file or stdin; its data as JSON. And the small commands."""

import json
import subprocess

from support import case


class Query(case.EngineTest):
    def check(self, result, data):
        self.assertEqual((result.returncode, json.loads(result.stdout or "null")), (0, data), result.stderr)

    def test_from_stdin_a_file_or_the_command_line(self):
        text, data = "{ defaultPlatform }", {"defaultPlatform": "linux/amd64"}
        document = self.engine.dir / "document.graphql"
        document.write_text(text)
        self.check(self.engine.dagger("query", stdin=text), data)
        self.check(self.engine.dagger("query", "--doc", document), data)
        self.check(self.engine.dagger("query", "--doc", "-", stdin=text), data)
        self.check(self.engine.dagger("query", text), data)

    def test_variables_and_the_name_of_an_operation(self):
        text = "query A { defaultPlatform } query B($p: Platform) { container(platform: $p) { platform } }"
        data = {"container": {"platform": "linux/arm64"}}
        self.check(self.engine.dagger("query", "B", "--var", "p=linux/arm64", stdin=text), data)
        self.check(self.engine.dagger("query", "B", "--var-json", '{"p":"linux/arm64"}', stdin=text), data)

    def test_a_pipeline(self):
        text = '{container{from(address:"%s"){withExec(args:["echo","hi"]){stdout}}}}' % self.image
        self.check(self.engine.dagger("query", stdin=text), {"container": {"from": {"withExec": {"stdout": "hi\n"}}}})

    def test_errors_go_to_stderr(self):
        for arguments, stdin, text in (
            ([], "{ nothing }", "nothing"),
            ([], "{", "Syntax Error"),
            (["--doc", "/no/such/file"], None, "/no/such/file"),
            (["--var", "novalue"], "{ version }", "novalue"),
            (["--var-json", "{"], "{ version }", "--var-json"),
            ([], '{container{from(address:"%s"){withExec(args:["false"]){stdout}}}}' % self.image, "exit code: 1"),
        ):
            result = self.engine.dagger("query", *arguments, stdin=stdin)
            self.assertNotEqual(result.returncode, 0, arguments)
            self.assertEqual(result.stdout, "")
            self.assertIn(text, result.stderr)

    def test_inside_another_session(self):
        result = self.engine.run([self.engine.program, "query", "{defaultPlatform}"])
        self.check(result, {"defaultPlatform": "linux/amd64"})


class Others(case.EngineTest):
    def test_help_and_version(self):
        self.assertRegex(self.engine.dagger("version").stdout, r"^dagger v\d+\.\d+\.\d+")
        for command in [], ["run"], ["session"], ["query"], ["runner"], ["plugin"], ["plugin", "list"], ["config", "show"]:
            result = self.engine.dagger(*command, "--help")
            self.assertEqual((result.returncode, result.stderr), (0, ""), command)
            self.assertIn("--help", result.stdout)
        self.assertNotEqual(self.engine.dagger("no-such-command").returncode, 0)

    def test_completion(self):
        for shell in "bash", "zsh", "fish":
            self.assertIn("session", self.engine.dagger("completion", shell).stdout)

    def test_completion_goes_down_to_the_flags_of_a_command(self):
        script = self.engine.dagger("completion", "bash").stdout
        for typed, expected in (["dagger", "doc"], "doctor"), (["dagger", "plugin", "s"], "show"), (["dagger", "config", "show", "--or"], "--origin"):
            ask = f"{script}\nCOMP_WORDS=({' '.join(typed)}); COMP_CWORD={len(typed) - 1}; _dagger; echo ${{COMPREPLY[*]}}"
            done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True)
            self.assertEqual((done.stdout, done.stderr), (expected + "\n", ""), typed)

    def test_plugins_are_listed_without_being_loaded(self):
        lines = [line.split("\t") for line in self.engine.dagger("plugin", "list").stdout.splitlines()]
        found = {(kind, name) for kind, name, *_ in lines}
        wanted = {("snapshotter", "overlay"), ("executor", "crun"), ("executor", "runc"), ("source", "oci"), ("secret", "env"),
                  ("network", "host"), ("network", "none"), ("cache", "local")}  # fmt: skip
        self.assertEqual({(kind.replace("exec", "executor") if kind == "exec" else kind, name) for kind, name in found} & wanted, wanted)

    def test_configuration_is_shown_and_checked(self):
        self.engine.configure('[executor]\nuse = "runc"\n[listen]\ntoken = "do-not-show-this"\n')
        shown = self.engine.dagger("config", "show")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("runc", shown.stdout)
        self.assertIn(str(self.engine.config_file), shown.stdout)
        self.assertNotIn("do-not-show-this", shown.stdout)
        self.assertEqual(self.engine.dagger("config", "check").returncode, 0)
        self.engine.configure('stat_dir = "/x"\n[parallelism]\nexecs = 0\n')
        checked = self.engine.dagger("config", "check")
        self.assertNotEqual(checked.returncode, 0)
        for text in f"{self.engine.config_file}:1:", f"{self.engine.config_file}:3:", "state_dir":
            self.assertIn(text, checked.stderr)

    def test_a_configuration_that_is_named_must_exist(self):
        result = self.engine.run(["true"], env={"DAGGER_CONFIG": "/no/such/config.toml"})
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("/no/such/config.toml", result.stderr)


if __name__ == "__main__":
    case.main()
