"""Readings over time as they travel: columns that fit, and nothing of behind the window."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from federation.asking import SeriesTold
from federation.series import packed, read_within, unpacked
from graph.history import Aggregate, Samples
from graph.readings.housekeeping import thin
from graph.readings.policy import HistoryPolicy
from graph.readings.store import HistoryStore
from graph.series import BucketSeries, Series, SeriesQuery
from graph.values import ValueType
from ontology.errors import StoreError
from tests.simulation.cascade_worlds import fresh_seed

SECOND, MINUTE = 10**9, 60 * 10**9
DAY_NS = 86_400 * SECOND
BUCKETS = (Aggregate.SUM, Aggregate.P95)


def drawn(random: Random) -> tuple[SeriesQuery, Series]:
    """A question, and an answer that fits it."""
    count = random.randrange(6)
    times = np.array(sorted(random.sample(range(10, 1_000), count)), np.int64)
    coarse = np.array([random.choice((0, MINUTE)) for _ in range(count)], np.int64)
    if random.random() < 0.5:
        values = {each: np.array([random.gauss(0, 9) for _ in range(count)]) for each in BUCKETS}
        return SeriesQuery(10, 1_000, None, 7, BUCKETS), BucketSeries(times, values, coarse)
    texts = (
        tuple(random.choice(("on", "off", "")) for _ in range(count))
        if count and random.random() < 0.3
        else None
    )
    words = np.array([random.getrandbits(64) for _ in range(count)], np.uint64)
    quality = np.array([random.randrange(3) for _ in range(count)], np.uint8)
    return SeriesQuery(10, 1_000, random.choice((None, count, 9))), Samples(
        times, words, quality, texts, coarse
    )


def test_nothing_has_no_form() -> None:
    """Whether a point has no readings, is hidden, or is none, looks the same, whatever was asked."""
    for query in (SeriesQuery(), SeriesQuery(bucket_ns=7, aggregates=BUCKETS)):
        found = unpacked(SeriesTold(), query)
        assert packed(found, query, is_less=False) == SeriesTold()
        assert isinstance(found, BucketSeries) == (query.bucket_ns is not None)


def columns(series: Series) -> list[object]:
    """All there is in it, to compare."""
    if isinstance(series, BucketSeries):
        return [series.starts_ns.tolist(), {k: v.tolist() for k, v in series.values.items()}]
    return [series.times_ns.tolist(), series.words.tolist(), series.quality.tolist(), series.texts]


def test_what_travels_arrives() -> None:
    random = Random(fresh_seed("series that travel"))
    for _ in range(500):
        query, series = drawn(random)
        found = unpacked(packed(series, query, is_less=False), query)
        assert columns(found) == columns(series)
        assert found.resolution_ns is not None and series.resolution_ns is not None
        assert found.resolution_ns.tolist() == series.resolution_ns.tolist()


def test_columns_that_do_not_fit_are_garbage_and_nothing_worse() -> None:
    """One column shorter, longer, of other bytes: refused, or as well formed as before."""
    random, refused = Random(fresh_seed("garbled series")), 0
    for _ in range(2_000):
        query, series = drawn(random)
        told = packed(series, query, is_less=False)
        name = random.choice(("times_ns", "words", "quality", "columns", "resolution_ns", "texts"))
        try:
            found = unpacked(msgspec.structs.replace(told, **{name: garbled(random, told, name)}), query)
        except StoreError as error:
            assert error.code == "PEER_GARBAGE"
            refused += 1
            continue
        times = found.starts_ns if isinstance(found, BucketSeries) else found.times_ns
        assert (np.diff(times) > 0).all() and (times < query.to_ns).all()
        assert found.resolution_ns is not None and len(found.resolution_ns) == len(times)
    assert refused > 200


def garbled(random: Random, told: SeriesTold, name: str) -> object:
    value = getattr(told, name)
    if name == "texts":
        return random.choice((None, (), ("made up",) * random.randrange(9)))
    if name == "columns":
        return tuple(bytes(garbled_bytes(random, each)) for each in value)[: random.randrange(4)]
    return garbled_bytes(random, value)


def garbled_bytes(random: Random, data: bytes) -> bytes:
    if random.random() < 0.5:
        return random.randbytes(random.choice((0, 1, 8, 16, len(data))))
    changed = bytearray(data)
    for place in random.sample(range(len(changed)), min(2, len(changed))):
        changed[place] ^= 1 << random.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("bucket_ns", [None, 5 * MINUTE])
def test_a_mean_that_stands_for_a_time_behind_the_window_does_not_leave(
    tmp_path: Path, bucket_ns: int | None
) -> None:
    """Readings of every 10 s, thinned to minutes; the window ends within a minute."""
    until_ns = 5_030 * SECOND
    with closing(HistoryStore(tmp_path, HistoryPolicy(raw_days=1, minute_days=10, hour_days=100))) as store:
        # The keeper looks at the clock of today: readings of 1970 would be gone at once.
        store._keeper.close()  # pyright: ignore[reportPrivateUsage]
        times: npt.NDArray[np.int64] = np.arange(0, 10_000 * SECOND, 10 * SECOND, dtype=np.int64)
        words = (times // SECOND).astype(np.float64).view(np.uint64)
        store.append(["urn:p"] * len(times), times, words, np.zeros(len(times), np.uint8), [])
        store._rotate()  # pyright: ignore[reportPrivateUsage]
        store._keeper._closing = False  # pyright: ignore[reportPrivateUsage]
        assert store._keeper._flush()  # pyright: ignore[reportPrivateUsage]
        thin(store, 9_990 * SECOND + DAY_NS + 1)
        query = SeriesQuery(0, until_ns, None, bucket_ns, () if bucket_ns is None else (Aggregate.SUM,))
        told = read_within(store, "urn:p", ValueType.NUMBER, query, until_ns)
        open_end = read_within(store, "urn:p", ValueType.NUMBER, replace(query, to_ns=2**62), None)
    whole_minutes_ns = until_ns // MINUTE * MINUTE
    if isinstance(told, BucketSeries):
        inside = times[times < whole_minutes_ns] // SECOND
        assert told.values[Aggregate.SUM].sum() == pytest.approx(int(inside.sum()))
    else:
        assert told.resolution_ns is not None and set(told.resolution_ns.tolist()) == {MINUTE}
        assert told.times_ns.tolist() == list(range(0, whole_minutes_ns, MINUTE))
    assert len(columns(open_end)[0]) > len(columns(told)[0])  # pyright: ignore[reportArgumentType]
