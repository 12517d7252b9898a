"""kill -9 of the runner at named moments. Within a second nothing of it is left, before anything is started again; what
was reported a second before is a hit afterwards; nothing is repaired by hand.

DAGGER_TEST_KILLS says how often (20 is the long form); without it, once per moment.
"""

import os
import threading
import time

from api_case import ask, call, run, shell
from support import case, images, processes
from support.faulty_registry import FaultyRegistry
from support.images import Layer

RANDOM = run("cat", "/proc/sys/kernel/random/uuid")
DURABLE_AFTER = 1.0


class Kill(case.EngineTest):
    def setUp(self):
        super().setUp()
        self.faulty = FaultyRegistry()
        self.addCleanup(self.faulty.stop)
        self.known: dict[str, str] = {}
        self.round = 0

    def known_step(self, name: str):
        return ["container", call("from", address=self.image), call("withEnvVariable", name="STEP", value=name), RANDOM, "stdout"]

    def in_background(self, session, *fields) -> threading.Thread:
        def work():
            try:
                ask(session, *fields)
            except Exception:  # noqa: BLE001 - the runner is killed below it
                pass

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    def layers(self) -> set[str]:
        return set(os.listdir(self.engine.state_dir / "layers"))

    def container(self, marker: str):
        return [process for process in self.engine.processes() if marker in process.command]

    def new_image(self) -> tuple[images.Image, str]:
        files = Layer().dir("many")
        for number in range(300):
            files.file(f"many/{number}", os.urandom(3000))
        image = images.busybox(note=f"round {self.round}", extra=[files])
        return image, self.faulty.add(image, f"kill/round-{self.round}:1")

    # ---- the moments: each starts something and returns when it is in the middle, with what to ask for again

    def during_pull(self, session):
        image, address = self.new_image()
        gate = self.faulty.hold(image.layer_digests[-1], at=0.0)
        fields = ["container", call("from", address=address), run("cat", "/etc/image-note"), "stdout"]
        self.in_background(session, *fields)
        self.assertTrue(gate.reached.wait(20))
        return fields, gate.release

    def during_unpack(self, session):
        image, address = self.new_image()
        gate = self.faulty.hold(image.layer_digests[-1], at=0.8)
        fields = ["container", call("from", address=address), shell("ls /many | wc -l"), "stdout"]
        self.in_background(session, *fields)
        self.assertTrue(gate.reached.wait(20))
        return fields, gate.release

    def during_exec(self, session):
        marker = f"68.{self.round}"
        self.in_background(session, "container", call("from", address=self.image), run("sleep", marker), "stdout")
        processes.eventually(lambda: self.container(marker), 20, "the container to run")
        return ["container", call("from", address=self.image), shell(f"echo again {self.round}"), "stdout"], None

    def writing(self, session, marker: str):
        script = 'i=0; mkdir /w; while [ $i -lt 2000 ]; do echo $i > /w/$i; i=$((i+1)); done; echo written'
        fields = ["container", call("from", address=self.image), run("sh", "-c", script, marker), "stdout"]
        self.in_background(session, *fields)
        processes.eventually(lambda: self.container(marker), 20, "the container to run")
        return fields

    def during_seal(self, session):
        marker = f"during-seal-{self.round}"
        fields = self.writing(session, marker)
        processes.eventually(lambda: not self.container(marker), 20, "the command to end")
        return fields, None

    def between_rename_and_commit(self, session):
        before = self.layers()
        fields = self.writing(session, f"rename-{self.round}")
        processes.eventually(lambda: self.layers() - before, 20, "the new layer to appear")
        return fields, None

    def during_a_directory_sync(self, session):
        source = self.engine.dir / f"source-{self.round}"
        for number in range(1500):
            file = source / f"d{number % 30}" / str(number)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(os.urandom(2000))
        work = self.engine.state_dir / "work"
        before = set(os.listdir(work))
        fields = ["host", call("directory", path=str(source)), call("glob", pattern="*/*")]
        self.in_background(session, *fields)
        processes.eventually(lambda: set(os.listdir(work)) - before, 20, "files to arrive")
        return fields, None

    MOMENTS = (
        during_pull, during_unpack, during_exec, during_seal, between_rename_and_commit, during_a_directory_sync,
    )  # fmt: skip

    def kill_at(self, moment):
        self.round += 1
        session = self.engine.session()
        self.addCleanup(session.kill)
        name = f"round {self.round}"
        self.known[name] = ask(session, *self.known_step(name))
        time.sleep(DURABLE_AFTER)  # the promise under test: after a second it is on disk
        again, afterwards = moment(self, session)
        self.assertEqual(len(self.engine.kill_runners()), 1)
        session.kill()
        try:
            self.engine.check_nothing_is_left(within=1.0)
        finally:
            if afterwards:
                afterwards()
        with self.engine.session() as session:
            for name, output in self.known.items():
                self.assertEqual(ask(session, *self.known_step(name)), output, f"{name} after a kill {moment.__name__}")
            first = ask(session, *again)
            self.assertTrue(first)
            self.assertEqual(ask(session, *again), first)

    def test_at_each_moment(self):
        with self.engine.session() as session:  # the image is there
            ask(session, "container", call("from", address=self.image), run("true"), "sync")
        for number in range(int(os.environ.get("DAGGER_TEST_KILLS", len(self.MOMENTS)))):
            moment = self.MOMENTS[number % len(self.MOMENTS)]
            with self.subTest(kill=number + 1, moment=moment.__name__.replace("_", " ")):
                self.kill_at(moment)
        work = self.engine.state_dir / "work"
        processes.eventually(lambda: not os.listdir(work), 10, "what was half-made to be cleaned up")

    def test_a_killed_session_and_runner_at_once_leave_nothing(self):
        session = self.engine.session()
        thread = self.in_background(session, "container", call("from", address=self.image), run("sleep", "69"), "stdout")
        processes.eventually(lambda: self.container("69"), 20, "the container to run")
        session.process.kill()
        self.engine.kill_runners()
        session.kill()
        thread.join()
        self.engine.check_nothing_is_left(within=1.0)


if __name__ == "__main__":
    case.main()
