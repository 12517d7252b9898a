"""kill -9 of the runner at named moments. Within a second nothing of it is left, before anything is started again; what
was reported a second before is a hit afterwards; the state directory needs no repair.

Each moment is brought about: a registry that stops in a blob, a command that waits, and support/hold.py, which stops the
runner at a named call. DAGGER_LONG_TESTS=1 goes through the moments three times, and kills at moments of chance besides.
"""

import os
import random
import sqlite3
import threading
import time

from api_case import ask, call, run, shell
from support import case, images, processes
from support.faulty_registry import FaultyRegistry
from support.hold import Hold
from support.images import Layer

RANDOM = run("cat", "/proc/sys/kernel/random/uuid")
DURABLE_AFTER = 1.0
LONG = bool(os.environ.get("DAGGER_LONG_TESTS"))
ROUNDS = 3 if LONG else 1
KILLS_BY_CHANCE = 20 if LONG else 2


class KillCase(case.EngineTest):
    def setUp(self):
        super().setUp()
        self.faulty = FaultyRegistry()
        self.addCleanup(self.faulty.stop)
        self.hold = Hold(self.engine.dir / "hold")
        self.sessions, self.threads = [], []
        self.known: dict[str, tuple[list[str], str]] = {}
        self.round = 0

    def open_session(self):
        session = self.engine.session(env=self.hold.env)
        self.addCleanup(session.kill)
        self.sessions.append(session)
        return session

    def busybox(self, *fields):
        return ["container", call("from", address=self.image), *fields]

    def new_source(self, count=1, name="file") -> str:
        source = self.engine.dir / f"source-{self.round}-{count}"
        for number in range(count):
            file = source / f"d{number % 30}" / f"{name}-{number}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(os.urandom(2000))
        return str(source)

    def learn(self, session):
        """Finishes a step that gives something else each time it runs: an image, a host directory and a command."""
        mounted = call("withMountedDirectory", path="/src", source=ask(session, "host", call("directory", path=self.new_source()), "id"))
        for step in (
            self.busybox(call("withEnvVariable", name="STEP", value=str(self.round)), RANDOM, "stdout"),
            self.busybox(mounted, shell("cat /proc/sys/kernel/random/uuid > /out"), call("file", path="/out"), "contents"),
        ):
            self.known[f"step {len(self.known) + 1} of round {self.round}"] = step, ask(session, *step)

    def check_known(self, session, moment: str):
        for name, (step, output) in self.known.items():
            self.assertEqual(ask(session, *step), output, f"{name}, after a kill {moment}")

    def kill(self):
        """The runner, and the sessions, whose way to end by themselves is another test's matter."""
        groups = processes.cgroups_of(self.engine.processes())
        self.assertEqual(len(self.engine.kill_runners()), 1)
        killed = time.monotonic()
        for session in self.sessions:
            session.kill()
        self.engine.check_nothing_is_left(within=1.0)
        processes.eventually(
            lambda: not processes.in_cgroups(groups), max(0.0, killed + 1 - time.monotonic()), f"{groups} to be empty"
        )
        self.hold.release()
        for thread in self.threads:
            thread.join()
        self.sessions, self.threads = [], []
        return groups

    def check_the_state(self):
        """After its runner has ended: everything in the state directory is known, and everything known is there."""
        state = self.engine.state_dir
        database = sqlite3.connect(f"file:{state}/records.db?mode=ro", uri=True)
        self.addCleanup(database.close)
        rows = lambda query: {row[0] for row in database.execute(query)}
        # A runner removes what a killed one left while it works; what it has not come to is the next one's.
        files = lambda: {path.name for path in (state / "blobs").glob("*/*")}
        processes.eventually(lambda: files() <= rows("SELECT lower(hex(digest)) FROM blob"), 20, "unknown blobs to be removed")
        self.engine.kill_runners(15)
        self.engine.check_nothing_is_left(within=10)
        self.assertEqual(rows("PRAGMA integrity_check"), {"ok"})
        self.assertEqual({int(name) for name in os.listdir(state / "layers")}, rows("SELECT id FROM layer"))
        self.assertEqual(files(), rows("SELECT lower(hex(digest)) FROM blob"))
        self.assertEqual((os.listdir(state / "work"), os.listdir(state / "scratch")), ([], []))

    def in_background(self, session, *fields) -> threading.Thread:
        def work():
            try:
                self.answers.append(ask(session, *fields))
            except Exception:  # noqa: BLE001 - the runner is killed below it
                pass

        self.answers = []
        thread = threading.Thread(target=work)
        thread.start()
        self.threads.append(thread)
        return thread


