"""The bytes that kernels write, against what orjson and the resolvers' own scalars write."""

from __future__ import annotations

import math
from urllib.parse import quote

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.compiled.arena import Arena, Deopt, Pieces, Thread, by_code, lists_of
from api.compiled.kernels import local_parts
from api.compiled.leaves import PLAIN
from api.schema.scalars import time_text
from graph.ids import local_id_of
from graph.strings import pack_texts

unhurried = settings(deadline=None)  # the first call of a kernel compiles it
TEXTS = st.lists(st.text() | st.text(alphabet='"\\/\x00\x1f\x7f\u2028éa'), max_size=8)


def parts(arena: Arena, pieces: Pieces) -> list[bytes]:
    return [bytes(arena.text(pieces, place)) for place in range(len(pieces))]


def quoted(arena: Arena, texts: list[str]) -> Pieces:
    strings = pack_texts(texts)
    return arena.quoted(strings.data, strings.offsets[:-1].copy(), np.diff(strings.offsets))


@unhurried
@given(TEXTS)
def test_texts_are_written_as_orjson_writes_them(texts: list[str]) -> None:
    arena = Arena()
    assert parts(arena, quoted(arena, texts)) == [orjson.dumps(text) for text in texts]


def test_every_character_of_a_byte_and_long_texts() -> None:
    texts = [chr(code) * 3 + "x" for code in range(256)] + ["\x01" * 50_000, "y" * 50_000]
    arena = Arena()
    assert parts(arena, quoted(arena, texts)) == [orjson.dumps(text) for text in texts]


def test_half_a_surrogate_pair_is_left_to_the_resolvers() -> None:
    with pytest.raises(Deopt):
        quoted(Arena(), ["fine", "\ud800"])


def test_a_negative_length_is_null() -> None:
    arena = Arena()
    data = np.frombuffer(b"abc" + bytes(8), np.uint8)
    pieces = arena.quoted(data, np.array([0, 0, 1]), np.array([2, -1, 2]))
    assert parts(arena, pieces) == [b'"ab"', b"null", b'"bc"']


@unhurried
@given(TEXTS, st.data(), st.sampled_from([np.int32, np.int64]), st.integers(0, 1))
def test_texts_by_number_are_those_texts(
    texts: list[str], data: st.DataObject, kind: type, first: int
) -> None:
    asked = data.draw(st.lists(st.integers(first - 1, first + len(texts) - 1), max_size=9))
    arena = Arena()
    pieces = arena.numbered(pack_texts(texts), np.array(asked, kind), first)
    expected = [texts[number - first] if number >= first else None for number in asked]
    assert parts(arena, pieces) == [orjson.dumps(text) for text in expected]


@pytest.mark.parametrize("number", [-2, 2, 2**31 - 1, -(2**31)])
def test_a_number_that_nothing_has_is_left_to_the_resolvers(number: int) -> None:
    with pytest.raises(Deopt):
        Arena().numbered(pack_texts(["a", "b"]), np.array([0, number], np.int32))


NUMBERS = st.lists(st.floats() | st.sampled_from([-0.0, 1e16, 1e22, 5e-324, 2.0**53, 1e300, 0.1]), max_size=9)


@unhurried
@given(NUMBERS)
def test_numbers_are_written_as_orjson_writes_them(numbers: list[float]) -> None:
    arena = Arena()
    expected = [orjson.dumps(number) for number in numbers]
    assert parts(arena, arena.numbers(np.array(numbers, np.float64))) == expected
    assert all(
        math.isfinite(number) or text == b"null" for number, text in zip(numbers, expected, strict=True)
    )


@unhurried
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9))
def test_whole_numbers(numbers: list[int]) -> None:
    arena = Arena()
    assert parts(arena, arena.numbers(np.array(numbers, np.int64))) == [orjson.dumps(n) for n in numbers]


@unhurried
@given(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 10**6).map(lambda ms: ms * 10**6), max_size=6)
)
def test_times_are_written_as_the_scalar_writes_them(times: list[int]) -> None:
    times = [*times, *times]
    arena = Arena()
    expected = [orjson.dumps(time_text(time)) for time in times]
    assert parts(arena, arena.times(np.array(times, np.int64))) == expected


def test_days_of_leap_years_and_turns_of_centuries() -> None:
    day = 86_400_000_000_000
    times = [day * count + 1_000 for count in range(-100_000, 100_000, 37)]
    arena = Arena()
    assert parts(arena, arena.times(np.array(times))) == [orjson.dumps(time_text(time)) for time in times]


BASE = "https://twinmesh.invalid/campus/"
LOCAL = st.text(max_size=8) | st.sampled_from([".", "..", "", "a b", "%41", "~-._", "a/b", "%2e"])


@unhurried
@given(st.lists(LOCAL.map(lambda text: BASE + quote(text, safe="")) | LOCAL.map(lambda text: BASE + text)))
def test_local_parts_are_local_ids_or_left(iris: list[str]) -> None:
    strings = pack_texts(iris)
    start, length = strings.offsets[:-1].copy(), np.diff(strings.offsets)
    left = local_parts(strings.data, start, length, np.frombuffer(BASE.encode(), np.uint8), PLAIN)
    assert left == np.count_nonzero(length < 0)
    for iri, first, size in zip(iris, start.tolist(), length.tolist(), strict=True):
        if size >= 0:
            assert strings.data[first : first + size].tobytes().decode() == local_id_of(iri, BASE)


def test_objects_are_woven_of_literals_and_pieces() -> None:
    arena = Arena()
    names, ages = arena.put_all([b'"a"', b'"bb"', b"null"]), arena.numbers(np.array([1, 22, 333]))
    made = arena.woven(Thread.of((b'{"name":', b',"age":', b"},")), (names, ages), 3)
    assert parts(arena, made) == [
        b'{"name":"a","age":1},',
        b'{"name":"bb","age":22},',
        b'{"name":null,"age":333},',
    ]
    lists = lists_of(np.array([0, 2, 2, 3]), made)
    assert parts(arena, lists) == [
        b'{"name":"a","age":1},{"name":"bb","age":22}',
        b"",
        b'{"name":null,"age":333}',
    ]


def test_pieces_that_lie_anywhere_are_joined() -> None:
    arena = Arena()
    pieces = arena.put_all([b"a", b"bb", b""]).take(np.array([2, 1, 1, 0]))
    joined = arena.joined(pieces)
    assert parts(arena, lists_of(np.array([0, 4]), joined)) == [b",bb,bb,a"]


@unhurried
@given(st.lists(st.integers(-3, 300), max_size=30))
def test_codes_are_encoded_once_each(codes: list[int]) -> None:
    asked: list[int] = []

    def encode(code: int) -> bytes:
        asked.append(code)
        return b"<%d>" % code

    arena = Arena()
    pieces = by_code(arena, np.array(codes, np.int64), encode)
    assert parts(arena, pieces) == [b"<%d>" % code for code in codes]
    assert sorted(asked) == sorted(set(codes))


def test_an_arena_keeps_what_it_holds_when_it_grows() -> None:
    arena = Arena()
    first = arena.put_all([b"first"])
    arena.put(b"x" * 1_000_000)
    assert parts(arena, first) == [b"first"]
