"""`dagger runner`, and how sessions find or start one."""

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from api_case import ask, call, run
from support import case, processes
from support.engine import EngineError

RUNNER_HOST, TOKEN = "_EXPERIMENTAL_DAGGER_RUNNER_HOST", "_EXPERIMENTAL_DAGGER_RUNNER_TOKEN"
RANDOM = run("cat", "/proc/sys/kernel/random/uuid")
PLATFORM = '{"defaultPlatform": "linux/amd64"}\n'


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Connections(case.EngineTest):
    def platform(self, **env):
        return self.engine.run(["/usr/bin/python3", _client(), "{defaultPlatform}"], env=env)

    def test_over_a_unix_socket(self):
        runner = self.engine.start_runner()
        self.assertEqual(self.platform().stdout, PLATFORM)
        self.assertEqual([process.pid for process in self.engine.runners()], [runner.pid])
        runner.terminate()
        self.assertEqual(runner.wait(10), 0)
        result = self.platform()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("test-runner.sock", result.stderr)
        self.assertEqual(self.engine.runners(), [], "a named runner that is away is not replaced by another")

    def test_the_socket_is_for_its_owner_alone(self):
        self.engine.start_runner()
        self.assertEqual((self.engine.runtime_dir / "test-runner.sock").stat().st_mode & 0o777, 0o600)

    def test_over_tcp_with_a_token(self):
        host = f"tcp://127.0.0.1:{free_port()}"
        self.engine.start_runner(host=host, env={TOKEN: "a-long-shared-token"})
        self.assertEqual(self.platform(**{TOKEN: "a-long-shared-token"}).stdout, PLATFORM)
        for env in {TOKEN: "another-token"}, {}:
            result = self.platform(**env)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("token", result.stderr)
            self.assertNotIn("a-long-shared-token", result.stderr)

    def test_tcp_without_a_token_is_refused_but_on_loopback_by_choice(self):
        host = f"tcp://127.0.0.1:{free_port()}"
        with self.assertRaisesRegex(EngineError, "token"):
            self.engine.start_runner(host=host)
        self.engine.configure("[listen]\nallow_loopback_without_token = true\n")
        self.engine.start_runner(host=host)
        self.assertEqual(self.platform().stdout, PLATFORM)

    def test_the_configuration_can_name_the_runner(self):
        self.engine.start_runner()
        self.engine.configure(f'runner_host = "unix://{self.engine.runtime_dir}/test-runner.sock"\n')
        self.assertEqual(self.platform(**{RUNNER_HOST: None}).stdout, PLATFORM)
        self.assertEqual(len(self.engine.runners()), 1)

    def test_an_address_that_is_none_is_an_error(self):
        for host in "nonsense", "ftp://x", "unix://relative", "tcp://no-port":
            result = self.platform(**{RUNNER_HOST: host})
            self.assertNotEqual(result.returncode, 0, host)
            self.assertIn(host, result.stderr)

    def test_malformed_input_is_no_harm(self):
        port = free_port()
        self.engine.start_runner(host=f"tcp://127.0.0.1:{port}", env={TOKEN: "t" * 20})
        for noise in b"", b"\0" * 10_000, b"GET / HTTP/1.1\r\n\r\n", os.urandom(100_000), b"\xff\xff\xff\xff" * 1000:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                try:
                    connection.sendall(noise)
                except OSError:
                    pass
        self.assertEqual(self.platform(**{TOKEN: "t" * 20}).stdout, PLATFORM)

    def test_a_runner_that_goes_away_is_noticed(self):
        runner = self.engine.start_runner()
        session = self.engine.session()
        failed = []

        def wait():
            try:
                ask(session, "container", call("from", address=self.image), run("sleep", "64"), "stdout")
            except Exception as error:  # noqa: BLE001 - looked at below
                failed.append(str(error))

        thread = threading.Thread(target=wait)
        thread.start()
        processes.eventually(lambda: [p for p in self.engine.processes() if p.command[-2:] == ("sleep", "64")], 20, "the step")
        runner.kill()
        thread.join(6)
        self.assertTrue(failed and "connection" in failed[0], failed)
        session.close()


