"""Stands between a session and a runner, and counts what goes through.

    relay = Relay(engine.dir / "relay.sock", engine.runtime_dir / "test-runner.sock")
    session = engine.session(env={"_EXPERIMENTAL_DAGGER_RUNNER_HOST": relay.host})
    relay.to_runner, relay.to_session       # bytes so far
"""

import socket
import threading
from pathlib import Path


class Relay:
    def __init__(self, listen: Path, runner: Path):
        self.host = f"unix://{listen}"
        self.to_runner = self.to_session = 0
        self._runner = str(runner)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(listen))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self):
        """No new connections; those that there are end with their ends."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self):
        while True:
            try:
                session = self._listener.accept()[0]
            except OSError:  # stopped
                return
            threading.Thread(target=self._relay, args=(session,), daemon=True).start()

    def _relay(self, session: socket.socket):
        with session, socket.socket(socket.AF_UNIX) as runner:
            runner.connect(self._runner)
            back = threading.Thread(target=self._pass, args=(runner, session, "to_session"), daemon=True)
            back.start()
            self._pass(session, runner, "to_runner")
            back.join()

    def _pass(self, source: socket.socket, target: socket.socket, counter: str):
        """One direction; each counter has one thread per connection, and a test one connection at a time."""
        try:
            while data := source.recv(1 << 16):
                setattr(self, counter, getattr(self, counter) + len(data))
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:  # the other direction has ended it
            pass
