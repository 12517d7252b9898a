"""`dagger run`: a command with a session in its environment, and nothing else changed for it."""

import json
import signal
import socket
import subprocess
import sys

from api_case import chain, shell, call
from support import case, engine, processes


class Run(case.EngineTest):
    def shell(self, script: str, *flags, **more):
        return self.engine.run(["sh", "-c", script], *flags, **more)

    def test_the_command_finds_a_session_in_its_environment(self):
        result = self.shell('echo "$DAGGER_SESSION_PORT"; echo "$DAGGER_SESSION_TOKEN"')
        port, token = result.stdout.split()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertTrue(0 < int(port) < 65536)
        self.assertGreaterEqual(len(token), 32)

    def test_output_and_input_are_its_own(self):
        query = engine.query_command(chain(["container", call("from", address=self.image), shell("echo noise"), "stdout"]))
        script = f"printf 'a\\n\\nb'; cat; printf 'err' >&2; {subprocess.list2cmdline(query[:2])} \"$1\" >&2"
        result = self.engine.run(["sh", "-c", script, "sh", query[2]], stdin="from stdin")
        self.assertEqual((result.returncode, result.stdout), (0, "a\n\nbfrom stdin"), result.stderr)
        self.assertIn("err", result.stderr)

    def test_progress_goes_to_stderr(self):
        query = engine.query_command(chain(["container", call("from", address=self.image), shell("echo a-line; exit 0"), "stdout"]))
        result = self.engine.run(query)
        self.assertEqual(json.loads(result.stdout)["container"]["from"]["withExec"]["stdout"], "a-line\n")
        for text in "resolve image config for", "sh -c echo a-line", "a-line\n":
            self.assertIn(text, result.stderr)
        again = self.engine.run(query)
        self.assertIn("CACHED", again.stderr)
        for name in "b.sock", "a.sock":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(self.engine.dir / name))
            warned = self.engine.run(engine.query_command(chain(["host", call("directory", path=".", include=["*.sock"]), "entries"])))
            self.assertEqual(warned.stdout.count("sock"), 0)
            told = [line for line in warned.stderr.splitlines() if "warning: " in line]
            self.assertEqual(len(told), 1, warned.stderr)
            expected = {"b.sock": '"b.sock" is a socket and was left out', "a.sock": '2 sockets and devices were left out; the first is "a.sock"'}
            self.assertTrue(told[0].endswith(f"warning: {expected[name]}"), told)
        quiet = self.engine.run(query, "--silent")
        self.assertEqual((quiet.returncode, quiet.stderr), (0, ""))

    def test_its_exit_code_is_returned(self):
        for code in 0, 7, 255:
            self.assertEqual(self.shell(f"exit {code}").returncode, code)
        self.assertEqual(self.shell("kill -TERM $$").returncode, 128 + signal.SIGTERM)

    def test_flags_of_the_command_are_left_to_it(self):
        self.assertEqual(self.engine.run(["echo", "--help", "-v", "--"]).stdout, "--help -v --\n")
        self.assertEqual(self.engine.run(["--", "echo", "--silent"]).stdout, "--silent\n")

    def test_an_unknown_command_is_named(self):
        result = self.engine.run(["no-such-command-here"])
        self.assertIn("no-such-command-here", result.stderr)
        self.assertNotEqual(result.returncode, 0)
        self.assertNotEqual(self.engine.dagger("run").returncode, 0)

    def test_signals_are_passed_on(self):
        for name in "TERM", "INT":
            ready = self.engine.dir / f"ready-{name}"
            script = f"trap 'echo got {name}; exit 9' {name}; touch {ready}; while :; do sleep 0.05; done"
            process, output = self.engine.start("run", "sh", "-c", script)
            processes.eventually(ready.exists, 20, "the command to be ready")
            process.send_signal(getattr(signal, f"SIG{name}"))
            self.assertEqual(process.wait(5), 9, output.read_text())
            self.assertIn(f"got {name}", output.read_text())

    def test_a_signal_ends_the_command_that_does_not_care(self):
        ready = self.engine.dir / "ready"
        process, _ = self.engine.start("run", "sh", "-c", f"touch {ready}; exec sleep 61")
        processes.eventually(ready.exists, 20, "the command to be ready")
        process.terminate()
        self.assertEqual(process.wait(5), 128 + signal.SIGTERM)
        self.assertFalse([p for p in self.engine.processes() if p.command[:2] == ("sleep", "61")])

    def test_a_nested_run_joins_the_outer_session(self):
        dagger, ports = self.engine.program, 'echo "$DAGGER_SESSION_PORT $DAGGER_SESSION_TOKEN"'
        result = self.shell(f"{ports}; {dagger} run sh -c '{ports}'; {dagger} run sh -c 'exit 5'")
        outer, inner = result.stdout.splitlines()
        self.assertEqual((outer, result.returncode), (inner, 5), result.stderr)

    def test_the_session_ends_with_the_command(self):
        port = int(self.shell("echo $DAGGER_SESSION_PORT").stdout)
        self.assertFalse(processes.accepts(f"tcp://127.0.0.1:{port}"))

    def test_nothing_holds_the_output_open_afterwards(self):
        # A CI waits until the last holder of its pipe is gone: the runner, which stays, must not be one.
        process, _ = self.engine.start("run", "echo", "done", stdout=subprocess.PIPE)
        self.assertEqual(process.communicate(timeout=20)[0], b"done\n")
        self.assertTrue(self.engine.runners())

    def test_the_working_directory(self):
        (self.engine.dir / "w").mkdir()
        (self.engine.dir / "w" / "f").write_text("x")
        query = engine.query_command('{host{directory(path:"."){entries}}}')
        self.assertIn('["f"]', self.engine.run(query, cwd=self.engine.dir / "w").stdout)
        self.assertIn('["f"]', self.engine.run(query, "--workdir", self.engine.dir / "w").stdout)


class Smoke(case.EngineTest):
    """One short pass through all parts, which the sanitizer builds run too."""

    def test_one_pipeline(self):
        source = self.engine.dir / "source"
        source.mkdir()
        (source / "in").write_text("from the host\n")
        data = self.engine.query(
            '{host{directory(path:"%s"){id}}}' % source,
        )
        mounted = call("withMountedDirectory", path="/src", source=data["host"]["directory"]["id"])
        steps = ["container", call("from", address=self.image), mounted, shell("cat /src/in; echo more > /src/out")]
        self.assertEqual(_leaf(self.engine.query(chain([*steps, "stdout"]))), "from the host\n")
        target = self.engine.dir / "target"
        self.engine.query(chain([*steps, call("directory", path="/src"), call("export", path=str(target))]))
        self.assertEqual((target / "out").read_text(), "more\n")
        with self.assertRaisesRegex(RuntimeError, "exit code: 3"):
            self.engine.query(chain([*steps, shell("exit 3"), "stdout"]))


def _leaf(data):
    while isinstance(data, dict):
        data = next(iter(data.values()))
    return data


if __name__ == "__main__":
    case.main()
