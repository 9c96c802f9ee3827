"""Predicates of a plan as Cypher conditions: true or false, never null, as `graph.matching` means them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from graph.plan import (
    And,
    AttributeTest,
    Comparison,
    Not,
    Operator,
    Or,
    Quantifier,
    TextField,
    TextTest,
)
from graph.stores.neo4j.attributes import (
    attribute_text,
    converted_text,
    is_number,
    number_text,
    stated,
    unit_of_scope,
)
from graph.stores.neo4j.lookup import iris_of
from graph.stores.neo4j.naming import property_of, quoted
from graph.stores.neo4j.rows import TAGGED
from graph.stores.neo4j.script import refuse
from ontology.errors import InputError, NotFoundError, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from graph.plan import LinkTest, Predicate
    from graph.stores.neo4j.script import Script
    from graph.values import JSONValue

_ORDERS: Final = {Operator.LT: "<", Operator.LTE: "<=", Operator.GT: ">", Operator.GTE: ">="}
_PARTS: Final = {Operator.CONTAINS: "CONTAINS", Operator.STARTS_WITH: "STARTS WITH"}
_EQUALITIES: Final = (Operator.EQ, Operator.NE, Operator.IN, Operator.NOT_IN)
_FIELDS: Final = {
    TextField.ID: "id",
    TextField.LOCAL_ID: "_local",
    TextField.NAME: "name",
    TextField.KIND: "_kind",
    TextField.SITE: "_site",
}


def condition(script: Script, variable: str, predicate: Predicate, *, negated: bool = False) -> str:
    """A condition on a node. LimitError PUSHDOWN_UNSUPPORTED, and what the columns raise.

    negated: it stands under a NOT, where null is not as good as false. Elsewhere comparisons are written
    plainly, because Neo4j looks into an index only for those.
    """
    if isinstance(predicate, And | Or):
        word, empty = ("AND", "true") if isinstance(predicate, And) else ("OR", "false")
        parts = [condition(script, variable, part, negated=negated) for part in predicate.parts]
        return "(" + f" {word} ".join(parts) + ")" if parts else empty
    if isinstance(predicate, Not):
        return f"NOT {condition(script, variable, predicate.part, negated=True)}"
    if isinstance(predicate, TextTest):
        texts = [_text(script, variable, predicate.field, each) for each in predicate.comparisons]
        return _never_null(_all(texts), negated=negated)
    if isinstance(predicate, AttributeTest):
        return _never_null(_attribute(script, variable, predicate), negated=negated)
    return _link(script, variable, predicate)


def link_condition(script: Script, variable: str, test: AttributeTest) -> str:
    """A condition on a relationship; may be null. Raises as `condition`."""
    return _link_attribute(script, variable, test)


def _all(conditions: list[str]) -> str:
    return "(" + " AND ".join(conditions) + ")" if conditions else "true"


def _never_null(text: str, *, negated: bool) -> str:
    return f"coalesce({text}, false)" if negated else text


# Texts


def _text(script: Script, variable: str, field: TextField, comparison: Comparison) -> str:
    if field is TextField.EXTERNAL_ID:
        return _external(script, variable, comparison)
    if comparison.operator in _EQUALITIES:
        if field is TextField.KIND:
            return _kind(script, variable, comparison)
        if field is TextField.ID:
            comparison = _with_iris(script, comparison)
        if field is TextField.SITE:
            _check_sites(script, comparison)
    return _compared(script, f"{variable}.{_FIELDS[field]}", comparison)


def _with_iris(script: Script, comparison: Comparison) -> Comparison:
    """Ids that are no IRI are looked up. AMBIGUOUS_ID."""
    iris = iris_of(script, [str(each) for each in _operands(comparison)])
    if isinstance(comparison.operand, tuple):
        return Comparison(comparison.operator, tuple(iri for iri in iris if iri is not None))
    return Comparison(comparison.operator, iris[0] or "")  # no twin has an id without a letter


def _check_sites(script: Script, comparison: Comparison) -> None:
    """NotFoundError SITE_UNKNOWN."""
    if comparison.operator not in (Operator.EQ, Operator.IN):
        return
    if script.around is None:
        refuse("a test of sites")
    for text in map(str, _operands(comparison)):
        if text not in script.around.bases:
            hint = None if script.is_narrowed else suggestion(text, script.around.bases)
            raise NotFoundError(f"no site {text!r}", code="SITE_UNKNOWN", hint=hint)


def _external(script: Script, variable: str, comparison: Comparison) -> str:
    """Of any id of a twin in an outside system; of the negative operators: it has some, but none of these."""
    known = f"{variable}._external"
    if comparison.operator is Operator.EXISTS:
        return f"({known} IS NOT NULL) = {script.value(bool(comparison.operand))}"
    each = script.variable("e")
    # The first blank ends the name of the system, which has none: see `rows.external_text`.
    own = f"substring({each}, size(split({each}, ' ')[0]) + 1)"
    positive = {Operator.NE: Operator.EQ, Operator.NOT_IN: Operator.IN}.get(comparison.operator)
    test = _external_holds(script, own, Comparison(positive or comparison.operator, comparison.operand))
    found = f"any({each} IN {known} WHERE {test})"
    return f"({known} IS NOT NULL AND NOT {found})" if positive else found


def _external_holds(script: Script, own: str, comparison: Comparison) -> str:
    operand = comparison.operand
    if comparison.operator in _EQUALITIES:
        return f"{own} IN {script.value(list(_operands(comparison)))}"
    word = _ORDERS.get(comparison.operator) or _PARTS[comparison.operator]
    return f"{own} {word} {script.value(str(operand))}"


def _kind(script: Script, variable: str, comparison: Comparison) -> str:
    tests = [f"{variable}{script.kind(str(name))}" for name in _operands(comparison)]
    found = "(" + " OR ".join(tests) + ")" if tests else "false"
    return found if comparison.operator in (Operator.EQ, Operator.IN) else f"NOT {found}"


# Attributes


def _attribute(script: Script, variable: str, test: AttributeTest) -> str:
    value = attribute_text(script, test.name, variable)
    number, present = number_text(value), f"{value} IS NOT NULL"
    if any(map(_wants_numbers, test.comparisons)):
        known = stated(script, test.name)
        target = test.unit or unit_of_scope(script, known)
        if target is not None:
            number = converted_text(script, variable, known, target)
            # What does not convert is as good as absent.
            present = f"({present} AND NOT ({is_number(value)} AND {number} IS NULL))"
    return _all([_compared_value(script, value, number, present, each) for each in test.comparisons])


def _link_attribute(script: Script, variable: str, test: AttributeTest) -> str:
    """Which units relationships state is not looked up."""
    declared = script.schema.attribute(test.name)
    if declared is None:
        refuse(f"{test.name!r} of relationships, which the vocabulary does not declare,")
    wants_numbers = any(map(_wants_numbers, test.comparisons))
    if wants_numbers and (declared.unit is not None or test.unit is not None):
        refuse(f"{test.name!r} of relationships, whose values may have several units,")
    value = f"{variable}.{quoted(property_of(test.name))}"
    present = f"{value} IS NOT NULL"
    return _all(
        [_compared_value(script, value, number_text(value), present, each) for each in test.comparisons]
    )


def _wants_numbers(comparison: Comparison) -> bool:
    return any(map(_is_number, _operands(comparison)))


def _is_number(operand: JSONValue) -> bool:
    return isinstance(operand, int | float) and not isinstance(operand, bool)


def _compared_value(script: Script, value: str, number: str, present: str, comparison: Comparison) -> str:
    """A comparison with an attribute. number: its number or null; present: whether it has a value at all."""
    operator, operand = comparison.operator, comparison.operand
    if operator is Operator.EXISTS:
        return f"({present}) = {script.value(bool(operand))}"
    if operator in (Operator.EQ, Operator.NE) and isinstance(operand, tuple):
        return "false" if operator is Operator.EQ else present  # no list is equal to it
    if operator in _EQUALITIES:
        found = _equal_to_any(script, value, number, _operands(comparison))
        is_positive = operator in (Operator.EQ, Operator.IN)
        return found if is_positive else f"({present} AND NOT coalesce({found}, false))"
    if not isinstance(operand, tuple) and _is_number(operand) and operator in _ORDERS:
        return f"{number} {_ORDERS[operator]} {script.value(_operand(operand))}"
    return _compared(script, value, comparison)


def _equal_to_any(script: Script, value: str, number: str, operands: Sequence[JSONValue]) -> str:
    """Texts and truths are equal to no number, in columns and in Neo4j alike."""
    numbers = [_operand(each) for each in operands if _is_number(each)]
    others = [each for each in operands if not _is_number(each)]
    _check_plain(others)
    tests = [f"{number} IN {script.value(numbers)}"] if numbers else []
    tests += [f"{value} IN {script.value(others)}"] if others else []
    return f"({' OR '.join(tests)})" if tests else "false"


def _operand(operand: JSONValue) -> float:
    """A number as columns compare with it."""
    assert isinstance(operand, int | float)
    try:
        return float(operand) + 0.0  # without the sign of a zero
    except OverflowError:
        refuse("a comparison with so large a number")


def _check_plain(operands: Iterable[JSONValue]) -> None:
    for each in operands:
        if isinstance(each, list | dict | tuple) or each is None:
            refuse("a comparison with an object or a list")
        if isinstance(each, str) and each.startswith(TAGGED[0]):
            refuse("a comparison with a control character")


def _compared(script: Script, value: str, comparison: Comparison) -> str:
    """A comparison of a text."""
    operator, operand = comparison.operator, comparison.operand
    if operator is Operator.EXISTS:
        return f"({value} IS NOT NULL) = {script.value(bool(operand))}"
    _check_plain(_operands(comparison))
    if operator in _EQUALITIES:
        return _equality(script, value, comparison)
    if isinstance(operand, bool) or not isinstance(operand, int | float | str):
        message = f"{operator} does not compare with {operand!r}"
        raise InputError(message, code="FILTER_OPERAND", hint="give a number or a text")
    word = _ORDERS.get(operator) or _PARTS[operator]
    if not isinstance(operand, str):
        refuse(f"{operator} with a number")
    # Texts that stand for objects are none.
    return f"({value} {word} {script.value(operand)} AND NOT {value} STARTS WITH {script.value(TAGGED)})"


def _equality(script: Script, value: str, comparison: Comparison) -> str:
    if isinstance(comparison.operand, tuple):
        found = f"{value} IN {script.value(list(comparison.operand))}"
    else:
        found = f"{value} = {script.value(comparison.operand)}"
    if comparison.operator in (Operator.EQ, Operator.IN):
        return found
    return f"({value} IS NOT NULL AND NOT coalesce({found}, false))"


def _operands(comparison: Comparison) -> tuple[JSONValue, ...]:
    operand = comparison.operand
    return operand if isinstance(operand, tuple) else (operand,)


# Relationships


def _link(script: Script, variable: str, test: LinkTest) -> str:
    link, other = script.variable("r"), script.variable("m")
    pattern = script.hop(variable, test.relation, test.way, link, other)
    negated = test.quantifier is Quantifier.EVERY
    fits = [_never_null(_link_attribute(script, link, each), negated=negated) for each in test.link]
    if test.twin is not None:
        fits.append(condition(script, other, test.twin, negated=negated))
    here, wanted = script.here(other), _all(fits)
    if test.quantifier is Quantifier.EVERY:
        return f"NOT EXISTS {{ MATCH {pattern} WHERE {here} AND NOT {wanted} }}"
    found = f"EXISTS {{ MATCH {pattern} WHERE {here} AND {wanted} }}"
    return found if test.quantifier is Quantifier.SOME else f"NOT {found}"
