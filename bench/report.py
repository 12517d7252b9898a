"""What a part of the bench hands back, and the table it becomes."""

import statistics
from dataclasses import dataclass


@dataclass
class Row:
    """One line: what was measured, what was measured beside it, and what it may take (docs/architecture.md)."""

    what: str
    values: list[float]  # every run
    unit: str = "ms"
    beside: str = ""
    beside_values: list[float] | None = None
    budget: float | None = None
    budget_text: str = ""  # where the budget comes from the figure beside it
    more_is_better: bool = False

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    def cells(self) -> list[str]:
        spread = f"{number(min(self.values))}-{number(max(self.values))}" if len(self.values) > 1 else ""
        other = statistics.median(self.beside_values) if self.beside_values else None
        ratio = f"{self.value / other:.2f}" if other else ""
        beside = f"{self.beside} {number(other)} {self.unit}" if other is not None else ""
        return [self.what, f"{number(self.value)} {self.unit}", spread, beside, ratio, *self._verdict()]

    def _verdict(self) -> list[str]:
        if self.budget is None:
            return ["", ""]
        sign = ">=" if self.more_is_better else "<="
        text = f"{sign} {number(self.budget)}" + (f" ({self.budget_text})" if self.budget_text else "")
        within = self.value >= self.budget if self.more_is_better else self.value <= self.budget
        share = self.budget / self.value if self.more_is_better else self.value / self.budget
        return [text, "met" if within else f"missed, x{share:.1f}"]


def number(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


HEADER = ["what", "median", "min-max", "beside it", "ratio", "budget", ""]


def table(rows: list[Row]) -> str:
    lines = [HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def markdown(rows: list[Row]) -> str:
    lines = [HEADER, ["---"] * len(HEADER), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
