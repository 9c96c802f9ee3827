"""Counting paths: merged in any cut the same, bounded, and walked back to the root."""

from __future__ import annotations

import random

import numpy as np
import pytest

from simulation import explain
from simulation.cascade.causes import NO_EDGE, extended
from simulation.explain import Explanation, Paths, merged


def hashed(path: tuple[int, ...]) -> int:
    found = np.uint64(0)
    for twin in path:
        found = np.uint64(extended(found, np.uint64(1000 + twin)))
    return int(found)


def table(counts: dict[tuple[int, ...], int]) -> Paths:
    """Paths by their twins; edge i leads out of twin i."""
    rows = sorted((hashed(path), hashed(path[:-1]) if path[1:] else 0, path, n) for path, n in counts.items())
    return Paths(
        path=np.array([row[0] for row in rows], np.uint64),
        before=np.array([row[1] for row in rows], np.uint64),
        twin=np.array([row[2][-1] for row in rows], np.int32),
        edge=np.array([row[2][-2] if row[2][1:] else NO_EDGE for row in rows], np.int32),
        count=np.array([row[3] for row in rows], np.int64),
    )


def explanation(paths: Paths, twins: int = 6) -> Explanation:
    return Explanation(paths, np.arange(twins, dtype=np.int32), [f"id-{i}" for i in range(twins)])


def test_the_most_frequent_path_wins_and_ties_go_by_id() -> None:
    counts = {(0,): 5, (1,): 5, (0, 2): 3, (1, 2): 4, (0, 3): 2, (1, 3): 2, (1, 2, 3): 1}
    told = explanation(table(counts))
    assert [told.why(twin) for twin in range(5)] == [(0,), (1,), (1, 2), (0, 3), (4,)]


def test_tables_merge_to_the_same_in_any_cut() -> None:
    pick = random.Random(1)
    paths = [(0,), (1,), (0, 2), (1, 2), (0, 2, 3), (1, 2, 3), (0, 3), (1, 4)]
    runs = [{pick.choice(paths): 1 for _ in range(3)} for _ in range(40)]
    whole: dict[tuple[int, ...], int] = {}
    for run in runs:
        for path in run:
            whole[path] = whole.get(path, 0) + 1
    expected = table(whole)
    for size in (1, 7, 40):
        tables = [merged([table(run) for run in runs[i : i + size]]) for i in range(0, 40, size)]
        found = merged([Paths.none(), *tables])
        for name in Paths.__slots__:
            assert np.array_equal(getattr(found, name), getattr(expected, name)), name


def test_beyond_the_limit_each_twin_keeps_its_most_frequent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "PATHS_MAX", 4)
    monkeypatch.setattr(explain, "PATHS_PER_TWIN", 1)
    kept = merged([table({(0,): 9, (1,): 1, (0, 2): 1, (1, 2): 8, (5, 2): 2})])
    assert sorted(zip(kept.twin.tolist(), kept.count.tolist(), strict=True)) == [(0, 9), (1, 1), (2, 8)]
    assert explanation(kept).why(2) == (1, 2)


def test_a_path_whose_beginning_was_dropped_goes_on_as_its_source_usually_does() -> None:
    kept = table({(0, 1): 7, (5, 1, 2): 3})  # (5, 1) itself is gone
    assert explanation(kept).why(2) == (0, 1, 2)
    alone = table({(5, 1, 2): 3})
    assert explanation(alone).why(2) == (1, 2)


def test_a_very_long_path_is_told_by_its_root_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "PATH_TWINS_MAX", 4)
    whole = {tuple(range(end + 1)): 1 for end in range(6)}
    assert explanation(table(whole)).why(5) == (0, 3, 4, 5)
    assert explanation(table(whole)).why(3) == (0, 1, 2, 3)
