"""From the start of `dagger session` to its JSON line and to a first answer."""

import subprocess

from report import Row
from setting import Session, Setting, timed

LINE_WARM, LINE_COLD = 12, 150  # ms


def measure(setting: Setting):
    runs = 5 if setting.quick else 20
    with setting.engine(runner=False) as engine:
        program = str(engine.program)
        bare = [timed(subprocess.run, [program, "version"], -1, None, None, subprocess.DEVNULL) for _ in range(runs)]
        beside = {"beside": "`dagger version`", "beside_values": bare}
        cold = [start(engine, stop_runner=True) for _ in range(runs)]
        warm = [start(engine, stop_runner=False) for _ in range(runs)]
    yield Row("session to JSON line, runner up", [line for line, _ in warm], budget=LINE_WARM, **beside)
    yield Row("session to first answer, runner up", [answer for _, answer in warm], **beside)
    yield Row("session to JSON line, starts the runner", [line for line, _ in cold], budget=LINE_COLD, **beside)
    yield Row("session to first answer, starts the runner", [answer for _, answer in cold], **beside)


def start(engine, *, stop_runner: bool) -> tuple[float, float]:
    with Session(engine) as session:
        result = session.to_line, session.to_answer
    if stop_runner:
        engine.kill_runners()
        engine.check_nothing_is_left(within=30)
    return result