class NamedMoments(KillCase):
    """Each moment starts something and returns when the runner is in the middle of it, with what to ask for again."""

    def new_image(self) -> tuple[images.Image, str]:
        files = Layer().dir("many")
        for number in range(300):
            files.file(f"many/{number}", os.urandom(3000))
        image = images.busybox(note=f"round {self.round}", extra=[files])
        return image, self.faulty.add(image, f"kill/round-{self.round}:1")

    def pulling(self, session, at: float):
        image, address = self.new_image()
        gate = self.faulty.hold(image.layer_digests[-1], at=at)
        self.addCleanup(gate.release)
        self.in_background(session, "container", call("from", address=address), shell("ls /many | wc -l"), "stdout")
        self.assertTrue(gate.reached.wait(20))
        return ["container", call("from", address=address), shell("ls /many | wc -l"), "stdout"]

    def during_pull(self, session):
        return self.pulling(session, at=0.0)

    def during_unpack(self, session):
        fields = self.pulling(session, at=0.8)
        work = self.engine.state_dir / "work"
        processes.eventually(lambda: next(work.glob("*/fs/many/100"), None), 20, "a part of the layer to be unpacked")
        self.assertEqual(list(work.glob("*/fs/many/299")), [])
        return fields

    def during_exec(self, session):
        marker = f"68.{self.round}"
        self.in_background(session, *self.busybox(call("withMountedTemp", path="/t"), run("sleep", marker), "stdout"))
        running = lambda: [process for process in self.engine.processes() if process.command == ("sleep", marker)]
        processes.eventually(running, 20, "the container to run")
        # What looks for leftovers sees a container while it is there.
        self.assertTrue([line for line in self.engine.mounts() if " overlay " in line], "the container's root is seen")
        if os.access("/sys/fs/cgroup", os.W_OK):
            self.assertTrue(processes.in_cgroups(processes.cgroups_of(self.engine.processes())))
        return self.busybox(shell(f"echo again {self.round}"), "stdout")

    def held(self, session, order: str):
        """A command that changes files, up to the named call."""
        script = f"mkdir -p /w/sealed-directory; for i in 1 2 3; do echo {self.round} > /w/sealed-directory/$i; done; echo written"
        fields = self.busybox(shell(script), "stdout")
        self.hold.order(order)
        thread = self.in_background(session, *fields)
        self.hold.wait()
        return fields, thread

    def during_seal(self, session):
        fields, _ = self.held(session, "before openat sealed-directory")
        self.assertEqual(self.answers, [])
        return fields

    def before_the_layer_is_renamed_into_place(self, session):
        return self.held(session, "before rename /layers/")[0]

    def between_rename_and_record(self, session):
        return self.held(session, "after rename /layers/")[0]

    def between_rename_and_commit(self, session):
        fields, thread = self.held(session, "before pwrite64 /records.db-wal")
        thread.join()
        self.assertEqual(self.answers, ["written\n"], "a step waits for no commit")
        return fields

    def during_the_commit(self, session):
        return self.held(session, "after pwrite64 /records.db-wal")[0]

    def between_commit_and_sync(self, session):
        return self.held(session, f"before syncfs {self.engine.state_dir}")[0]

    def directory(self, source):
        return ["host", call("directory", path=source), call("glob", pattern="*/*")]

    def during_a_directory_sync(self, session):
        source = self.new_source(1500, "synced")
        self.hold.order("before futimens /synced-750")
        self.in_background(session, *self.directory(source))
        self.hold.wait()
        arrived = len(list((self.engine.state_dir / "work").glob("*/fs/*/synced-*")))
        self.assertTrue(0 < arrived < 1500, arrived)
        return self.directory(source)

    def during_the_sync_of_a_changed_directory(self, session):
        source = self.new_source(60, "changed")
        ask(session, *self.directory(source))
        session.close()
        with open(f"{source}/d7/changed-37", "ab") as file:
            file.write(b"more")
        later = self.open_session()
        self.hold.order("before futimens /changed-37")
        self.in_background(later, *self.directory(source))
        self.hold.wait()
        return self.directory(source)

    MOMENTS = (
        during_pull, during_unpack, during_exec, during_seal, before_the_layer_is_renamed_into_place,
        between_rename_and_record, between_rename_and_commit, during_the_commit, between_commit_and_sync,
        during_a_directory_sync, during_the_sync_of_a_changed_directory,
    )  # fmt: skip

    def kill_at(self, moment):
        self.round += 1
        name = moment.__name__.replace("_", " ")
        session = self.open_session()
        self.learn(session)
        time.sleep(DURABLE_AFTER)  # the promise under test: after a second it lasts
        again = moment(self, session)
        groups = self.kill()
        with self.engine.session(env=self.hold.env) as session:
            self.check_known(session, name)
            first = ask(session, *again)
            self.assertTrue(first)
            self.assertEqual(ask(session, *again), first)
        left = [group for group in groups if os.path.exists(group)]
        self.assertEqual(left, [], "the next runner has removed the groups of the killed one")

    def test_at_each_moment(self):
        for _ in range(ROUNDS):
            for moment in self.MOMENTS:
                with self.subTest(moment=moment.__name__.replace("_", " ")):
                    self.kill_at(moment)
        self.check_the_state()


