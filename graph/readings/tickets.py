"""Appends that wait for a sync, and the words of texts in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.readings.columns import CODED, Columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ontology.errors import StoreError


@dataclass(slots=True, eq=False)
class Ticket:
    """One append, and what became of it."""

    texts: Sequence[str | None]
    columns: Columns
    done: bool = False
    error: StoreError | None = None


def with_numbers(ticket: Ticket, texts: Mapping[str, int]) -> Columns:
    """Readings whose texts have their numbers."""
    columns = ticket.columns
    if not len(ticket.texts):
        return columns
    words, kinds = columns.words.copy(), columns.kinds.copy()
    places = [place for place, text in enumerate(ticket.texts) if text is not None]
    words[places] = [texts[text] for text in ticket.texts if text is not None]
    kinds[places] = CODED
    return Columns(columns.points, columns.times_ns, words, columns.quality, kinds)
