"""Reading UCUM terms such as `m3/h`, `kW.h` or `J/(kg.K)` into codes and exponents (UCUM section 2.3)."""

from __future__ import annotations

import re
from collections import Counter
from typing import TypeAlias

Factors: TypeAlias = "dict[str, int]"  # simple code -> exponent; a number stands for itself

_TOKEN = re.compile(
    r"""
      (?P<unit>     (?: \[[^\]]*\] | [^\s./(){}\[\]\d+-] )     # brackets may hold anything
                    (?: \[[^\]]*\] | [^\s./(){}\[\]+-] )*? )
      (?P<power>    [+-]? \d{1,2} )? (?= [./(){}] | $ )
    | (?P<number>   \d{1,15} ) (?= [./(){}] | $ )
    | (?P<operator> [./()] )
    | \{ (?P<note> [^}]* ) \}
    """,
    re.VERBOSE,
)
_MOST_TOKENS = 64
_MOST_CHARACTERS = 200


class UcumError(ValueError):
    """The text is no UCUM term."""


def read_term(text: str) -> Factors:
    """Codes with their exponents, without notes and ones; UcumError where `text` breaks the grammar."""
    tokens = _tokens(text)
    factors, place = _term(tokens, 0)
    if place != len(tokens):
        raise UcumError(text)
    return {code: power for code, power in factors.items() if power and code != "1"}


def _tokens(text: str) -> list[re.Match[str]]:
    if len(text) > _MOST_CHARACTERS:
        raise UcumError("the term is too long")
    tokens: list[re.Match[str]] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or match.end() == place or len(tokens) == _MOST_TOKENS:
            raise UcumError(text)
        tokens.append(match)
        place = match.end()
    return tokens


def _operator(tokens: list[re.Match[str]], place: int) -> str | None:
    return tokens[place]["operator"] if place < len(tokens) else None


def _term(tokens: list[re.Match[str]], place: int) -> tuple[Counter[str], int]:
    """term = ["/"] component { ("." | "/") component }; a slash divides by the next component only."""
    product: Counter[str] = Counter()
    sign = 1
    if _operator(tokens, place) == "/":
        sign, place = -1, place + 1
    while True:
        part, place = _component(tokens, place)
        for code, power in part.items():
            product[code] += sign * power
        operator = _operator(tokens, place)
        if operator not in {".", "/"}:
            return product, place
        sign, place = (-1 if operator == "/" else 1), place + 1


def _component(tokens: list[re.Match[str]], place: int) -> tuple[Counter[str], int]:
    """component = ( unit [exponent] | number | "(" term ")" ) [annotation] | annotation."""
    if place >= len(tokens):
        raise UcumError("the term ends too early")
    token = tokens[place]
    if token["note"] is not None:
        return Counter(), place + 1
    if token["operator"] == "(":
        inner, place = _term(tokens, place + 1)
        if _operator(tokens, place) != ")":
            raise UcumError("a bracket is not closed")
    elif token["operator"]:
        raise UcumError("an operator without a unit")
    else:
        inner = Counter({token["unit"] or token["number"]: int(token["power"] or 1)})
    place += 1
    return inner, place + (place < len(tokens) and tokens[place]["note"] is not None)
