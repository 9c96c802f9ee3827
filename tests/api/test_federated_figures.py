"""Aggregates with a partner that shows no twins: held against one folder, less what is too small."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from api import federation_queries
from federation.asking import FiguresTold, FigureTold, GroupTold
from federation.contract import Release
from graph.exact_sums import STEP_BITS, packed
from graph.values import Change, Value
from ontology.schema import Schema
from ontology.units import Units
from tests.api.conftest import SCHEMA, twin
from tests.api.federated_sites import Group, answering, group_of, wait_until

FANS, PUMPS = 7, 4  # of which the pumps are too few for a figure


def fleet(site: str, fans: int, pumps: int) -> Change:
    """Powers are whole numbers: sums of them do not depend on their order."""
    twins = [
        twin(site, f"{kind}-{n}", kind, f"{kind} {n}", ratedPower=Value(float(n * n), "kW"), assetTag="a")
        for kind, count in (("brick:Fan", fans), ("brick:Pump", pumps))
        for n in range(1, count + 1)
    ]
    return Change(put_twins=tuple(twins))


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units) -> Generator[Group]:
    changes = {"campus": [fleet("campus", 3, 6)], "plant": [fleet("plant", FANS, PUMPS)]}
    with group_of(tmp_path_factory.mktemp("figures"), ontology, units, changes) as made:
        made.share(
            "plant",
            "campus",
            release=Release.AGGREGATES,
            attributes=frozenset({"ratedPower"}),
            kinds=frozenset({SCHEMA.kind("brick:Equipment").iri}),
        )
        wait_until(lambda: "plant" in answering(made["campus"], "DENIED"), "the campus hears of the contract")
        yield made


def source(told: dict[str, Any]) -> dict[str, Any]:
    return next(each for each in told["extensions"]["sources"] if each["site"] == "plant")


_OF = ', of: "ratedPower"}'
ALL = f"[{{op: COUNT}}, {', '.join(f'{{op: {op}{_OF}' for op in ('COUNT', 'SUM', 'MEAN', 'MIN', 'MAX'))}]"


@pytest.mark.parametrize("keys", ["", "groupBy: [], "])
def test_figures_of_both_are_as_of_one_folder(group: Group, keys: str) -> None:
    asked = f'{{ aggregate(kind: "brick:Equipment", {keys}measures: {ALL}) {{ keys values units }} }}'
    told = group["campus"].running.ask(asked)
    assert told["data"] == group.merged.data(asked)
    assert source(told)["status"] == "ANSWERED"
    assert told["extensions"]["completeness"] == "FULL"


def test_small_groups_are_not_told(group: Group) -> None:
    keys = 'groupBy: ["kind", "site"]'
    asked = f'{{ aggregate(kind: "brick:Equipment", {keys}, measures: {ALL}) {{ keys values }} }}'
    told = group["campus"].running.ask(asked)
    whole = group.merged.data(asked)["aggregate"]
    assert told["data"]["aggregate"] == [
        row for row in whole if row["keys"] != {"kind": "brick:Pump", "site": "plant"}
    ]
    assert source(told)["status"] == "PARTIAL"
    assert told["extensions"]["completeness"] == "PARTIAL"


def test_the_ledger_knows_of_how_many_twins_a_figure_was(group: Group) -> None:
    ledger = group["plant"].node.ledger
    last = max(entry.number for entry in ledger.entries())
    asked = """{ aggregate(kind: "brick:Fan", groupBy: ["kind"], measures: [{op: SUM, of: "ratedPower"}])
        { values } }"""
    group["campus"].running.ask(asked)
    (entry,) = [each for each in ledger.entries(after=last) if each.kind == "query"]
    fan = SCHEMA.kind("brick:Fan").iri
    assert dict(entry.figures) == {f"{fan}: ratedPower by kind=brick:Fan": FANS}
    assert entry.twins == ()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ('filter: {name: {ne: "brick:Fan 1"}}, measures: [{op: COUNT}]', "DENIED"),
        ('groupBy: ["name"], measures: [{op: COUNT}]', "DENIED"),
        ('groupBy: ["id"], measures: [{op: COUNT}]', "DENIED"),
        ('measures: [{op: COUNT, of: "assetTag"}]', "DENIED"),
        ('groupBy: ["assetTag"], measures: [{op: COUNT}]', "DENIED"),
    ],
)
def test_what_would_tell_of_single_twins_is_refused(group: Group, arguments: str, status: str) -> None:
    """A filter that leaves one out, groups of one, attributes that the contract does not name."""
    asked = '{ aggregate(kind: "brick:Equipment", %s) { keys values } }'.replace("%s", arguments)
    told = group["campus"].running.ask(asked)
    alone = '{ twins(kind: "brick:Equipment", filter: {site: {eq: "campus"}}) { totalCount } }'
    count = group["campus"].running.data(alone)["twins"]["totalCount"]
    own = sum(next(iter(row["values"].values())) for row in told["data"]["aggregate"])
    assert own in (count, count - 1)  # ours alone, but for the one that a filter leaves out
    assert source(told)["status"] == status
    assert told["extensions"]["completeness"] == "PARTIAL"


def test_quantiles_cannot_be_joined(group: Group) -> None:
    asked = (
        '{ aggregate(kind: "brick:Fan", measures: [{op: COUNT}, {op: P50, of: "ratedPower"}]) { values } }'
    )
    told = group["campus"].running.ask(asked)
    assert told["data"]["aggregate"] == [{"values": {"count": 3 + FANS, "p50_ratedPower": None}}]
    assert told["extensions"]["completeness"] == "PARTIAL"


NINE = packed(9 << STEP_BITS)
FIGURE = FigureTold(9, 9, NINE, 1.0, 1.0, "kW")
LIES = {
    "other keys": GroupTold(("x",), 9, (FIGURE,)),
    "other figures": GroupTold((), 9, (FIGURE, FIGURE)),
    "no number": GroupTold((), 9, (FigureTold(9, 9, b"?", 1.0, 1.0, "kW"),)),
    "no end": GroupTold((), 9, (FigureTold(9, 9, NINE, 1.0, float("inf"), "kW"),)),
    "a sum of nothing": GroupTold((), 9, (FigureTold(9, 0, NINE, None, None, "kW"),)),
    "too long a sum": GroupTold((), 9, (FigureTold(9, 9, bytes(9_999), 1.0, 1.0, "kW"),)),
    "fewer than none": GroupTold((), -9, (FIGURE,)),
    "more numbers than twins": GroupTold((), 9, (FigureTold(1, 9, NINE, 1.0, 1.0, "kW"),)),
    "no least": GroupTold((), 9, (FigureTold(9, 9, NINE, None, 1.0, "kW"),)),
}


@pytest.mark.parametrize("name", LIES)
def test_figures_that_cannot_be_are_left_out(
    group: Group, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def lied(*_: object) -> FiguresTold:
        return FiguresTold((LIES[name],), is_less=False)

    def nothing(*_: object) -> dict[str, int]:
        return {}

    monkeypatch.setattr(federation_queries, "figures_of", lied)
    monkeypatch.setattr(federation_queries, "disclosed", nothing)
    asked = '{ aggregate(kind: "brick:Fan", measures: [{op: SUM, of: "ratedPower"}]) { values } }'
    answer = group["campus"].running.ask(asked)
    assert answer["data"]["aggregate"] == [{"values": {"sum_ratedPower": 1.0 + 4.0 + 9.0}}]
    assert source(answer)["code"] == "PEER_GARBAGE"
    assert answer["extensions"]["completeness"] == "PARTIAL"


def test_no_twin_is_shown(group: Group) -> None:
    told = group["campus"].running.ask(
        '{ twins(first: 100) { nodes { site } } search(text: "Fan 7") { totalCount } }'
    )
    assert {twin["site"] for twin in told["data"]["twins"]["nodes"]} == {"campus"}
    assert told["data"]["search"]["totalCount"] == 0
    assert source(told)["code"] == "CONTRACT_AGGREGATES"
