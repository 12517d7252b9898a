"""Several sessions, and several runners, that want the same work."""

import os
import signal
import tempfile
import threading
from pathlib import Path

from api_case import ApiTest, ask, call, chain, run, shell
from support import case, engine, processes

class Sessions(ApiTest):
    def counted(self, key: str, script: str, session=None):
        """A step that leaves one line in a cache volume each time it runs; and one that counts the lines."""
        id = ask(session or self.session, call("cacheVolume", key=key), "id")
        volume = call("withMountedCache", path="/count", cache=id)
        step = [*self.busybox, volume, shell(f"echo x >> /count/lines; {script}")]
        count = [*self.busybox, volume, shell(f"wc -l < /count/lines # {threading.get_native_id()} {script}"), "stdout"]
        return step, count

    def sleeping(self, seconds: str):
        return [process for process in self.engine.processes() if process.command[-2:] == ("sleep", seconds)]

    def test_an_equal_step_of_many_sessions_runs_once(self):
        step, count = self.counted("once", "sleep 1; cat /proc/sys/kernel/random/uuid")
        sessions = [self.session, *(self.open_session("0.9.3") for _ in range(3))]
        seen = []
        threads = [threading.Thread(target=lambda s=s: seen.append(ask(s, *step, "stdout"))) for s in sessions for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((len(seen), len(set(seen))), (8, 1))
        self.assertEqual(self.ask(*count), "1\n")

    def test_the_second_waiter_gets_the_result_when_the_first_is_killed(self):
        step, count = self.counted("killed", "sleep 2.5; echo done")
        first = self.engine.session("--label", "dagger.io/sdk.version:0.9.3")
        outcome = []
        threads = [
            threading.Thread(target=_collect, args=(outcome, "first", first, [*step, "stdout"])),
            threading.Thread(target=_collect, args=(outcome, "second", self.session, [*step, "stdout"])),
        ]
        threads[0].start()
        processes.eventually(lambda: self.sleeping("2.5"), 20, "the step to run")
        threads[1].start()
        # The second one is known to wait once the runner has answered something it asked for later.
        self.ask("defaultPlatform")
        self.ask(*self.busybox, run("true"), "stdout")
        first.kill()
        for thread in threads:
            thread.join()
        self.assertEqual(dict(outcome)["second"], "done\n")
        self.assertIsInstance(dict(outcome)["first"], Exception)
        self.assertEqual(self.ask(*count), "1\n")

    def test_an_interrupt_reaches_the_container_within_a_second(self):
        query = chain([*self.busybox, run("sleep", "66"), "stdout"])
        process, output = self.engine.start("run", *engine.query_command(query))
        processes.eventually(lambda: self.sleeping("66"), 20, "the step to run")
        process.send_signal(signal.SIGINT)
        processes.eventually(lambda: not self.sleeping("66"), 1, "the container to end")
        self.assertNotEqual(process.wait(5), 0, output.read_text())

    def test_a_killed_session_ends_its_steps(self):
        session = self.engine.session()
        thread = threading.Thread(target=_collect, args=([], "", session, [*self.busybox, run("sleep", "67"), "stdout"]))
        thread.start()
        processes.eventually(lambda: self.sleeping("67"), 20, "the step to run")
        session.kill()
        thread.join()
        processes.eventually(lambda: not self.sleeping("67"), 2, "the container to end")

    def test_a_failure_is_everybodys(self):
        step, count = self.counted("failing", "sleep 1; exit 4")
        outcome = []
        other = self.open_session("0.9.3")
        threads = [
            threading.Thread(target=_collect, args=(outcome, name, session, [*step, "stdout"]))
            for name, session in (("one", self.session), ("other", other))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for error in dict(outcome).values():
            self.assertIn("exit code: 4", str(error))
        self.assertEqual(self.ask(*count), "1\n")


def _collect(outcome, name, session, fields):
    try:
        outcome.append((name, ask(session, *fields)))
    except Exception as error:  # noqa: BLE001 - of another thread
        outcome.append((name, error))


class OneSlot(ApiTest):
    config = "[parallelism]\nexecs = 1\n"

    def test_steps_that_need_each_other_get_through_one_slot(self):
        inner = [*self.busybox, shell("echo inner > /out/f || { mkdir /out; echo inner > /out/f; }"), call("directory", path="/out"), "id"]
        middle = [*self.busybox, call("withDirectory", path="/in", directory=self.ask(*inner)), shell("cp -r /in /out"), call("directory", path="/out"), "id"]
        outer = [*self.busybox, call("withMountedDirectory", path="/in", source=self.ask(*middle)), run("cat", "/in/f"), "stdout"]
        self.assertEqual(self.ask(*outer), "inner\n")

    def test_many_at_once(self):
        results = []
        threads = [
            threading.Thread(target=lambda n=n: results.append(self.ask(*self.busybox, shell(f"echo {n}"), "stdout"))) for n in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(results), sorted(f"{n}\n" for n in range(12)))


class CacheTier(case.EngineTest):
    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory(prefix="dagger-tier-")
        self.addCleanup(directory.cleanup)
        self.tier = Path(directory.name)
        self.with_tier = f'[[cache]]\nuse = "local"\nsettings = {{ path = "{self.tier}/cache" }}\n'

    def wait_for_records(self):
        def records():
            return sum(path.is_file() for path in self.tier.glob("cache/v1/records/*/*"))

        processes.eventually(lambda: records() >= 2, 20, "image and step to be in the tier")

    def test_a_second_runner_with_an_empty_store_hits_what_the_first_has_made(self):
        made = ["container", call("from", address=self.image), shell("mkdir /o; cat /proc/sys/kernel/random/uuid | tee /o/f")]
        first = self.new_engine(self.with_tier)
        with first.session() as session:
            expected = ask(session, *made, "stdout")
            self.assertEqual(ask(session, *made, call("file", path="/o/f"), "contents"), expected)
        self.wait_for_records()
        first.close()
        second = self.new_engine(self.with_tier)
        with second.session() as session:
            self.assertEqual(ask(session, *made, call("file", path="/o/f"), "contents"), expected)
            self.assertEqual(ask(session, *made, "stdout"), expected)
            self.assertEqual(ask(session, *made, run("cat", "/o/f"), "stdout"), expected)

    def test_a_tier_that_is_damaged_is_no_harm(self):
        made = ["container", call("from", address=self.image), shell("mkdir /o; echo right | tee /o/f")]
        first = self.new_engine(self.with_tier)
        with first.session() as session:
            ask(session, *made, "stdout")
        self.wait_for_records()
        first.close()
        for parent, _, files in os.walk(self.tier):
            for name in files:
                with open(os.path.join(parent, name), "r+b") as file:
                    file.seek(max(0, os.fstat(file.fileno()).st_size // 2))
                    file.write(b"damaged")
        second = self.new_engine(self.with_tier)
        with second.session() as session:
            self.assertEqual(ask(session, *made, call("file", path="/o/f"), "contents"), "right\n")
            self.assertEqual(ask(session, *made, "stdout"), "right\n")


if __name__ == "__main__":
    case.main()