class OnDemand(case.EngineTest):
    def test_two_sessions_that_start_at_once_share_one_runner(self):
        sessions = []
        threads = [threading.Thread(target=lambda: sessions.append(self.engine.session())) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(sessions), 6)
        self.assertEqual(len(self.engine.runners()), 1)
        steps = ["container", call("from", address=self.image), RANDOM, "stdout"]
        self.assertEqual(len({ask(session, *steps) for session in sessions}), 1)
        for session in sessions:
            session.close()

    def test_it_is_a_daemon_of_its_own(self):
        with self.engine.session():
            (runner,) = self.engine.runners()
            self.assertEqual(os.readlink(f"/proc/{runner.pid}/cwd"), "/")
            self.assertEqual(os.getsid(runner.pid), runner.pid)
            streams = {os.readlink(f"/proc/{runner.pid}/fd/{fd}") for fd in (0, 1, 2)}
            self.assertFalse({name for name in streams if name.startswith("pipe:")}, streams)
        self.assertEqual([process.pid for process in self.engine.runners()], [runner.pid], "it stays for the next")

    def test_it_ends_when_idle(self):
        self.engine.configure('[runner]\nidle_timeout = "1s"\n')
        with self.engine.session() as session:
            session.query("{defaultPlatform}")
            self.assertTrue(self.engine.runners())
        processes.eventually(lambda: not self.engine.runners(), 5, "the runner to end")
        self.engine.check_nothing_is_left()
        with self.engine.session() as session:
            session.query("{defaultPlatform}")

    def test_a_killed_one_is_replaced(self):
        with self.engine.session() as session:
            session.query("{defaultPlatform}")
        self.engine.kill_runners()
        processes.eventually(lambda: not self.engine.runners(), 2, "the runner to end")
        with self.engine.session() as session:
            session.query("{defaultPlatform}")

    def test_one_that_is_about_to_end_is_replaced(self):
        for _ in range(3):
            self.assertEqual(self.engine.run(["true"]).returncode, 0)
            self.engine.kill_runners(signal.SIGTERM)
            result = self.engine.run(["true"])
            self.assertEqual(result.returncode, 0, result.stderr)

    def newer_program(self) -> Path:
        """The same program as the next version."""
        program = self.engine.program
        current = self.engine.dagger("version").stdout.split()[1].removeprefix("v")
        major, _, rest = current.partition(".")
        newer = f"{int(major) + 1}.{rest}"
        directory = self.engine.dir / "newer"
        (directory / "bin").mkdir(parents=True)
        (directory / "lib").symlink_to(program.parents[1] / "lib")
        copy = directory / "bin" / "dagger"
        copy.write_bytes(program.read_bytes().replace(b"\0%s\0" % current.encode(), b"\0%s\0" % newer.encode()))
        copy.chmod(0o755)
        return copy

    def runs(self, program: Path):
        result = subprocess.run([program, "run", "true"], env=self.engine.env(), capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 0, result.stderr)

    def versions(self):
        return {"newer" if "/newer/" in process.command[0] else "older" for process in self.engine.processes() if "runner" in process.command[1:2]}

    def test_a_newer_tool_replaces_an_older_runner(self):
        older, newer = self.engine.program, self.newer_program()
        self.runs(older)
        self.assertEqual(self.versions(), {"older"})
        self.runs(newer)
        self.assertEqual(self.versions(), {"newer"})
        self.runs(older)
        self.assertEqual(self.versions(), {"newer"}, "an older tool is served by a newer runner")
        self.engine.program = newer

    def test_a_newer_tool_disturbs_nobody_who_uses_an_older_runner(self):
        older, newer = self.engine.program, self.newer_program()
        with self.engine.session() as session:
            self.runs(newer)
            self.assertEqual(session.query("{defaultPlatform}"), {"defaultPlatform": "linux/amd64"})
            self.runs(older)
            self.assertEqual(self.versions(), {"older"})
        processes.eventually(lambda: not self.versions(), 10, "the older runner to end with its last session")
        self.runs(newer)
        self.assertEqual(self.versions(), {"newer"})
        self.engine.program = newer

    def test_a_directory_of_somebody_else_is_not_trusted(self):
        directory = self.engine.runtime_dir / "dagger"
        for mode, owner in (0o700, 1234), (0o777, 0):
            directory.mkdir()
            directory.chmod(mode)
            os.chown(directory, owner, owner)
            result = self.engine.run(["true"])
            self.assertEqual(result.returncode, 1)
            self.assertIn(str(directory), result.stderr)
            self.assertEqual(list(directory.iterdir()), [])
            directory.rmdir()


