"""What `dagger run` hands on to its command: all that it was itself given."""

import os
import resource
import signal
import subprocess

from support import case

# A shell changes the signal mask: that one is shown by itself.
SIGNALS = ["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"]
SHOW = "umask; ulimit -n; ulimit -c; pwd; cat <&7; exec 7<&-; ls /proc/self/fd"


class Inherited(case.EngineTest):
    def output(self, command: list[str]) -> str:
        def prepare():
            os.umask(0o027)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            resource.setrlimit(resource.RLIMIT_NOFILE, (777, 4000))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        read, write = os.pipe()
        os.write(write, b"from a pipe\n")
        os.close(write)
        os.dup2(read, 7)
        os.close(read)
        try:
            return subprocess.run(
                command, cwd=self.engine.dir, env=self.engine.env(), preexec_fn=prepare, pass_fds=[7],
                stdout=subprocess.PIPE, check=True, text=True, timeout=60,
            ).stdout  # fmt: skip
        finally:
            os.close(7)

    def test_the_command_runs_as_it_would_without(self):
        for command in SIGNALS, ["sh", "-c", SHOW]:
            self.assertEqual(self.output([self.engine.program, "--silent", "run", *command]), self.output(command))


if __name__ == "__main__":
    case.main()
