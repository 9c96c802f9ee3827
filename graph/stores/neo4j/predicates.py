"""Predicates of a plan as Cypher conditions: true or false, never null, as `graph.matching` means them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from graph.ids import is_iri
from graph.plan import (
    POINT_VALUE,
    And,
    AttributeTest,
    Not,
    Operator,
    Or,
    Quantifier,
    TextField,
    TextTest,
)
from graph.stores.neo4j.naming import property_of, quoted
from graph.stores.neo4j.rows import TAGGED
from graph.stores.neo4j.script import refuse
from ontology.errors import InputError

if TYPE_CHECKING:
    from graph.plan import Comparison, LinkTest, Predicate
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
    return _attribute(script, variable, test)


def checked_attribute(script: Script, name: str) -> str:
    """The property of an attribute whose numbers have no unit to be converted."""
    declared = script.schema.attribute(name)
    if name == POINT_VALUE:
        refuse("a test of last values")
    if declared is None:
        refuse(f"{name!r}, which the vocabulary does not declare,")
    if declared.unit is not None:
        refuse(f"{name!r}, whose values may have several units,")
    return quoted(property_of(name))


def _all(conditions: list[str]) -> str:
    return "(" + " AND ".join(conditions) + ")" if conditions else "true"


def _never_null(text: str, *, negated: bool) -> str:
    return f"coalesce({text}, false)" if negated else text


# Texts


def _text(script: Script, variable: str, field: TextField, comparison: Comparison) -> str:
    if field is TextField.KIND and comparison.operator in _EQUALITIES:
        return _kind(script, variable, comparison)
    if field is TextField.EXTERNAL_ID:
        if comparison.operator is Operator.EXISTS:
            return f"({variable}._external IS NOT NULL) = {script.value(bool(comparison.operand))}"
        refuse("a test of external ids")
    texts = _operands(comparison)
    if comparison.operator in _EQUALITIES:
        if field is TextField.ID and not all(is_iri(str(text)) for text in texts):
            refuse("an id that is no IRI")
        if field is TextField.SITE:
            refuse("a test of sites")
    return _compared(script, f"{variable}.{_FIELDS[field]}", comparison)


def _kind(script: Script, variable: str, comparison: Comparison) -> str:
    tests = [f"{variable}{script.kind(str(name))}" for name in _operands(comparison)]
    found = "(" + " OR ".join(tests) + ")" if tests else "false"
    return found if comparison.operator in (Operator.EQ, Operator.IN) else f"NOT {found}"


# Attributes


def _attribute(script: Script, variable: str, test: AttributeTest) -> str:
    if test.unit is not None:
        refuse("a test with a unit")
    name = checked_attribute(script, test.name)
    return _all([_compared(script, f"{variable}.{name}", each) for each in test.comparisons])


def _compared(script: Script, value: str, comparison: Comparison) -> str:
    operator, operand = comparison.operator, comparison.operand
    if operator is Operator.EXISTS:
        return f"({value} IS NOT NULL) = {script.value(bool(operand))}"
    for each in _operands(comparison):
        if isinstance(each, list | dict) or each is None:
            refuse("a comparison with an object or a list")
        if isinstance(each, str) and each.startswith(TAGGED[0]):
            refuse("a comparison with a control character")
    if operator in _EQUALITIES:
        return _equality(script, value, comparison)
    if isinstance(operand, bool) or not isinstance(operand, int | float | str):
        message = f"{operator} does not compare with {operand!r}"
        raise InputError(message, code="FILTER_OPERAND", hint="give a number or a text")
    word = _ORDERS.get(operator) or _PARTS[operator]
    if operator in _PARTS and not isinstance(operand, str):
        refuse(f"{operator} with a number")
    found = f"{value} {word} {script.value(operand)}"
    if isinstance(operand, str):  # texts that stand for objects are none
        found = f"{found} AND NOT {value} STARTS WITH {script.value(TAGGED)}"
    return f"({found})"


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
    fits = [_never_null(_attribute(script, link, each), negated=negated) for each in test.link]
    if test.twin is not None:
        fits.append(condition(script, other, test.twin, negated=negated))
    here, wanted = script.here(other), _all(fits)
    if test.quantifier is Quantifier.EVERY:
        return f"NOT EXISTS {{ MATCH {pattern} WHERE {here} AND NOT {wanted} }}"
    found = f"EXISTS {{ MATCH {pattern} WHERE {here} AND {wanted} }}"
    return found if test.quantifier is Quantifier.SOME else f"NOT {found}"
