"""What the runner holds in memory: idle, and after work."""

import re
from pathlib import Path

from report import Row
from setting import Session, Setting, new_name

IDLE, AFTER = 20, 40  # MB


def resident(engine) -> float:
    """Megabytes of the runner itself; its helpers live as long as their exec."""
    [runner] = engine.runners()
    status = Path(f"/proc/{runner.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) / 1024


def measure(setting: Setting):
    steps = 100 if setting.quick else 1000
    with setting.engine() as engine:
        yield Row("resident memory of the runner, just started", [resident(engine)], unit="MB", budget=IDLE)
        with Session(engine) as session:
            setting.pull(session)
        yield Row("the same, after a first pull", [resident(engine)], unit="MB", budget=IDLE)
        with Session(engine) as session:
            for _ in range(steps // 100):
                session.query(setting.chain(100, new_name()))
        yield Row(f"the same, after {steps} execs", [resident(engine)], unit="MB", budget=AFTER)
        with Session(engine) as session:
            query = setting.chain(100, new_name())
            for _ in range(steps):
                session.query(query)
        yield Row(f"the same, after {steps} cached queries of 100 steps", [resident(engine)], unit="MB", budget=AFTER)
