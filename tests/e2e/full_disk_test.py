"""A disk that is full: the step fails and says so, the store stays whole, and goes on when there is room again."""

import os
import subprocess
import tempfile
from pathlib import Path

from api_case import ask, call, run, shell
from support import case, images, processes
from support.graphql import GraphQLError
from support.images import Layer

RANDOM = run("cat", "/proc/sys/kernel/random/uuid")
MEGABYTES = 48
NO_SPACE = r"(?i)no space|disk.*full|full.*disk"


class FullDisk(case.EngineTest):
    def setUp(self):
        self.disk = Path(tempfile.mkdtemp(prefix="dagger-disk-"))
        self.addCleanup(self.disk.rmdir)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", self.disk], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=True)
        self.engine = self.new_engine(state_dir=self.disk / "state")
        self.session = self.engine.session()
        self.addCleanup(self.session.kill)
        self.busybox = ["container", call("from", address=self.image)]
        self.before = ask(self.session, *self.busybox, RANDOM, "stdout")

    def check_it_goes_on(self, session=None):
        session = session or self.session
        # What was half-made is removed in the background.
        work = self.engine.state_dir / "work"
        processes.eventually(lambda: not os.listdir(work), 20, "room on the disk")
        self.assertEqual(ask(session, *self.busybox, RANDOM, "stdout"), self.before)
        self.assertEqual(ask(session, *self.busybox, shell("echo fine > /f; cat /f"), "stdout"), "fine\n")

    def fill(self) -> Path:
        file = self.disk / "filler"
        with file.open("wb") as out, self.assertRaises(OSError):
            while True:
                os.write(out.fileno(), b"\0" * 65536)
        return file

    def test_a_command_that_fills_the_disk(self):
        with self.assertRaises(GraphQLError) as caught:
            ask(self.session, *self.busybox, run("dd", "if=/dev/zero", "of=/big", "bs=1M", "count=100"), "stdout")
        self.assertRegex(str(caught.exception) + caught.exception.extensions.get("stderr", ""), NO_SPACE)
        self.check_it_goes_on()

    def test_output_that_fills_the_disk(self):
        with self.assertRaisesRegex(RuntimeError, NO_SPACE):
            ask(self.session, *self.busybox, shell("yes 0123456789012345678901234567890 | head -c 100000000"), "stdout")
        self.check_it_goes_on()

    def test_an_image_that_is_too_large(self):
        big = images.busybox(extra=[Layer().file("big", os.urandom(60_000_000))], compression="none")
        address = self.registry.push(big, "test/too-large:1")
        with self.assertRaisesRegex(RuntimeError, NO_SPACE):
            ask(self.session, "container", call("from", address=address), run("true"), "stdout")
        self.check_it_goes_on()

    def test_a_directory_that_is_too_large(self):
        source = self.engine.dir / "source"
        source.mkdir()
        (source / "big").write_bytes(os.urandom(60_000_000))
        with self.assertRaisesRegex(RuntimeError, NO_SPACE):
            ask(self.session, "host", call("directory", path=str(source)), "entries")
        self.check_it_goes_on()

    def test_a_disk_that_others_fill(self):
        filler = self.fill()
        with self.assertRaisesRegex(RuntimeError, NO_SPACE):
            ask(self.session, *self.busybox, shell("echo new > /new; cat /new"), "stdout")
        filler.unlink()
        self.check_it_goes_on()
        self.session.close()
        self.engine.kill_runners(15)
        self.engine.check_nothing_is_left(within=10)
        with self.engine.session() as session:
            self.check_it_goes_on(session)


if __name__ == "__main__":
    case.main()
