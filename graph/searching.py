"""Finding twins by what a person types: each word must begin a word of name, local id or outside id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from graph.ordering import checked_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.view import View

_BLOCK = 8_192
_WORDS = re.compile(r"[^\W_]+")


def run_search(
    view: View, text: str, kind: str | None, first: int | None
) -> tuple[npt.NDArray[np.int32], int]:
    """(rows of the first page, number of all hits): best first, then by id.

    A twin whose name, local id, IRI or outside id is the text itself leads. KIND_UNKNOWN, PAGE_TOO_LARGE.
    """
    size = checked_first(first)
    rows = view.rows_of_kind(None if kind is None else view.snapshot.schema.kind(kind))
    words = _WORDS.findall(text.casefold())
    exact = set(view.candidates(text.strip())) | set(view.snapshot.find_external(None, text.strip()))
    hits = _ranked(view, rows, words, text.strip().casefold(), exact)
    page = np.array([row for _, _, row in hits[:size]], np.int32)
    view.budget.spend(len(page))
    return page, len(hits)


def _ranked(
    view: View, rows: Rows, words: Sequence[str], whole: str, exact: set[int]
) -> list[tuple[int, str, int]]:
    """(grade, id, row) of every hit, best first."""
    pattern = _pattern(words)
    hits: list[tuple[int, str, int]] = []
    for start in range(0, len(rows), _BLOCK):
        view.budget.check_time()
        block = rows[start : start + _BLOCK]
        for row, haystack in zip(block.tolist(), _haystacks(view, block), strict=True):
            if row in exact or (pattern is not None and pattern.match(haystack)):
                hits.append((_grade(row, haystack, whole, exact), view.snapshot.id(row), row))
    return sorted(hits)


def _pattern(words: Sequence[str]) -> re.Pattern[str] | None:
    """All words, in any order, each at the beginning of a word."""
    if not words:
        return None
    return re.compile("".join(rf"(?=.*?(?<![^\W_]){re.escape(word)})" for word in words), re.DOTALL)


def _grade(row: int, haystack: str, whole: str, exact: set[int]) -> int:
    if row in exact or whole in haystack.split("\n"):
        return 0
    return 1 if haystack.startswith(whole) else 2


def _haystacks(view: View, rows: Rows) -> list[str]:
    snapshot = view.snapshot
    names, local_ids = snapshot.names(rows), snapshot.local_ids(rows)
    outside = snapshot.pools.external_ids.values(snapshot.twins.external.take(rows).tolist())
    return [
        "\n".join([name or "", local_id, *(item.id for item in items or ())]).casefold()
        for name, local_id, items in zip(names, local_ids, outside, strict=True)
    ]
