"""The fuse snapshotter: on one state directory with overlay, and what becomes of its processes."""

import os
import signal

from api_case import ask, call, run, shell
from support import case, processes
from support.graphql import GraphQLError

OVERLAY, FUSE = "", 'snapshotter.use = "fuse"\n'


class BothOnOneStateDirectory(case.EngineTest):
    def use(self, config):
        self.engine.kill_runners(signal.SIGTERM)
        processes.eventually(lambda: not self.engine.runners(), 20, "the runner to end")
        self.engine.configure(config)

    def ask(self, *fields):
        with self.engine.session() as session:
            return ask(session, "container", call("from", address=self.image), *fields)

    def looked_at(self, *steps):
        """What a process sees of them, under each."""
        seen = []
        for name, config in ("overlay", OVERLAY), ("fuse", FUSE):
            self.use(config)
            look = "cd /t; find . | sort; find . -type f | sort | xargs cat; stat -c '%n %a %u:%g' $(find . -type f | sort)"
            seen.append(self.ask(*steps, call("withEnvVariable", name="WHO", value=name), shell(look), "stdout"))
        self.assertEqual(seen[0], seen[1])
        return seen[0]

    def test_what_one_wrote_the_other_reads(self):
        scripts = [
            "mkdir -p /t/dir/deep /t/again /t/gone; for f in dir/a dir/deep/b again/old gone/x y z; do echo 1 > /t/$f; done",
            "rm -r /t/gone /t/again /t/y; mkdir /t/again; echo 2 > /t/again/new; chmod 600 /t/dir/a; ln /t/z /t/dir/z",
            "rm /t/dir/deep/b; echo 3 >> /t/dir/z; mkdir /t/gone; echo 3 > /t/gone/new; ln -s dir /t/link; echo 3 > /t/y",
            "rm -r /t/dir/deep /t/again; mv /t/gone/new /t/new; chown 1:2 /t/new; echo 4 > /t/link/four; mkdir /t/dir/deep",
        ]
        for first in 0, 1:
            steps = [call("withEnvVariable", name="ROUND", value=str(first))]
            for number, script in enumerate(scripts):
                self.use((OVERLAY, FUSE)[(first + number) % 2])
                steps.append(shell(script))
                self.ask(*steps, "sync" if number == 0 else "stdout")
            seen = self.looked_at(*steps)
            for text in "./dir/deep\n", "./new 644 1:2", "./dir/four", "./dir/a 600", "./gone\n", "./link\n":
                self.assertIn(text, seen)
            for text in "./dir/deep/b", "./again", "./gone/x", "./gone/new":
                self.assertNotIn(text, seen)

    def test_two_hundred_layers(self):
        steps = [shell("mkdir /t; echo zero > /t/0")]
        for half, config in enumerate((OVERLAY, FUSE)):
            self.use(config)
            steps += [shell(f"echo {half} {n} > /t/{half}-{n}; rm -f /t/{half}-{n - 10}") for n in range(100)]
            self.ask(*steps, "stdout")
        seen = self.looked_at(*steps)
        self.assertEqual(len([line for line in seen.splitlines() if line.startswith("./")]), 2 * 21)


class ProcessOfAView(case.EngineTest):
    config = FUSE

    def serving(self):
        return [p for p in self.engine.processes() if p.executable.endswith("/fuse-overlayfs")]

    def sleeping(self, mark):
        """Starts a process in a container; what asks for it."""
        session = self.engine.session()
        self.addCleanup(session.kill)
        step = case.in_background(lambda: ask(session, "container", call("from", address=self.image), run("sleep", mark), "stdout"))

        def runs():
            return [p for p in self.engine.processes() if p.command[:2] == ("sleep", mark)]

        processes.eventually(runs, 60, "the process to run")
        return session, step

    def test_it_ends_with_the_exec(self):
        with self.engine.session() as session:
            ask(session, "container", call("from", address=self.image), shell("echo > /made"), "stdout")
            self.assertEqual(self.serving(), [])

    def test_its_crash_is_the_error_of_the_exec(self):
        session, step = self.sleeping("72")
        (served,) = self.serving()
        os.kill(served.pid, signal.SIGKILL)
        with self.assertRaises(GraphQLError) as caught:
            step()
        self.assertIn("fuse-overlayfs", str(caught.exception))
        self.assertIn("was killed by SIGKILL", str(caught.exception))
        again = ask(session, "container", call("from", address=self.image), run("echo", "works"), "stdout")
        self.assertEqual(again, "works\n")

    def test_nothing_is_left_when_the_runner_is_killed(self):
        session, step = self.sleeping("73")
        self.assertEqual(len(self.serving()), 1)
        self.engine.kill_runners()
        with self.assertRaises(GraphQLError):
            step()
        session.kill()
        self.engine.check_nothing_is_left()


if __name__ == "__main__":
    case.main()