class MomentsOfChance(KillCase):
    def work(self, session, number: int):
        """Something of everything, without an end; it ends with the runner."""
        files = [Layer().file(f"f{index}", os.urandom(50_000)) for index in range(4)]
        image = images.busybox(note=f"{self.round} {number}", extra=files)
        address = self.faulty.add(image, f"chance/{self.round}-{number}:1")
        volume = call("withMountedCache", path="/cache", cache=ask(session, call("cacheVolume", key="chance"), "id"))
        source = call("withMountedDirectory", path="/s", source=ask(session, "host", call("directory", path=self.new_source(number % 40 + 2)), "id"))
        for step in range(1000):
            script = f"echo {step} >> /cache/lines; cp -r /s /copy; cat /proc/sys/kernel/random/uuid"
            ask(session, "container", call("from", address=address), volume, source, shell(script), call("directory", path="/copy"), "entries")

    def test_a_runner_that_is_killed_at_any_time(self):
        chance = random.Random(time.time_ns())
        for _ in range(KILLS_BY_CHANCE):
            self.round += 1
            session = self.open_session()
            self.check_known(session, "by chance")
            self.learn(session)
            learnt = time.monotonic()

            def ignore_the_end(number, session=session):
                try:
                    self.work(session, number)
                except Exception:  # noqa: BLE001 - the runner is killed below it
                    pass

            self.threads = [threading.Thread(target=ignore_the_end, args=(number,)) for number in range(4)]
            for thread in self.threads:
                thread.start()
            time.sleep(max(0.0, learnt + DURABLE_AFTER - time.monotonic()) + chance.random())
            self.kill()
        with self.engine.session() as session:
            self.check_known(session, "by chance")
        self.check_the_state()

    def test_a_killed_session_and_runner_at_once_leave_nothing(self):
        session = self.open_session()
        self.in_background(session, *self.busybox(run("sleep", "69"), "stdout"))
        sleeping = lambda: [process for process in self.engine.processes() if process.command == ("sleep", "69")]
        processes.eventually(sleeping, 20, "the container to run")
        session.process.kill()
        self.kill()


if __name__ == "__main__":
    case.main()
