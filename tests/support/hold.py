"""Stops the program under test at a named call of the C library, for a kill at that very moment.

    hold = Hold(engine.dir / "hold")
    with engine.session(env=hold.env) as session:      # and the runner that it starts
        hold.order("after rename /layers/")            # see hold.cc
        ... start something ...
        hold.wait()                                    # it stands there, until release() or its end
"""

from pathlib import Path

from support import engine, processes


class Hold:
    def __init__(self, directory: Path):
        self.directory = directory
        directory.mkdir()
        library = engine.build_dir() / "lib" / "test_hold.so"
        if not library.exists():
            raise engine.EngineError(f"{library} is not built")
        self.env = {"LD_PRELOAD": str(library), "DAGGER_TEST_HOLD": str(directory)}

    def order(self, text: str):
        self.release()
        beside = self.directory / "order.new"
        beside.write_text(text + "\n")
        beside.rename(self.directory / "order")

    def reached(self) -> bool:
        return (self.directory / "reached").exists()

    def wait(self, timeout: float = 30):
        order = (self.directory / "order").read_text().strip()
        processes.eventually(self.reached, timeout, f"the program to be held {order}")

    def release(self):
        for name in "order", "reached":
            (self.directory / name).unlink(missing_ok=True)
