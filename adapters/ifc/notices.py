"""What an import has to say about single instances: bounded in number, with the line where each is stated."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.ifc.config import PROBLEMS_PER_CODE_MAX
from ontology.errors import Place, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from adapters.ifc.gate import Opened


@dataclass(frozen=True, slots=True)
class Notice:
    """A problem of one instance; lines are looked up only for those that are shown."""

    code: str
    message: str
    step: int | None = None  # instance number
    item: str | None = None  # what the user calls it
    hint: str | None = None


def problems(notices: Iterable[Notice], opened: Opened) -> tuple[Problem, ...]:
    """Notices by code: the first ones of each one by one, the rest as one with their number."""
    by_code: dict[str, list[Notice]] = defaultdict(list)
    for notice in notices:
        by_code[notice.code].append(notice)
    return tuple(problem for group in by_code.values() for problem in _shown(group, opened))


def _shown(group: list[Notice], opened: Opened) -> list[Problem]:
    shown = [_problem(notice, opened) for notice in group[:PROBLEMS_PER_CODE_MAX]]
    rest = len(group) - len(shown)
    if rest:
        message = f"{rest} more of the same kind, {len(group)} in all"
        shown.append(Problem(group[0].code, message, Place(opened.path)))
    return shown


def _problem(notice: Notice, opened: Opened) -> Problem:
    line = None if notice.step is None else opened.line(notice.step)
    return Problem(notice.code, notice.message, Place(opened.path, line, item=notice.item), notice.hint)
