"""What a binding's counts mean, in one word and one sentence: for queries, `doctor`, figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ontology.errors import Problem


class Condition(StrEnum):
    """How a binding does."""

    BOUND = "BOUND"
    POINT_UNKNOWN = "POINT_UNKNOWN"  # no point of the site matches: it can never deliver
    TYPE_MISMATCH = "TYPE_MISMATCH"  # the point holds another type, or everything that came was of another
    UNIT_MISMATCH = "UNIT_MISMATCH"  # what the device sends does not convert to the unit of the point
    REFUSED = "REFUSED"  # all that came was refused
    NEVER_SEEN = "NEVER_SEEN"  # nothing came yet
    STALE = "STALE"  # nothing came for longer than it should


@dataclass(frozen=True, slots=True)
class BindingHealth:
    """How one binding does. `expected` points may be bound; `never_seen` and `stale` name the first such."""

    name: str
    expected: int
    seen: int
    messages: int
    recorded: int
    refused: dict[str, int]
    never_seen: tuple[str, ...]
    stale: tuple[str, ...]
    stale_count: int
    last_ns: int | None
    problem: Problem | None
    state: str = Condition.BOUND
    message: str | None = None
    address: str = ""
    point: str = ""
    unit: str | None = None

    def plain(self) -> dict[str, object]:
        """As `dataclasses.asdict`, without copying what is never changed."""
        found = dict(zip(_FIELDS, _VALUES(self), strict=True))
        return found if self.problem is None else {**found, "problem": asdict(self.problem)}


_FIELDS: Final = tuple(each.name for each in fields(BindingHealth))
_VALUES: Final = attrgetter(*_FIELDS)
_OF_CODE: Final = {
    "BINDING_POINT_UNKNOWN": Condition.POINT_UNKNOWN,
    "TWIN_UNKNOWN": Condition.POINT_UNKNOWN,
    "BINDING_TYPE": Condition.TYPE_MISMATCH,
    "UNIT_MISMATCH": Condition.UNIT_MISMATCH,
    "UNIT_UNKNOWN": Condition.UNIT_MISMATCH,
}
_OF_TYPE: Final = frozenset({"VALUE_TYPE", "STATE_UNKNOWN"})


def state_of(
    expected: int, seen: int, recorded: int, stale: int, refused: dict[str, int], problem: Problem | None
) -> tuple[Condition, str | None]:
    """(state, what to know): of `expected` points, those `seen` and `stale`; codes of what was refused."""
    told = _refusals(refused)
    if problem is not None and (not recorded or problem.code == "BINDING_POINT_UNKNOWN"):
        known = _OF_CODE.get(problem.code, Condition.REFUSED)
        if known is not Condition.POINT_UNKNOWN or not expected:
            return known, problem.message + (f" ({problem.hint})" if problem.hint else "")
    if not recorded and refused:
        of_type = max(refused, key=lambda code: (refused[code], code)) in _OF_TYPE
        return (Condition.TYPE_MISMATCH if of_type else Condition.REFUSED), told
    if not seen:
        return Condition.NEVER_SEEN, f"nothing came for any of {expected:,} points"
    if stale:
        return Condition.STALE, f"{stale:,} of {expected:,} points are silent"
    missing = f"{expected - seen:,} of {expected:,} points never seen" if seen < expected else None
    notes = [note for note in (missing, told, problem.message if problem else None) if note]
    return Condition.BOUND, "; ".join(notes) or None


def _refusals(refused: dict[str, int]) -> str | None:
    worst = sorted(refused.items(), key=lambda item: (-item[1], item[0]))
    return "refused: " + ", ".join(f"{code} {count:,}" for code, count in worst) if worst else None
