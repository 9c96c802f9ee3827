"""Readings of shared points over time, told to a partner: what its contract and its window let out.

`history` and `value` have to be named; readings that are kept only as means leave where all that they stand
for lies in the window.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import numpy as np

from federation.asking import SeriesTold
from federation.records import HISTORY
from graph.history import Aggregate, Samples
from graph.plan import POINT_VALUE
from graph.quality import is_quality
from graph.series import FOREVER_NS, SAMPLES_MAX, BucketSeries, SeriesQuery, read_series
from ontology.errors import InputError, LimitError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from federation.asking import SeriesAsk
    from federation.contract import Contract
    from federation.sharing import Shared
    from graph.history import History
    from graph.mesh import Mesh
    from graph.series import Series
    from graph.values import ValueType
    from graph.view import Budget

NOT_NAMED: Final = SeriesTold(is_less=True, code="CONTRACT_ATTRIBUTE")
_TEXT_BYTES: Final = 5  # that msgpack adds to a text at most
_INT64_MAX: Final = 2**63 - 1
W = TypeVar("W", np.int64, np.uint64, np.uint8, np.float64)


def series_of(
    asks: Sequence[SeriesAsk], shared: Shared, contract: Contract, mesh: Mesh, budget: Budget
) -> Iterator[SeriesTold]:
    """What is told of each, one after the other. Of a point that is hidden there is as little as of none.

    InputError QUERY_INVALID for an ask that no server of ours makes.
    """
    queries = [_query(ask) for ask in asks]
    for ask, query in zip(asks, queries, strict=True):
        budget.check_time()
        yield _told(ask, query, shared, contract, mesh)


def fitting(found: Iterator[SeriesTold], bytes_max: int) -> tuple[SeriesTold, ...]:
    """As many of the first as there is room for. One that alone is too large is HISTORY_TOO_LONG."""
    told: list[SeriesTold] = []
    left = bytes_max
    for each in found:
        size = _size(each)
        if size > bytes_max:
            each, size = SeriesTold(is_less=True, code="HISTORY_TOO_LONG"), 0
        left -= size
        if left < 0:
            break
        told.append(each)
    return tuple(told)


def with_readings(asks: Sequence[SeriesAsk], told: Sequence[SeriesTold]) -> list[str]:
    """Ids of points of which any reading leaves; for the ledger."""
    pairs = zip(asks, told, strict=False)
    return list(dict.fromkeys(ask.id for ask, each in pairs if each.times_ns))


def packed(series: Series, query: SeriesQuery, *, is_less: bool) -> SeriesTold:
    """A series as it travels. One without readings has no form: there is nothing to be told by it."""
    if not len(series.starts_ns if isinstance(series, BucketSeries) else series.times_ns):
        return SeriesTold(is_less=is_less)
    if isinstance(series, BucketSeries):
        columns = tuple(_bytes(series.values[each], "<f8") for each in query.aggregates)
        coarse = series.resolution_ns if series.resolution_ns.any() else None
        return SeriesTold(
            _bytes(series.starts_ns, "<i8"), columns=columns, resolution_ns=_coarse(coarse), is_less=is_less
        )
    return SeriesTold(
        _bytes(series.times_ns, "<i8"),
        _bytes(series.words, "<u8"),
        _bytes(series.quality, "u1"),
        series.texts,
        resolution_ns=_coarse(series.resolution_ns),
        is_less=is_less,
    )


def unpacked(told: SeriesTold, query: SeriesQuery) -> Series:
    """What a peer told. StoreError PEER_GARBAGE where its columns do not fit together, or the question."""
    if not told.times_ns and told.columns == ():
        told = msgspec.structs.replace(told, columns=(b"",) * len(query.aggregates))
    times = _column(told.times_ns, np.int64)
    count = len(times)
    coarse = _column(told.resolution_ns, np.int64) if told.resolution_ns else np.zeros(count, np.int64)
    is_raw = query.bucket_ns is None
    fits = (
        count <= SAMPLES_MAX
        and len(coarse) == count
        and bool((times[1:] > times[:-1]).all())
        and (not count or _within_query(int(times[0]), int(times[-1]), query))
        and bool((coarse >= 0).all())
        and all(map(is_quality, set(told.quality)))
    )
    columns = tuple(_column(each, np.float64) for each in told.columns)
    words, quality = _column(told.words, np.uint64), _column(told.quality, np.uint8)
    if is_raw:
        fits = fits and not columns and len(words) == len(quality) == count
        fits = fits and (told.texts is None or len(told.texts) == count) and count <= (query.last or count)
    else:
        fits = fits and not (len(words) or len(quality) or told.texts)
        fits = fits and len(columns) == len(query.aggregates) and all(len(each) == count for each in columns)
    if not fits:
        raise StoreError("a peer sent readings that do not fit together", code="PEER_GARBAGE")
    if is_raw:
        return Samples(times, words, quality, told.texts, coarse)
    return BucketSeries(times, dict(zip(query.aggregates, columns, strict=True)), coarse)


def _within_query(first_ns: int, last_ns: int, query: SeriesQuery) -> bool:
    """A bucket may begin before what was asked for."""
    earliest_ns = query.from_ns if query.bucket_ns is None else query.from_ns - query.bucket_ns + 1
    return earliest_ns <= first_ns and last_ns < query.to_ns


# Reading here


def _query(ask: SeriesAsk) -> SeriesQuery:
    known = set(map(str, Aggregate))
    ends_fit = 0 <= ask.from_ns <= _INT64_MAX and 0 <= ask.to_ns <= _INT64_MAX
    bucket_fits = ask.bucket_ns is None or 0 < ask.bucket_ns <= _INT64_MAX
    has_few = ask.last is None or (0 <= ask.last <= SAMPLES_MAX and ask.bucket_ns is None)
    names_fit = known.issuperset(ask.aggregates) and bool(ask.aggregates) == (ask.bucket_ns is not None)
    if not (ends_fit and bucket_fits and has_few and names_fit):
        raise InputError("the ask of a series cannot be read", code="QUERY_INVALID")
    aggregates = tuple(Aggregate(name) for name in dict.fromkeys(ask.aggregates))
    return SeriesQuery(ask.from_ns, ask.to_ns, ask.last, ask.bucket_ns, aggregates)


def _told(ask: SeriesAsk, query: SeriesQuery, shared: Shared, contract: Contract, mesh: Mesh) -> SeriesTold:
    if not {HISTORY, POINT_VALUE} <= contract.attributes:
        return NOT_NAMED
    within, is_less = _within(query, contract)
    snapshot = shared.snapshot
    rows = snapshot.rows([ask.id])
    row = int(rows[0])
    if row < 0 or not shared.masks.shown[row] or not shared.tells_readings(rows)[0]:
        return SeriesTold(is_less=is_less)
    history = mesh.twin(snapshot.sites[int(snapshot.twins.site.take(rows)[0])]).history
    (real,) = shared.real([ask.id])
    try:
        series = read_within(history, real, snapshot.value_type(row), within, contract.window_until_ns)
    except (InputError, LimitError) as error:
        return SeriesTold(is_less=True, code=error.code)
    return packed(series, query, is_less=is_less)


def _within(query: SeriesQuery, contract: Contract) -> tuple[SeriesQuery, bool]:
    """The part of it that the window of the contract lets out, and whether that is less."""
    begins, ends = contract.window_from_ns or 0, contract.window_until_ns
    low, high = max(query.from_ns, begins), min(query.to_ns, FOREVER_NS if ends is None else ends)
    return replace(query, from_ns=low, to_ns=high), (low, high) != (query.from_ns, query.to_ns)


def read_within(
    history: History, point: str, value_type: ValueType, query: SeriesQuery, until_ns: int | None
) -> Series:
    """As `read_series`, of what lies before a time: no mean that stands for a time beyond.

    until_ns: of the contract's window, None: it has no end.
    """
    series = read_series(history, point, value_type, query)
    spans = _spans(series) if until_ns is not None else 0
    if until_ns is None or not spans:
        return series
    to_ns = min(query.to_ns, until_ns // spans * spans)
    return read_series(history, point, value_type, replace(query, to_ns=to_ns))


def _spans(series: Series) -> int:
    """The least length of time that spans of all kept means fit into; 0 where there are only readings."""
    coarse = series.resolution_ns
    spans = np.zeros(0, np.int64) if coarse is None else np.unique(coarse[coarse > 0])
    return int(np.lcm.reduce(spans)) if len(spans) else 0


# Bytes


def _bytes(column: npt.NDArray[np.generic], form: str) -> bytes:
    return column.astype(form, copy=False).tobytes()


def _coarse(column: npt.NDArray[np.int64] | None) -> bytes:
    return b"" if column is None or not column.any() else _bytes(column, "<i8")


def _column(data: bytes, form: type[W]) -> npt.NDArray[W]:
    """StoreError PEER_GARBAGE for bytes that are no column."""
    width = np.dtype(form).itemsize
    if len(data) % width:
        raise StoreError("a peer sent readings that cannot be read", code="PEER_GARBAGE")
    return np.frombuffer(data, np.dtype(form).newbyteorder("<")).astype(form)


def _size(told: SeriesTold) -> int:
    texts = sum(len(text.encode()) + _TEXT_BYTES for text in told.texts or ())
    columns = (told.times_ns, told.words, told.quality, told.resolution_ns, *told.columns)
    return texts + sum(map(len, columns)) + 64
