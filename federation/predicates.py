"""Filters on their way to a peer: what of a filter it can judge, and the filter as it travels.

A peer holds its own twins whole, but not all of their relationships: tests along relations, and of the site
(its names are ours to give), stay here. What is sent is never stricter than the whole filter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from graph.ids import is_iri
from graph.plan import And, AttributeTest, Comparison, Not, Operator, Or, TextField, TextTest
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from graph.plan import Predicate

PARTS_MAX: Final = 500
DEPTH_MAX: Final = 24
OPERANDS_MAX: Final = 10_000
TEXT_CHARS_MAX: Final = 10_000

_EQUALITIES: Final = (Operator.EQ, Operator.NE, Operator.IN, Operator.NOT_IN)

_PARTS: Final = (Operator.CONTAINS, Operator.STARTS_WITH)

Judged: TypeAlias = "Predicate | bool"
"""A filter, or what it comes to whatever the twin."""


def for_peer(where: Predicate | None, sites: Sequence[str], bases: Sequence[str]) -> Judged:
    """The part of a filter that a peer with these sites can judge; False: it has no twin that fits.

    True where any of its twins may fit. Every twin for which the filter holds fulfils what is sent.
    """
    return True if where is None else _judged(where, sites, bases, unknown=True)


def exact_for_peer(where: Predicate | None, sites: Sequence[str], bases: Sequence[str]) -> Judged | None:
    """The whole of a filter, as a peer with these sites can judge it; None where some of it only we can.

    Of a filter that is weakened figures would be over too many twins.
    """
    if where is None:
        return True
    if not _means_the_same(where):
        return None
    loose = _judged(where, sites, bases, unknown=True)
    return loose if loose == _judged(where, sites, bases, unknown=False) else None


def _means_the_same(where: Predicate) -> bool:
    """A local id means another twin in each folder."""
    return all(
        is_iri(str(item))
        for test in _tests(where)
        if isinstance(test, TextTest) and test.field is TextField.ID
        for each in test.comparisons
        if each.operator in _EQUALITIES
        for item in (each.operand if isinstance(each.operand, tuple) else (each.operand,))
    )


def with_units(where: Predicate, units: Mapping[str, str]) -> Predicate:
    """The same filter, with a unit for numbers of which none is said; units: by attribute."""
    match where:
        case And(parts):
            return And(tuple(with_units(part, units) for part in parts))
        case Or(parts):
            return Or(tuple(with_units(part, units) for part in parts))
        case Not(part):
            return Not(with_units(part, units))
        case AttributeTest(name, comparisons, None) if name in units and any(map(_is_number, comparisons)):
            return AttributeTest(name, comparisons, units[name])
        case _:
            return where


def names_of(where: Predicate | None) -> set[str]:
    """The attributes and own fields that a filter looks at on the twin itself, as contracts name them."""
    found: set[str] = set()
    for test in () if where is None else _tests(where):
        if isinstance(test, AttributeTest):
            found.add(test.name)
        elif isinstance(test, TextTest) and test.field is not TextField.ID:
            found.add("externalIds" if test.field is TextField.EXTERNAL_ID else test.field.value)
    return found


def unitless_of(where: Predicate | None) -> set[str]:
    """Attributes that are compared with numbers of which no unit is said."""
    tests = () if where is None else _tests(where)
    return {
        test.name
        for test in tests
        if isinstance(test, AttributeTest) and test.unit is None and any(map(_is_number, test.comparisons))
    }


def _is_number(comparison: Comparison) -> bool:
    items = comparison.operand if isinstance(comparison.operand, tuple) else (comparison.operand,)
    return any(isinstance(item, int | float) and not isinstance(item, bool) for item in items)


def _tests(where: Predicate) -> Iterator[Predicate]:
    """All tests of a filter, those along relations not looked into."""
    match where:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _tests(part)
        case Not(part):
            yield from _tests(part)
        case _:
            yield where


def _judged(where: Predicate, sites: Sequence[str], bases: Sequence[str], *, unknown: bool) -> Judged:
    """unknown: what a test counts as that cannot be judged there; turned round inside a negation."""
    match where:
        case And(parts) | Or(parts):
            judged = [_judged(part, sites, bases, unknown=unknown) for part in parts]
            return _joined(judged, And if isinstance(where, And) else Or)
        case Not(part):
            inner = _judged(part, sites, bases, unknown=not unknown)
            return not inner if isinstance(inner, bool) else Not(inner)
        case TextTest(TextField.SITE, comparisons):
            return _of_site(comparisons, sites, unknown)
        case TextTest(TextField.ID, comparisons):
            return _of_id(where, comparisons, bases)
        case TextTest() | AttributeTest():
            return where
        case _:
            return unknown


def _joined(judged: list[Judged], kind: type[And | Or]) -> Judged:
    """What decides the whole, else the parts that are open."""
    decides = kind is Or
    if any(part is decides for part in judged):
        return decides
    left = tuple(part for part in judged if not isinstance(part, bool))
    if not left:
        return not decides
    return left[0] if len(left) == 1 else kind(left)


def _of_site(comparisons: Sequence[Comparison], sites: Sequence[str], unknown: bool) -> Judged:
    """Which sites a peer has is known here; `ne` and the like hold for some of them or for none."""
    held = [all(_site_holds(comparison, site) for comparison in comparisons) for site in sites]
    if all(held):
        return True
    return unknown if any(held) else False


def _site_holds(comparison: Comparison, site: str) -> bool:
    operand = comparison.operand
    match comparison.operator:
        case Operator.EQ:
            return site == operand
        case Operator.NE:
            return site != operand
        case Operator.IN:
            return site in cast("tuple[object, ...]", operand)
        case Operator.NOT_IN:
            return site not in cast("tuple[object, ...]", operand)
        case Operator.CONTAINS:
            return str(operand) in site
        case Operator.STARTS_WITH:
            return site.startswith(str(operand))
        case _:
            return bool(operand)


def _of_id(where: TextTest, comparisons: Sequence[Comparison], bases: Sequence[str]) -> Judged:
    """IRIs are told apart by their base; local ids mean something else in each folder, so they stay open."""
    for comparison in comparisons:
        if comparison.operator in (Operator.EQ, Operator.IN):
            operands = comparison.operand if isinstance(comparison.operand, tuple) else (comparison.operand,)
            texts = [str(operand) for operand in operands]
            if all("://" in text and not text.startswith(tuple(bases)) for text in texts):
                return False
    return where


# As it travels


def to_wire(where: Predicate) -> list[Any]:
    """Nested lists. Only what `for_peer` gives: no tests along relations."""
    match where:
        case And(parts):
            return ["and", *(to_wire(part) for part in parts)]
        case Or(parts):
            return ["or", *(to_wire(part) for part in parts)]
        case Not(part):
            return ["not", to_wire(part)]
        case TextTest(name, comparisons):
            return ["text", name.value, _comparisons(comparisons)]
        case AttributeTest(name, comparisons, unit):
            return ["attribute", name, _comparisons(comparisons), unit]
        case _:
            raise InputError("a test along relations stays at home", code="QUERY_INVALID")


def _comparisons(comparisons: Sequence[Comparison]) -> list[Any]:
    return [[each.operator.value, each.operand] for each in comparisons]


def from_wire(data: Any) -> Predicate:
    """InputError QUERY_INVALID for anything that `to_wire` does not write, or that is too large."""
    left = [PARTS_MAX]
    return _read(data, 0, left)


def _read(data: Any, depth: int, left: list[int]) -> Predicate:
    left[0] -= 1
    if depth > DEPTH_MAX or left[0] < 0:
        raise _invalid("is too deep or too long")
    match data:
        case ["and" | "or" as word, *parts] if parts:
            read = tuple(_read(part, depth + 1, left) for part in parts)
            return And(read) if word == "and" else Or(read)
        case ["not", part]:
            return Not(_read(part, depth + 1, left))
        case ["text", str(name), comparisons]:
            field, read = _member(TextField, name), _read_comparisons(comparisons)
            if not all(map(_is_of_texts, read)):
                raise _invalid("compares a text with what is none")
            return TextTest(field, read)
        case ["attribute", str(name), comparisons, None | str() as unit]:
            return AttributeTest(name, _read_comparisons(comparisons), unit)
        case _:
            raise _invalid("cannot be read")


def _read_comparisons(data: Any) -> tuple[Comparison, ...]:
    if not isinstance(data, list) or len(cast("list[Any]", data)) > PARTS_MAX:
        raise _invalid("is too long")
    found: list[Comparison] = []
    for item in cast("list[Any]", data):
        match item:
            case [str(word), operand]:
                found.append(_comparison(_member(Operator, word), operand))
            case _:
                raise _invalid("cannot be read")
    return tuple(found)


def _comparison(operator: Operator, operand: Any) -> Comparison:
    if operator in (Operator.IN, Operator.NOT_IN):
        if not isinstance(operand, list):
            raise _invalid("lacks a list")
        items = tuple(cast("list[Any]", operand))
        if len(items) > OPERANDS_MAX or not all(map(_is_plain, items)):
            raise _invalid("has operands that cannot be compared")
        return Comparison(operator, items)
    if operator is Operator.EXISTS and not isinstance(operand, bool):
        raise _invalid("says neither yes nor no")
    if not _is_plain(operand):
        raise _invalid("has operands that cannot be compared")
    if operator in _PARTS and not isinstance(operand, str):
        raise _invalid("looks for a part that is no text")
    return Comparison(operator, operand)


def _is_of_texts(comparison: Comparison) -> bool:
    operand = comparison.operand
    items = operand if isinstance(operand, tuple) else (operand,)
    return comparison.operator is Operator.EXISTS or all(isinstance(item, str) for item in items)


def _is_plain(operand: object) -> bool:
    if isinstance(operand, str):
        return len(operand) <= TEXT_CHARS_MAX
    return operand is None or isinstance(operand, bool | int | float | list | dict)


def _member(kind: Callable[[str], Any], word: str) -> Any:
    try:
        return kind(word)
    except ValueError as error:
        raise _invalid(f"has an unknown word {word[:40]!r}") from error


def _invalid(what: str) -> InputError:
    return InputError(f"the filter {what}", code="QUERY_INVALID")
