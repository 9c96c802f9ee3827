"""Figures of several engines for one question, and the rows they make."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

OURS = "twinmesh"


@dataclass(slots=True)
class Figures:
    """One question on one graph. `values`: one per round for each engine.

    agree: whether every answer was the right one; engines that were not asked for one are left out.
    """

    question: str
    graph: str
    unit: str
    more_is_better: bool = False
    values: dict[str, list[float]] = field(default_factory=dict[str, "list[float]"])
    agree: dict[str, bool] = field(default_factory=dict[str, bool])
    notes: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, engine: str, value: float, agree: bool | None = None) -> None:
        self.values.setdefault(engine, []).append(value)
        if agree is not None:
            self.agree[engine] = agree and self.agree.get(engine, True)

    def fail(self, engine: str, reason: str) -> None:
        self.notes[engine] = f"failed: {reason}"

    def value(self, engine: str) -> float | None:
        found = self.values.get(engine)
        return median(found) if found else None

    def ratio(self, engine: str) -> float | None:
        """How many times better ours is: the median over rounds, each paired with its own.

        Where rounds differ in number, the ratio of the medians.
        """
        ours, theirs = self.values.get(OURS), self.values.get(engine)
        if not ours or not theirs:
            return None
        if len(ours) != len(theirs):
            ours, theirs = [median(ours)], [median(theirs)]
        better = [one / other for one, other in zip(ours, theirs, strict=True) if one and other]
        if not better:
            return None
        return median(better if self.more_is_better else [1 / one for one in better])

    def rows(self) -> list[dict[str, Any]]:
        engines = dict.fromkeys([*self.values, *self.notes])
        return [self._row(engine) for engine in sorted(engines, key=lambda one: one != OURS)]

    def _row(self, engine: str) -> dict[str, Any]:
        values = self.values.get(engine, [])
        return {
            "question": self.question,
            "graph": self.graph,
            "engine": engine,
            "value": rounded(self.value(engine)),
            "unit": self.unit,
            "lowest": rounded(min(values, default=None)),
            "highest": rounded(max(values, default=None)),
            "rounds": len(values),
            "twinmesh_is_better_by": rounded(self.ratio(engine)),
            "agree": self.agree.get(engine),
            "note": self.notes.get(engine, ""),
        }


@dataclass(frozen=True, slots=True)
class Aim:
    """A value that issue 4 wants at least, or at most."""

    name: str
    value: float | None
    aim: float
    at_most: bool = False

    def row(self) -> dict[str, Any]:
        met = self.value is not None and (self.value <= self.aim if self.at_most else self.value >= self.aim)
        return {"name": self.name, "aim": self.aim, "value": rounded(self.value), "met": met}


def rounded(value: float | None) -> float | None:
    """Three digits: the machine does not give more."""
    return None if value is None else float(f"{value:.3g}") if abs(value) < 1000 else round(value)
