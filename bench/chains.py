"""Chains whose steps are all cached: what the engine itself costs, with no container in the way."""

from report import Row
from setting import Session, Setting, new_name

# steps: (first query of a session, repeated in the same session), in ms
BUDGETS = {100: (8, 3), 1000: (20, 20)}


def measure(setting: Setting):
    with setting.engine() as engine:
        for steps in (100,) if setting.quick else (100, 1000):
            query = setting.chain(steps, new_name())
            with Session(engine) as session:
                made = session.timed(query)
                trivial = [session.timed(Session.TRIVIAL) for _ in range(20)]
            first, again = [], []
            for _ in range(max(5, setting.runs)):
                with Session(engine) as session:
                    first.append(session.timed(query))
                    again += [session.timed(query) for _ in range(5)]
            beside = {"beside": "query that asks nothing", "beside_values": trivial}
            first_budget, again_budget = BUDGETS[steps]
            yield Row(f"chain of {steps}, not cached (default executor), per step", [made / steps])
            yield Row(f"chain of {steps}, all cached, first query of a session", first, budget=first_budget, **beside)
            yield Row(f"chain of {steps}, all cached, asked again", again, budget=again_budget, **beside)
