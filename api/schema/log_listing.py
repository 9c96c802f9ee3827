"""Connections over logs of several sites: a cursor says by site how far a page came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

import msgspec

from api.schema.rows import EdgeRow, PageInfoRow
from graph.ordering import cursor_error, decode_cursor, encode_cursor


class OfSite(Protocol):
    """Anything that tells its site."""

    @property
    def site(self) -> str: ...


N = TypeVar("N", bound=OfSite)


@dataclass(frozen=True, slots=True, eq=False)
class LogListing(Generic[N]):
    """A connection. numbers: of each node in its site; before: by site, what the page began behind."""

    nodes: list[N]
    numbers: list[int]
    has_next: bool
    before: dict[str, int]

    @property
    def edges(self) -> list[EdgeRow[N]]:
        return [EdgeRow(node, self._cursor(place)) for place, node in enumerate(self.nodes)]

    @property
    def page_info(self) -> PageInfoRow:
        count = len(self.nodes)
        first, last = (self._cursor(0), self._cursor(count - 1)) if count else (None, None)
        return PageInfoRow(self.has_next, bool(self.before), first, last)

    def _cursor(self, place: int) -> str:
        """By site the number of the oldest node up to here: the next page goes on below."""
        reached = dict(self.before)
        for node, number in zip(self.nodes[: place + 1], self.numbers, strict=False):
            reached[node.site] = number
        return encode_cursor(["log", reached])


def log_place(after: str | None) -> dict[str, int]:
    """What a cursor of such a connection says. InputError CURSOR_INVALID."""
    if after is None:
        return {}
    try:
        _, reached = msgspec.convert(decode_cursor(after), tuple[Literal["log"], dict[str, int]])
    except msgspec.ValidationError as error:
        raise cursor_error() from error
    return reached
