"""What a step costs: a chain of distinct execs beside the bare runtime, and many sessions at once."""

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import bare
from report import Row
from setting import Session, Setting, new_name

BESIDE_MS = 6  # what the engine may add to the bare runtime, per step
PEERS_RATE = 23  # steps a second that other engines do for 32 sessions on two cores


def measure(setting: Setting):
    steps = 20 if setting.quick else 100
    bundle = setting.directory / "bundle"
    bare.make_bundle(bundle)
    for runtime in ("crun", "runc"):
        with setting.engine(f'[executor]\nuse = "{runtime}"\n') as engine, Session(engine) as session:
            setting.pull(session)
            session.query(setting.chain(2, new_name()))
            chains, alone = [], []
            for _ in range(setting.runs):  # by turns, so that both meet the same noise
                alone.append(statistics.median(bare.measure(runtime, bundle, steps)))
                chains.append(session.timed(setting.chain(steps, new_name())) / steps)
            yield Row(
                f"exec under {runtime}, per step of a chain of {steps}", chains, beside=f"bare {runtime} run",
                beside_values=alone, budget=statistics.median(alone) + BESIDE_MS, budget_text=f"bare + {BESIDE_MS}",
            )  # fmt: skip
            singles = [session.timed(setting.chain(1, new_name())) for _ in range(steps)]
            yield Row(f"one exec under {runtime}, one query", singles, beside=f"bare {runtime} run", beside_values=alone)


def measure_sessions(setting: Setting):
    """Many sessions at once, each a chain of its own, beside as many bare runtimes at once as there are cores."""
    count, steps = (8, 5) if setting.quick else (32, 20)
    bundle = setting.directory / "bundle-sessions"
    bare.make_bundle(bundle)
    cores = os.cpu_count() or 1
    with setting.engine('[executor]\nuse = "crun"\n') as engine, ThreadPoolExecutor(count) as threads:
        with Session(engine) as session:
            setting.pull(session)
        sessions = [Session(engine) for _ in range(count)]
        begin = time.perf_counter()
        list(threads.map(lambda session: session.query(setting.chain(steps, new_name())), sessions))
        rate = count * steps / (time.perf_counter() - begin)
        for session in sessions:
            session.close()
        alone = list(threads.map(lambda _: bare.measure("crun", bundle, 50), range(cores)))
    bare_rate = sum(1000 / statistics.mean(times) for times in alone)
    yield Row(
        f"{count} sessions at once, {steps} steps each", [rate], unit="steps/s", beside=f"bare crun, {cores} at once",
        beside_values=[bare_rate], budget=4 * PEERS_RATE, budget_text=f"4 x {PEERS_RATE}", more_is_better=True,
    )  # fmt: skip
