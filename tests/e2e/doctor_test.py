"""`dagger doctor`: what works on this machine, what does not, and the remedy."""

import os
import socket
import subprocess

from support import case


class Doctor(case.EngineTest):
    def examine(self, **more):
        result = self.engine.dagger("doctor", **more)
        *lines, verdict = result.stdout.splitlines()
        return lines, verdict, result.returncode

    def test_this_machine_is_fine(self):
        lines, verdict, code = self.examine()
        self.assertEqual((verdict, code), ("the engine can run here", 0), lines)
        for text in "ok    snapshotter overlay: works here", "ok    executor crun: works here, and is taken", "ok    user: root":
            self.assertIn(text, lines)
        subjects = {line[6:].split(":")[0] for line in lines}
        self.assertLessEqual({"kernel", "overlay", "fuse", "namespaces", "cgroups", "crun", "runc", "disk", "registries",
                              "docker", "podman", "state directory"}, subjects)  # fmt: skip
        self.assertFalse(self.engine.state_dir.exists())

    def test_why_a_choice_is_passed_over_and_when_none_is_left(self):
        self.engine.configure('executor = [{ use = "crun", settings = { binary = "/no/such/crun" } }, "runc"]\n')
        lines, _, code = self.examine()
        self.assertEqual(code, 0, lines)
        (line,) = [line for line in lines if line.startswith("warn  executor crun: ")]
        self.assertIn("/no/such/crun", line)
        self.assertIn("ok    executor runc: works here, and is taken", lines)
        self.engine.configure('executor = [{ use = "crun", settings = { binary = "/no/such/crun" } }]\nlgo = 1\n')
        lines, verdict, code = self.examine()
        self.assertEqual((verdict, code), ("the engine cannot run here: 2 failures", 1), lines)
        self.assertTrue(any(line.startswith("fail  configuration: ") and 'did you mean "log"?' in line for line in lines), lines)

    def test_a_registry_that_is_configured_is_looked_for(self):
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            there, gone = (f"127.0.0.1:{s.getsockname()[1]}" for s in (server, closed))
            self.engine.configure(f'[registries."{there}"]\nplain_http = true\n[registries."{gone}"]\nplain_http = true\n')
            lines, _, code = self.examine()
        self.assertEqual(code, 0)
        self.assertIn(f"ok    registry {there}: {there} accepts connections", lines)
        self.assertTrue(any(line.startswith(f"warn  registry {gone}: {gone}: Connection refused; ") for line in lines), lines)

    def test_who_uses_the_state_directory(self):
        runner = self.engine.start_runner()
        lines, verdict, code = self.examine()
        self.assertEqual((verdict, code), ("the engine can run here", 0), lines)
        self.assertIn(f"ok    runner: process {runner.pid} uses the state directory", lines)

    def test_without_root(self):
        os.chmod(self.engine.dir, 0o755)
        env = self.engine.env({"XDG_RUNTIME_DIR": None})
        program = ["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups", self.engine.program, "doctor"]
        result = subprocess.run(program, env=env, cwd="/", capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn("fail  user: uid 4242, but a runner needs root for now; start the runner as root", result.stdout)


if __name__ == "__main__":
    case.main()
