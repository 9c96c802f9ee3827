"""The cost rule: what it counts, that it is linear, and that hostile documents are refused fast."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLSyntaxError, OperationDefinitionNode, build_schema

from api.config import Limits
from api.limits import Price, check_price, check_shape, check_variables, parse_bounded, price_of
from ontology.errors import LimitError

SCHEMA = build_schema(
    """
    type Query { twins(first: Int, last: Int): Connection  node(id: ID!): Twin  nodes(ids: [ID!]!): [Twin!]!
      paths(k: Int = 1): [Twin!]! }
    type Connection { nodes: [Twin!]!  totalCount: Int }
    type Twin { id: ID!  name: String  attributes: [Attribute!]!  out(first: Int): Connection!  parent: Twin }
    type Attribute { name: String }
    """
)
LIMITS = Limits()


def price(text: str, **variables: Any) -> Price:
    document = parse_bounded(text, LIMITS)
    operation = next(item for item in document.definitions if isinstance(item, OperationDefinitionNode))
    return price_of(SCHEMA, document, operation, variables)


@pytest.mark.parametrize(
    ("text", "cost", "depth"),
    [
        ("{ node(id: 1) { id name } }", 3, 2),
        ("{ twins(first: 10) { nodes { id name } } }", 1 + 10 * 3, 3),
        ("{ twins { nodes { id } totalCount } }", 1 + 50 * 3, 3),
        ("{ twins(last: 7) { nodes { id } } }", 1 + 7 * 2, 3),
        ("{ node(id: 1) { attributes { name } } }", 1 + 1 + 10 * 1, 3),
        ("{ nodes(ids: [1, 2, 3]) { id } }", 1 + 3 * 1, 2),
        ("{ paths(k: 4) { id } }", 1 + 4 * 1, 2),
        ("{ twins(first: 10) { nodes { out(first: 5) { nodes { id } } } } }", 1 + 10 * (1 + (1 + 5 * 2)), 5),
        ("{ node(id: 1) { out { nodes { id } } } }", 1 + 1 + 10 * 2, 4),
        ("{ ...f ...f } fragment f on Query { node(id: 1) { id } }", 4, 2),
        ("{ node(id: 1) { ... on Twin { id } ... { name } } }", 3, 2),
        ("{ nothing { at { all } } ...absent }", 4, 3),
        ("{ twins(first: -5) { nodes { id } } }", 1, 3),
    ],
)
def test_the_rule(text: str, cost: int, depth: int) -> None:
    assert price(text) == Price(cost, depth)


def test_variables_count_with_their_values_and_defaults() -> None:
    text = "query q($n: Int = 3) { twins(first: $n) { nodes { id } } }"
    assert price(text) == Price(1 + 3 * 2, 3)
    assert price(text, n=20) == Price(1 + 20 * 2, 3)
    assert price("query q($i: [ID!]!) { nodes(ids: $i) { id } }", i=["a", "b"]) == Price(3, 2)


def test_a_circle_of_fragments_ends() -> None:
    assert (
        price("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a node(id: 1) { id } }").cost
        == 2
    )


def doubling(levels: int) -> str:
    """Fragments that each spread the next twice: 2^levels fields in a few hundred bytes."""
    chain = "".join(f"fragment f{i} on Twin{{...f{i + 1} ...f{i + 1}}}" for i in range(levels))
    return f"{{node(id:1){{...f0}}}}{chain}fragment f{levels} on Twin{{id}}"


def refusal(text: str) -> str:
    """The code a text is refused with."""
    with pytest.raises(LimitError) as caught:
        document = parse_bounded(text, LIMITS)
        check_shape(document, LIMITS)
        operation = next(item for item in document.definitions if isinstance(item, OperationDefinitionNode))
        check_price(price_of(SCHEMA, document, operation, {}), LIMITS)
    return caught.value.code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (doubling(20), "QUERY_TOO_COSTLY"),
        (doubling(200), "QUERY_TOO_COSTLY"),
        ("{" + " ".join(f"a{i}: node(id: 1) {{ id }}" for i in range(300)) + "}", "TOO_MANY_ALIASES"),
        ("{" + " ".join(f"a{i}: node(id: 1) {{ id }}" for i in range(5_000)) + "}", "QUERY_TOO_LARGE"),
        ("{ node(id: 1) {" + "id " * 20_000 + "} }", "QUERY_TOO_LARGE"),
        ("{ node(id: 1) {" + "id " * 3_000 + "} }", "TOO_MANY_REPEATS"),
        ("{ node(id: 1) {" + "... { id } " * 100 + "} }", "TOO_MANY_REPEATS"),
        ("{ node(id: 1) { id " + "@skip(if: true) " * 500 + "} }", "TOO_MANY_DIRECTIVES"),
        ("query q($a: Int " + "@skip " * 500 + ") { node(id: 1) { id } }", "TOO_MANY_DIRECTIVES"),
        ("{ a" * 100_000, "QUERY_TOO_DEEP QUERY_TOO_LARGE"),
        ("{ node(id: " + "[" * 100_000, "QUERY_TOO_DEEP QUERY_TOO_LARGE"),
        ("{ node(id: " + "[" * 200 + "]" * 200 + ") { id } }", "QUERY_TOO_DEEP"),
        ("{ node(id: 1) " + "{ parent " * 900 + "{ id }" + "}" * 901, "QUERY_TOO_DEEP"),
        ("{ node(id: 1) " + "{ parent " * 30 + "{ id }" + "}" * 31, "QUERY_TOO_DEEP"),
        ("{ twins(first: 1000) { nodes { out(first: 1000) { nodes { id } } } } }", "QUERY_TOO_COSTLY"),
    ],
)
def test_hostile_documents_are_refused(text: str, code: str) -> None:
    assert refusal(text) in code.split()


@pytest.mark.parametrize("nest", [lambda value: {"and": [value]}, lambda value: [value]])
def test_variables_are_not_nested_without_end(nest: Any) -> None:
    value: Any = {}
    for _ in range(900):
        value = nest(value)
    with pytest.raises(LimitError) as caught:
        check_variables({"f": value}, LIMITS)
    assert caught.value.code == "VARIABLES_TOO_DEEP"
    check_variables({"f": {"and": [{"or": [{"name": {"eq": "x"}}]}]}, "n": 3}, LIMITS)


def test_the_refusal_gives_the_numbers() -> None:
    with pytest.raises(LimitError, match=r"2,000,000.*1,000,000"):
        check_price(Price(2_000_000, 1), LIMITS)


def test_syntax_errors_stay_what_they_are() -> None:
    with pytest.raises(GraphQLSyntaxError):
        parse_bounded("{ a ", LIMITS)
