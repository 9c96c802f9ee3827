"""Strings and their numbers, keys and their rows: against plain dictionaries, and under readers."""

from __future__ import annotations

import threading
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph import interning, multimap
from graph.interning import Interned, InternedTexts
from graph.keys import SiteIds, SiteKeys
from graph.multimap import PENDING_MIN, Multimap
from graph.pools import Pools, TextPool
from graph.strings import Hasher, pack_bytes, pack_texts
from graph.tables import EdgeTable

TEXTS = st.lists(
    st.text(max_size=20) | st.sampled_from(["", "a", "a\0", "ab", "größe", "x" * 300]), max_size=40
)
SEED = bytes(range(16))


@given(st.lists(st.binary(max_size=40) | st.just(b"y" * 1000), max_size=30))
def test_one_hash_and_many_agree(parts):
    hasher = Hasher(SEED)
    assert hasher.of_all(pack_bytes(parts)).tolist() == [Hasher(SEED).of(part) for part in parts]


def test_hashes_spread_and_follow_the_seed():
    strings = pack_texts([f"https://example.org/{number}" for number in range(100_000)])
    hashes = Hasher(SEED).of_all(strings)
    assert len(np.unique(hashes)) > 99_990
    assert (np.bincount(hashes >> 28, minlength=16) > 5_500).all()
    assert not np.array_equal(hashes, Hasher(SEED[::-1]).of_all(strings))


@given(st.lists(st.tuples(*[st.integers(0, 2**31 - 1)] * 4), min_size=1, max_size=20))
def test_hashes_of_numbers_agree(rows):
    columns = np.array(rows, np.int32).T
    assert Hasher(SEED).of_numbers(*columns).tolist() == [Hasher(SEED).of_tuple(*row) for row in rows]


@given(st.lists(TEXTS, max_size=6))
def test_texts_are_numbered_as_a_dictionary_would(batches):
    table, known = InternedTexts(), {}
    for number, batch in enumerate(batches):
        expected = [known.setdefault(text, len(known)) for text in batch]
        if number % 2:
            assert table.add_all(batch).tolist() == expected
        else:
            assert [table.add(text) for text in batch] == expected
    texts = list(known)
    assert table.find_all([*texts, "never"]).tolist() == [*range(len(texts)), -1]
    assert [table.find(text) for text in texts] == list(range(len(texts)))
    assert table.texts(np.arange(len(texts))) == texts
    assert [table.text(number) for number in range(len(texts))] == texts


