"""Rankings against Python's own sort."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graph.interning import InternedTexts
from graph.strings import pack_bytes, pack_texts
from graph.text_order import MergedRankings, Ranking, TextsInOrder, ranking_of, sort_strings

# Long equal beginnings, zero bytes and strings that begin others are where such a sort can go wrong.
LETTERS = st.text("ab\0ä\ue000\U00010000\ud800", max_size=12)
HEADS = st.sampled_from(("", "https://x.invalid/s/", "a" * 16))
TEXTS = st.tuples(HEADS, LETTERS).map("".join)


@given(st.lists(TEXTS))
def test_order_is_that_of_texts(texts: list[str]) -> None:
    order = sort_strings(pack_texts(texts)).tolist()
    assert order == sorted(range(len(texts)), key=texts.__getitem__)


@given(st.lists(st.binary(max_size=20)))
def test_order_is_that_of_bytes(parts: list[bytes]) -> None:
    assert sort_strings(pack_bytes(parts)).tolist() == sorted(range(len(parts)), key=parts.__getitem__)


@given(st.lists(st.lists(TEXTS, max_size=8), max_size=6), TEXTS)
def test_a_ranking_keeps_up_with_what_is_added(batches: list[list[str]], asked: str) -> None:
    table = InternedTexts()
    for batch in batches:
        table.add_all(batch)
        ranking = table.table.ranking()
        texts = [table.text(number) for number in range(len(table))]
        assert ranking.order.tolist() == sorted(range(len(texts)), key=texts.__getitem__)
        assert ranking.rank[ranking.order].tolist() == list(range(len(texts)))
        assert list(TextsInOrder(ranking)) == sorted(texts)
        assert ranking.place(asked) == (sum(text < asked for text in texts), asked in texts)


def test_many_new_texts_are_sorted_with_the_others() -> None:
    table = InternedTexts()
    table.add_all([f"b{number:05}" for number in range(3000)])
    first = table.table.ranking()
    table.add_all([f"a{number:05}" for number in range(2000)])
    both = TextsInOrder(table.table.ranking())
    assert (len(first), len(both)) == (3000, 5000)
    assert both[:2000] == [f"a{number:05}" for number in range(2000)]
    assert both[4999] == "b02999"


@given(st.lists(st.lists(TEXTS, unique=True, max_size=10), min_size=1, max_size=4), st.data())
def test_rankings_of_several_tables_as_one(tables: list[list[str]], data: st.DataObject) -> None:
    rankings = [ranking_of(pack_texts(texts)) for texts in tables]
    sizes = [data.draw(st.integers(0, len(texts))) for texts in tables]
    texts = [text for table, size in zip(tables, sizes, strict=True) for text in table[:size]]
    merged = MergedRankings()
    whole = merged.of(rankings, sizes, lambda: ranking_of(pack_texts(texts)))
    assert whole.order.tolist() == sorted(range(len(texts)), key=texts.__getitem__)
    assert [whole.get(number).decode("utf-8", "surrogatepass") for number in range(len(texts))] == texts
    assert merged.of(rankings, sizes, lambda: ranking_of(pack_texts(texts))) is whole


def test_tables_that_mix_all_the_time_are_sorted_from_nothing() -> None:
    tables = [[f"{number:06}" for number in range(start, 20_000, 2)] for start in range(2)]
    texts = [text for table in tables for text in table]
    asked: list[int] = []

    def sort() -> Ranking:
        asked.append(1)
        return ranking_of(pack_texts(texts))

    whole = MergedRankings().of([ranking_of(pack_texts(table)) for table in tables], [10_000] * 2, sort)
    assert asked == [1]
    assert [texts[number] for number in whole.order.tolist()] == sorted(texts)
