"""The first look at a text counts what the parser would count."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLSyntaxError, Lexer, Source, TokenKind
from hypothesis import given
from hypothesis import strategies as st

from api.scanning import Scan, scan

MANY = 1_000_000
WORDS = st.sampled_from(
    ["{", "}", "(", ")", "[", "]", ":", "!", "=", "@", "|", "&", "$", "...", "name", "_a1", "1", "-2.5e3",
     '"text"', '"a \\" : {"', '"""block " { \\""" """', '""', "# comment { : \n", " ", "\n", ",", "\ufeff"]
)  # fmt: skip


def lexed(text: str) -> int | None:
    """How many tokens the parser's own lexer finds; None where it finds an error."""
    lexer = Lexer(Source(text))
    count = 0
    try:
        while lexer.advance().kind is not TokenKind.EOF:
            count += 1
    except GraphQLSyntaxError:
        return None
    return count


@given(st.lists(WORDS, max_size=30).map(" ".join))
def test_tokens_are_those_of_the_lexer(text: str) -> None:
    expected = lexed(text)
    if expected is not None:
        assert scan(text, tokens_max=MANY).tokens == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ a: b }", Scan(5, 1, 1)),
        ("{ a(b: 1) }", Scan(8, 2, 0)),
        ("{ a(b: {c: [1]}) { d: e } }", Scan(19, 4, 1)),
        ("query q($a: Int = 1) { x: y }", Scan(15, 1, 1)),
        ('{ a(b: "{ c: d }") }', Scan(8, 2, 0)),
        ("{ a # { b: c\n }", Scan(3, 1, 0)),
        ("", Scan()),
    ],
)
def test_counts(text: str, expected: Scan) -> None:
    assert scan(text, tokens_max=MANY) == expected


def test_counting_ends_at_the_limit() -> None:
    assert scan("a " * 1_000, tokens_max=10).tokens == 11


@pytest.mark.parametrize(
    "unit", ['\\"""\n', '"""', '"', "\\", '"\\', "#", "{", "...", "-", "a:", '"""\\"""', "\u00e9", "\x00"]
)
def test_no_text_makes_it_go_back(unit: str) -> None:
    """What is scanned twice would show in the number of matches: each begins where the last ended."""
    text = unit * (65_536 // len(unit))
    steps = scan(text, tokens_max=MANY).tokens
    assert steps <= len(text)


def test_any_text_is_counted() -> None:
    found: Any = scan("\ud800{'%\x7f}", tokens_max=5)
    assert (found.tokens, found.depth) == (2, 1)