@given(st.lists(st.lists(st.integers(0, 199), max_size=60), max_size=6), st.randoms(use_true_random=False))
def test_texts_of_dense_ranges_are_kept_and_stay_right(batches, random):
    """Pages of four, room for three: ranges, shuffled ranges and repeats, while the table grows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interning, "_PAGE_TEXTS", 4)
        patch.setattr(interning, "_PAGES_MAX", 3)
        table, known = InternedTexts(), {}
        for batch in batches:
            texts = [f"größe {number}" for number in batch]
            table.add_all(texts)
            known.update(dict.fromkeys(texts))
            low, high = sorted(random.choices(range(len(known) + 1), k=2))
            asked = list(range(low, high))
            shuffled = random.choices(asked, k=2 * len(asked)) if asked else []
            for numbers in (asked, shuffled):
                found = table.texts(np.array(numbers, np.int64))
                assert found == [list(known)[number] for number in numbers]
                found.append("not ours")  # what a caller does with its answer is nobody else's business
        assert len(table._pages) <= 3


@given(TEXTS, TEXTS)
def test_a_saved_table_goes_on(before, after):
    table = Interned()
    table.add_all(pack_texts(before))
    saved = table.freeze()
    saved.strings.offsets.flags.writeable = saved.strings.data.flags.writeable = False
    again, fresh = Interned(saved), Interned()
    assert fresh.adopt(saved)
    for one in (again, fresh):
        assert one.begins_with(saved.strings)
        if len(after) % 2:
            one.make_room()
        assert one.add_all(pack_texts(before)).tolist() == table.add_all(pack_texts(before)).tolist()
    expected = table.add_all(pack_texts(after)).tolist()
    assert again.add_all(pack_texts(after)).tolist() == expected
    assert len(saved.strings) == len(set(before)), "what was saved does not grow"
    assert fresh.adopt(saved) == (not before)


def test_strings_with_equal_hashes_are_told_apart(monkeypatch):
    monkeypatch.setattr(Hasher, "of", lambda *_: 7)
    monkeypatch.setattr(Hasher, "of_all", lambda _, strings: np.full(len(strings), 7, np.uint32))
    table = InternedTexts()
    assert table.add_all(["a", "b", "a", "c", "b"]).tolist() == [0, 1, 0, 2, 1]
    assert table.add("d") == 3
    assert [table.find(text) for text in ("a", "b", "c", "d", "e")] == [0, 1, 2, 3, -1]
    ids = SiteIds()
    ids.local.add("x", 1)
    ids.local.add("y", 2)
    assert ids.local.rows("x") == [1, 2], "readers check"


def test_lone_surrogates_are_texts_like_others():
    table = InternedTexts()
    assert table.find("\ud800") == -1
    assert table.text(table.add("\ud800")) == "\ud800"


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 5) | st.integers(0, 2**32 - 1), st.integers(0, 99)), max_size=30)
    )
)
def test_a_multimap_is_a_dictionary_of_lists(batches):
    found, known = Multimap(), defaultdict(list)
    for number, batch in enumerate(batches):
        for key, row in batch:
            known[key].append(row)
        if number % 2:
            keys = np.array([key for key, _ in batch], np.uint32)
            found.add_all(keys, np.array([row for _, row in batch], np.int32))
        else:
            for key, row in batch:
                found.add(key, row)
        if number % 3 == 0:
            found.settle()
    wanted = [*known, 17]
    assert {key: found.rows(key) for key in wanted} == {key: sorted(known.get(key, ())) for key in wanted}
    places, rows = found.matches(np.array(wanted, np.uint32))
    pairs = sorted(zip(places.tolist(), rows.tolist(), strict=True))
    assert pairs == sorted((place, row) for place, key in enumerate(wanted) for row in known.get(key, ()))
    assert len(found) == sum(map(len, known.values()))


def test_runs_stay_few():
    found = Multimap()
    for batch in range(40):
        keys = np.arange(PENDING_MIN, dtype=np.uint32)
        found.add_all(keys, np.full(PENDING_MIN, batch, np.int32))
    assert len(found.settle()) <= 5
    assert found.rows(5) == list(range(40))


def test_readers_find_all_that_was_there_while_a_writer_adds(monkeypatch):
    monkeypatch.setattr(multimap, "PENDING_MIN", 50)
    table, done, missed = InternedTexts(), threading.Event(), []

    def read():
        rng = np.random.default_rng(1)
        while not done.is_set():
            count = len(table)
            for number in rng.integers(0, max(count, 1), 20).tolist():
                if count and table.table.find(f"text {number}".encode()) != number:
                    missed.append(number)
            if count and table.find_all([f"text {count - 1}"]).tolist() != [count - 1]:
                missed.append(count)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(8000):
        table.add(f"text {number}")
    done.set()
    for reader in readers:
        reader.join()
    assert missed == []


@pytest.mark.parametrize("pool", ["texts", "objects", "external_ids"])
def test_code_zero_is_absent_in_every_pool(pool):
    known = getattr(Pools(), pool)
    assert (len(known), known.value(0)) == (1, None)


def test_a_pool_of_texts_gives_what_was_put():
    pool = TextPool()
    codes = pool.intern_all(["a", "", "a", "ü"])
    assert codes == [1, 2, 1, 3]
    assert pool.values([0, *codes, 0]) == [None, "a", "", "a", "ü", None]
    assert TextPool().values([0, 0]) == [None, None]
    assert (pool.find("ü"), pool.find("never")) == (3, 0)


def test_keys_find_first_and_all_edges_with_these_ends():
    edges = EdgeTable(Pools())
    rng = np.random.default_rng(2)
    ends = rng.integers(0, 6, (4, 5000)).astype(np.int32)
    for column, values in zip((edges.source, edges.relation, edges.target, edges.group), ends, strict=True):
        column.write(range(5000), values)
    assert isinstance(edges.keys, SiteKeys)
    edges.keys.add_all(*ends[:, :4990], np.arange(4990, dtype=np.int32))
    for edge in range(4990, 5000):
        edges.keys.add(*ends[:, edge].tolist(), edge)
    known = defaultdict(list)
    for edge, key in enumerate(zip(*ends.tolist(), strict=True)):
        known[key].append(edge)
    for key, expected in known.items():
        assert list(edges.keys.by_ends(*key)) == expected
    asked = np.array([*known, (7, 7, 7, 7)], np.int32).T
    assert edges.keys.find_all(*asked).tolist() == [*(min(rows) for rows in known.values()), -1]


def test_ids_follow_their_end_keys():
    ids = SiteIds()
    rows = ids.add_all([f"https://example.org/{number}" for number in range(100)])
    from graph.ids import end_key

    assert all(ids.by_end_key(end_key(ids.iri(row).encode())) == [row] for row in rows.tolist())
    late = ids.add("https://example.org/late")
    assert ids.by_end_key(end_key(b"https://example.org/late")) == [late]
