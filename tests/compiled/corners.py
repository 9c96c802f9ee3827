"""Operations of known sharp corners: found by the generator once, or too rare for it to find each time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.compiled.operations import Operation

CORNERS: Final[Mapping[str, Operation]] = {
    "an infinite sum in a leaf": Operation(
        '{ point(id: "odd:n3") { history(bucket: "P1D", aggregate: [SUM]) { value aggregates } } }', {}
    ),
    "values as of a time": Operation(
        'query q($t: DateTime) { twins(kind: "tm:Point", asOf: $t, first: 500) { totalCount nodes { id'
        " ... on Point { value text state unit time quality qualityReason } } }"
        ' node(id: "odd:n3", asOf: $t) { localId ... on Point { value time quality } } }',
        {"t": "2200-01-01T00:00:00Z"},
    ),
    "last values that are no numbers": Operation(
        '{ pointList(filter: {localId: {startsWith: "n"}}) { nodes { value time } } }',
        {},
    ),
    "a field of which nothing is asked still fails": Operation(
        '{ twins(first: 2) { nodes { in(relation: "tm:partOf", after: "") { edges @include(if: false)'
        " { cursor } } } } }",
        {},
    ),
    "a field of which only the type is asked": Operation(
        '{ twins(first: 2) { nodes { in(relation: "nothing") { __typename } } } }', {}
    ),
    "a relation that is unknown, and nothing asked of it": Operation(
        'query q($b: Boolean!) { twins(first: 2) { nodes { out(relation: "nothing") {'
        " totalCount @skip(if: $b) } } } }",
        {"b": True},
        flips=("b",),
    ),
    "attributes of an unknown name, and nothing asked of them": Operation(
        '{ twins(first: 2) { nodes { attributes(names: ["nothing"]) { name @skip(if: true) } } } }', {}
    ),
    "the budget of objects, and nothing asked of them": Operation(
        "{ twins(first: 9) { nodes { out(first: 9) { nodes { id @skip(if: true) } } } } }", {}, limits="tight"
    ),
    "no relations at all": Operation(
        '{ reachable(from: ["odd:n3"], relations: []) { count nodes { depth } truncated { reason } } }', {}
    ),
    "an order of numbers whose difference overflows": Operation(
        'query q($c: String) { twins(orderBy: [{by: "x:any"}], first: 3, after: $c) { nodes { id }'
        " p: pageInfo { startCursor endCursor } } }",
        {},
    ),
    "one key, another field for each type": Operation(
        "{ twins(first: 300) { nodes { ... on AssetTwin { x: localId } ... on ExPressTwin { x: kind }"
        " ... on RecRoomTwin { x: site } } } }",
        {},
    ),
    "groups along a path from no twins at all": Operation(
        '{ aggregate(filter: {id: {eq: "urn:nothing"}}, groupBy: ["^pointOf/partOf:rec:Level"],'
        " measures: [{op: COUNT}]) { keys values } }",
        {},
    ),
    "texts that are hard to write": Operation(
        '{ twins(filter: {site: {eq: "odd"}}, first: 200) { nodes { id localId name externalIds { system id }'
        " attributes { name value unit source } out { nodes { group attributes { name value } } }"
        " ... on Point { text state unit value quality time } } } }",
        {},
    ),
}