class BadStarts(case.EngineTest):
    def runner(self, *args, **more):
        process, output = self.engine.start("runner", *args, **more)
        return process.wait(15), output.read_text()

    def test_a_second_runner_on_one_state_directory(self):
        first = self.engine.start_runner()
        status, text = self.runner("--listen", f"unix://{self.engine.runtime_dir}/second.sock")
        self.assertNotEqual(status, 0)
        self.assertIn(str(self.engine.state_dir), text)
        self.assertIsNone(first.poll())
        on_demand = self.engine.run(["true"], env={RUNNER_HOST: None})
        self.assertNotEqual(on_demand.returncode, 0)
        for name in str(self.engine.state_dir), f"pid {first.pid}":
            self.assertIn(name, on_demand.stderr)
        self.assertEqual(self.engine.run(["true"]).returncode, 0)

    def test_a_port_that_is_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            host = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
            status, text = self.runner("--listen", host, env={TOKEN: "t" * 20})
        self.assertNotEqual(status, 0)
        self.assertIn("in use", text)
        self.assertIn(str(taken.getsockname()[1]) if taken.fileno() >= 0 else host.rpartition(":")[2], text)

    def test_a_socket_that_a_killed_runner_left_is_replaced(self):
        runner = self.engine.start_runner()
        runner.kill()
        runner.wait()
        self.engine.start_runner()
        self.engine.run(["true"])

    def test_a_socket_that_another_runner_serves_is_not_taken_away(self):
        self.engine.start_runner()
        other = self.new_engine()
        process, output = other.start("runner", "--listen", f"unix://{self.engine.runtime_dir}/test-runner.sock")
        self.assertNotEqual(process.wait(15), 0)
        self.assertIn("test-runner.sock", output.read_text())
        self.assertEqual(self.engine.run(["true"]).returncode, 0)

    def test_without_root_there_is_one_error_and_nothing_is_made(self):
        self.engine.dir.chmod(0o755)
        home = self.engine.dir / "home"
        home.mkdir()
        os.chown(home, 65534, 65534)
        os.chown(self.engine.runtime_dir, 65534, 65534)
        env = self.engine.env({"HOME": str(home), "DAGGER_STATE_DIR": str(home / "state"), "XDG_CACHE_HOME": None})
        for command in ["runner", "--listen", f"unix://{home}/sock"], ["run", "true"]:
            result = subprocess.run(
                [self.engine.program, *command], env=env, cwd="/", user=65534, group=65534, extra_groups=[],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
            )  # fmt: skip
            self.assertNotEqual(result.returncode, 0)
            self.assertEqual(result.stdout, "")
            self.assertIn("root", result.stderr)
            self.assertEqual(len([line for line in result.stderr.splitlines() if "root" in line]), 1, result.stderr)
            self.assertEqual(list(home.iterdir()), [], command)
            self.assertEqual(list(self.engine.runtime_dir.iterdir()), [], command)

    def test_a_client_without_root_uses_a_runner_whose_state_it_may_not_see(self):
        self.engine.configure(f'state_dir = "{self.engine.state_dir}"\n[listen]\nsocket_mode = "0666"\n')
        self.engine.dir.chmod(0o755)
        self.engine.runtime_dir.chmod(0o755)
        self.engine.start_runner()
        self.engine.state_dir.chmod(0o700)
        home = self.engine.dir / "home"
        home.mkdir()
        os.chown(home, 65534, 65534)
        env = self.engine.env({"HOME": str(home), "DAGGER_STATE_DIR": None, "XDG_STATE_HOME": None, "XDG_RUNTIME_DIR": None})
        result = subprocess.run(
            [self.engine.program, "run", "true"], env=env, cwd="/", user=65534, group=65534, extra_groups=[],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(list(home.iterdir()), [], "no plugin asked for a directory")

    def test_a_state_directory_of_a_newer_version(self):
        self.engine.start_runner().terminate()
        self.engine._extra_env.pop(RUNNER_HOST)
        processes.eventually(lambda: not self.engine.runners(), 10, "the runner to end")
        version = next((path for path in self.engine.state_dir.rglob("*version*") if path.is_file()), None)
        self.assertIsNotNone(version, "the state directory says its version")
        version.write_text("999999\n")
        before = sorted(os.listdir(self.engine.state_dir))
        status, text = self.runner("--listen", f"unix://{self.engine.runtime_dir}/x.sock")
        self.assertNotEqual(status, 0)
        self.assertIn(str(self.engine.state_dir), text)
        with open(self.engine.state_dir / "runner.log", "ab") as log:  # of years
            log.truncate(65 << 20)
            log.seek(0, os.SEEK_END)
            log.write(b"\n")
        on_demand = self.engine.run(["true"])
        self.assertNotEqual(on_demand.returncode, 0)
        self.assertIn(f"its log {self.engine.state_dir}/runner.log ends with:", on_demand.stderr)
        self.assertIn("newer", on_demand.stderr)
        self.assertEqual(version.read_text(), "999999\n")
        self.assertEqual(sorted(set(os.listdir(self.engine.state_dir)) - {"runner.log"}), before)

    def test_it_ends_with_0_on_sigterm_also_while_a_step_runs(self):
        runner = self.engine.start_runner()
        session = self.engine.session()
        thread = threading.Thread(target=_ignore, args=(session, self.image, "65"))
        thread.start()
        processes.eventually(lambda: [p for p in self.engine.processes() if p.command[-2:] == ("sleep", "65")], 20, "the step")
        started = time.monotonic()
        runner.send_signal(signal.SIGTERM)
        self.assertEqual(runner.wait(15), 0)
        self.assertLess(time.monotonic() - started, 5)
        thread.join(5)
        session.close()


def _ignore(session, image, seconds):
    try:
        ask(session, "container", call("from", address=image), run("sleep", seconds), "stdout")
    except Exception:  # noqa: BLE001 - the runner goes away below it
        pass


def _client() -> str:
    from support import graphql

    return graphql.__file__


if __name__ == "__main__":
    case.main()
