"""Readings of a peer's points over time: which were asked for, and what it told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from federation.asking import SERIES_MAX, SeriesAsk
from federation.records import HISTORY
from federation.series import unpacked
from graph.series import SeriesQuery
from ontology.errors import LimitError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from federation.asking import Catalogue, SeriesTold
    from graph.series import Series

Key: TypeAlias = "tuple[str, SeriesQuery]"
_TOO_LONG = "HISTORY_TOO_LONG"


@dataclass(eq=False)
class ToldSeries:
    """is_less: not all that was asked for was told."""

    is_less: bool = False
    _known: dict[Key, Series | LimitError | None] = field(
        default_factory=dict["Key", "Series | LimitError | None"]
    )
    _asked: list[Key] = field(default_factory=list["Key"])

    def next_asks(
        self, read: Iterable[Key], owns: Callable[[str], bool], catalogue: Catalogue | None
    ) -> tuple[SeriesAsk, ...]:
        """Series that were not asked for yet, where the peer shows any."""
        if catalogue is None or HISTORY not in catalogue.names:
            self._asked = []
            return ()
        self._asked = [key for key in read if key not in self._known and owns(key[0])][:SERIES_MAX]
        return tuple(
            SeriesAsk(iri, query.from_ns, query.to_ns, query.last, query.bucket_ns, query.aggregates)
            for iri, query in self._asked
        )

    def take(self, told: Sequence[SeriesTold]) -> str | None:
        """Take in what was told; a code where that does not fit what was asked.

        What there was no room for is asked for again, unless there was room for nothing.
        """
        if len(told) > len(self._asked):
            return "PEER_GARBAGE"
        try:
            found = [self._read(key, each) for key, each in zip(self._asked, told, strict=False)]
        except StoreError as error:
            return error.code
        self._known.update(zip(self._asked, found, strict=False))
        self.is_less = self.is_less or any(each.is_less for each in told)
        if self._asked and not told:
            self.is_less = True
            self._known.update(dict.fromkeys(self._asked))
        self._asked = []
        return None

    def of(self, point: str, query: SeriesQuery) -> Series | None:
        """What was told; None: nothing. LimitError HISTORY_TOO_LONG, as for a point of ours."""
        found = self._known.get((point, query))
        if isinstance(found, LimitError):
            raise found
        return found

    def _read(self, key: Key, told: SeriesTold) -> Series | LimitError | None:
        if told.code == _TOO_LONG:
            hint = "ask for a shorter time, for `last`, or for longer buckets"
            return LimitError(f"the readings of {key[0]} are too many", code=_TOO_LONG, hint=hint)
        return None if told.code is not None else unpacked(told, key[1])
