"""Suggestions: what the stock rules say of misspelt names, at a bounded cost."""

from __future__ import annotations

import pytest
from graphql import GraphQLSchema, parse, validate

from api import validating
from api.schema.build import fixed_schema
from api.schema.generated import join
from api.validating import SUGGESTED_MAX, find_errors, nearest
from graph.attributes import Tag
from graph.usage import AttributeUse
from ontology.schema import Schema


@pytest.fixture(scope="module")
def schema(ontology: Schema) -> GraphQLSchema:
    kinds = [ontology.kind(name).index for name in ("brick:AHU", "brick:VAV", "brick:Chiller", "rec:Room")]
    attributes = [AttributeUse("ratedPower", frozenset(kinds[:1]), frozenset({Tag.NUMBER}))]
    return join(fixed_schema(), ontology, kinds, attributes)


@pytest.mark.parametrize(
    "query",
    [
        "{ ahuLst { totalCount } }",
        "{ chilerList { totalCount } }",
        "{ nothingOfTheKind }",
        "{ ahuList { nodes { ratedPowr } } }",
        "{ ahuList { nodes { ... on AHUU { id } } } }",
        "{ ahuList { node { id } } }",
        "{ ahuList(wher: {}) { totalCount } }",
        "{ ahuList(where: {ratedPowr: {gt: 1}}) { totalCount } }",
        "query q($f: TwinFiltr) { twins(filter: $f) { totalCount } }",
        "fragment f on Twn { id } { twins { nodes { ...f } } }",
        "{ sites { name { x } } }",
        "{ ahuList { nodes { id } } }",
        "{ __type(name: 1) { nam } }",
    ],
)
def test_as_the_stock_rules(schema: GraphQLSchema, query: str) -> None:
    document = parse(query)
    stock = [error.message for error in validate(schema, document)]
    assert [error.message for error in find_errors(schema, document, 100)] == stock


def test_types_that_have_the_field_are_named_interfaces_first(schema: GraphQLSchema) -> None:
    (error,) = find_errors(schema, parse("{ equipmentList { nodes { ratedPower } } }"), 100)
    assert error.message == (
        "Cannot query field 'ratedPower' on type 'Equipment'."
        " Did you mean to use an inline fragment on 'AHU' or 'AHUTwin'?"
    )


@pytest.mark.parametrize(
    "query",
    [
        "{ boilerList { totalCount } }",
        '{ boiler(id: "x") { id } }',
        "{ twins { nodes { ... on Boiler { id } } } }",
        "{ twins { nodes { ... on BoilerTwin { id } } } }",
        "query q($w: BoilerFilter) { twins(filter: $w) { totalCount } }",
    ],
)
def test_a_kind_that_nothing_has_is_told_from_a_misspelling(schema: GraphQLSchema, query: str) -> None:
    error = find_errors(schema, parse(query), 100)[0]
    assert error.message.endswith(" No twin is of kind brick:Boiler.")


def test_a_kind_without_typed_attributes_is_not_told_to_be_absent(schema: GraphQLSchema) -> None:
    error = find_errors(schema, parse("query q($w: VAVFilter) { twins(filter: $w) { totalCount } }"), 100)[0]
    assert error.message.startswith("Unknown type 'VAVFilter'. Did you mean 'AHUFilter'")


def test_only_the_first_errors_come_with_a_suggestion(
    schema: GraphQLSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []
    stock = validating.suggestion_list

    def counted(name: str, names: list[str]) -> list[str]:
        compared.append(len(names))
        return stock(name, names)

    monkeypatch.setattr(validating, "suggestion_list", counted)
    roots = " ".join(f"ahuLst{number} {{ totalCount }}" for number in range(90))
    errors = find_errors(schema, parse(f"{{ {roots} }}"), 100)
    assert len(errors) == 90
    assert sum("Did you mean" in error.message for error in errors) == SUGGESTED_MAX
    assert len(compared) == SUGGESTED_MAX
    assert max(compared) <= 60


def test_what_is_meant_is_found_among_thousands() -> None:
    names = [f"{first}{second}List" for first in "abcdefghij" for second in range(400)] + ["coolingTowerList"]
    for wrong in (
        "coolngTowerList",
        "coolingTowrList",
        "colingTowerLst",
        "CoolingTowerList",
        "oolingTowerList",
    ):
        assert nearest(wrong, names)[0] == "coolingTowerList"
