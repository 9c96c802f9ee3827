"""What servers say to each other about queries: asks, answers, and the catalogue of what a contract shows."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from federation.records import SiteRecords
from ontology.errors import InputError

QUERY: Final = "query"
CATALOGUE: Final = "catalogue"
FORMAT: Final = 2
IDS_MAX: Final = 2_000
"""Ids in one ask."""
ITEMS_MAX: Final = 64
"""Matches, searches, spreads in one ask."""
DEPTH_MAX: Final = 10_000
SERIES_MAX: Final = 256
"""Series in one ask."""
UNITS_MAX: Final = 64
"""Units of one attribute in a catalogue."""
IRI_CHARS_MAX: Final = 4_096
T = TypeVar("T")


class MatchAsk(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Twins of a kind (an IRI) for which a filter holds, see `federation.predicates`."""

    kind: str | None = None
    where: Any = None


class SearchAsk(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    text: str
    kind: str | None = None


class SpreadAsk(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Relationships of some twins, and the twins at their other end.

    ids: twins of the peer, or of others to which it has relationships. ours: of all twins of the asker.
    relations: IRIs, those below them not meant; None: any. depth: how many steps, inside the peer's part.
    """

    way: str
    ids: tuple[str, ...] = ()
    relations: tuple[str, ...] | None = None
    depth: int = 1
    ours: bool = False


class FiguresAsk(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Groups of the twins of a kind, by some keys; of: attributes whose figures are wanted.

    where: a filter that says all there is to say, see `federation.predicates`.
    """

    kind: str | None
    keys: tuple[str, ...]
    of: tuple[str, ...]
    where: Any = None


class FigureTold(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """As `graph.part_figures.PartFigure`; total: as `graph.exact_sums.packed` writes it."""

    count: int
    numbers: int
    total: bytes
    low: float | None
    high: float | None
    unit: str | None


class GroupTold(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A group that is large enough. figures: None where too few twins stand behind one. Kinds are IRIs."""

    keys: tuple[str | int | float | bool | None, ...]
    size: int
    figures: tuple[FigureTold | None, ...]


class FiguresTold(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """is_less: some groups or figures are not told. code: why there are no figures, only rows.

    units: of attributes whose numbers are told, or compared with, without a unit.
    """

    groups: tuple[GroupTold, ...]
    is_less: bool
    units: dict[str, tuple[str | None, ...]] = {}
    code: str | None = None


class SeriesAsk(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Readings of a point over time, as `graph.series.SeriesQuery` says; aggregates by name."""

    id: str
    from_ns: int
    to_ns: int
    last: int | None = None
    bucket_ns: int | None = None
    aggregates: tuple[str, ...] = ()


class SeriesTold(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Columns, little endian: times_ns int64[n], resolution_ns int64[n] (empty: all 0).

    Readings: words uint64[n], quality uint8[n], texts str[n] of points of codes and texts. Buckets: columns,
    float64[n] by aggregate as asked. is_less: the contract ends before what was asked for, or begins behind
    it. code: why there is nothing.
    """

    times_ns: bytes = b""
    words: bytes = b""
    quality: bytes = b""
    texts: tuple[str, ...] | None = None
    columns: tuple[bytes, ...] = ()
    resolution_ns: bytes = b""
    is_less: bool = False
    code: str | None = None


class QueryAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """names: attributes and own fields that are wanted, None: all. bases: of the asker's own twins.

    What is not asked for is not written, so that servers before `series` read all else.
    """

    format: int
    bases: tuple[str, ...]
    names: tuple[str, ...] | None
    bytes_max: int
    ids: tuple[str, ...] = ()
    matches: tuple[MatchAsk, ...] = ()
    searches: tuple[SearchAsk, ...] = ()
    spreads: tuple[SpreadAsk, ...] = ()
    figures: tuple[FiguresAsk, ...] = ()
    series: tuple[SeriesAsk, ...] = ()


class QueryAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """is_cut: the contract, or the size, allowed no more than this.

    series: of what was asked for, the first ones; for the others there was no room.
    """

    sites: tuple[SiteRecords, ...]
    is_cut: bool = False
    figures: tuple[FiguresTold, ...] = ()
    series: tuple[SeriesTold, ...] = ()


class CatalogueAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int


class Usage(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An attribute with the kinds (IRIs) that have it; types of its values as `graph.attributes.Tag`.

    units: that its numbers are in, UCUM.
    """

    name: str
    kinds: tuple[str, ...]
    tags: tuple[int, ...]
    units: tuple[str | None, ...] = ()


class SharedSite(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: str
    base: str


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a contract shows, and what of that is in use. release: of `federation.contract.Release`.

    shows_stubs: stubs of twins that are neither the peer's nor the asker's are shared too.
    """

    format: int
    release: str
    sites: tuple[SharedSite, ...]
    names: tuple[str, ...]
    kind_sets: tuple[tuple[str, ...], ...]
    usage: tuple[Usage, ...]
    rows_per_answer: int
    shows_stubs: bool = False


_DECODERS: Final[dict[type[Any], msgspec.msgpack.Decoder[Any]]] = {
    form: msgspec.msgpack.Decoder(form) for form in (QueryAsk, QueryAnswer, CatalogueAsk, Catalogue)
}
"""Made once: msgspec may crash where two threads meet a type for the first time."""


def decoded(body: bytes, form: type[T]) -> T:
    """A message, as far as its form goes. InputError QUERY_INVALID."""
    try:
        return _DECODERS[form].decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InputError("the message cannot be read", code="QUERY_INVALID") from error


def check_ask(ask: QueryAsk) -> None:
    """InputError QUERY_INVALID for an ask that is too large, QUERY_FORMAT for one of another version."""
    check_format(ask.format)
    figures = [each for ask_of in ask.figures for each in (ask_of.keys, ask_of.of)]
    lists = (ask.matches, ask.searches, ask.spreads, ask.bases, ask.figures, *figures)
    texts = [
        *ask.ids,
        *(each.id for each in ask.series),
        *ask.bases,
        *(iri for spread in ask.spreads for iri in spread.ids),
    ]
    fits = (
        all(len(each) <= ITEMS_MAX for each in lists)
        and len(texts) <= IDS_MAX * 2
        and len(ask.series) <= SERIES_MAX
        and all(len(each.aggregates) <= ITEMS_MAX for each in ask.series)
        and all(len(text) <= IRI_CHARS_MAX for text in texts)
        and all(spread.way in ("OUT", "IN", "BOTH") for spread in ask.spreads)
        and all(1 <= spread.depth <= DEPTH_MAX for spread in ask.spreads)
        and all(len(search.text) <= 200 for search in ask.searches)
    )
    if not fits:
        raise InputError("the ask holds too much", code="QUERY_INVALID")


def check_format(number: int) -> None:
    if number != FORMAT:
        message = f"this server speaks format {FORMAT} of queries, not {number}"
        raise InputError(message, code="QUERY_FORMAT", hint="upgrade the older server")
