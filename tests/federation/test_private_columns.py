"""Private questions over snapshots: whose rows count, in which unit and group; figures of several sites."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from federation.contract import Contract, Grant, Purpose, Release
from federation.masks import masks
from federation.privacy.asked import Asked, Condition, admit, read_asked
from federation.privacy.columns import column_of
from federation.privacy.combining import Part, combine, error_of_sum
from federation.privacy.door import Account, Figures, ToldGroup, ToldNoise, answer_private
from federation.private_terms import PrivateBound, PrivateTerms
from graph.mesh import Mesh
from graph.values import Change, KindRecord, RelationshipRecord, TwinRecord, Value
from ontology.errors import AccessError, InputError
from ontology.schema import Schema, load_schema
from ontology.units import Units, load_units
from tests.federation.contract_worlds import DAY_NS, NOW_NS
from tests.federation.privacy_worlds import surely_apart
from tests.simulation.cascade_worlds import fresh_seed

PARTNER = "p" * 43
BASE = "https://twinmesh.invalid/campus/"
HALLS = ("A", "B", "C")


@pytest.fixture(scope="module")
def ontology() -> Schema:
    return load_schema()


@pytest.fixture(scope="module")
def units() -> Units:
    return load_units()


@pytest.fixture
def mesh(tmp_path: Path, ontology: Schema, units: Units) -> Generator[Mesh]:
    with Mesh.open(tmp_path / "data", ontology, units=units) as opened:
        opened.create_site("campus")
        yield opened


def contract(ontology: Schema, **fields: Any) -> Contract:
    given: dict[str, Any] = {
        "sites": frozenset({"campus"}),
        "kinds": frozenset({ontology.kind("brick:Equipment").iri}),
        "attributes": frozenset({"hall", "floors"}),
        "purposes": frozenset({Purpose.PRIVATE}),
        "expires_ns": NOW_NS + DAY_NS,
        "private": PrivateTerms(1_000_000, 30, (PrivateBound("draught", 0.0, 100.0, "kW"),)),
    }
    return Contract(PARTNER, **{**given, **fields})


def asked(**fields: Any) -> Asked:
    return Asked(**{"kind": "brick:Equipment", "op": "SUM", "epsilon": 1.0, "attribute": "draught", **fields})


def rows_by_twin(mesh: Mesh, units: Units, question: Asked, agreed: Contract) -> dict[str, tuple[Any, ...]]:
    """What the column says of each twin."""
    grant, snapshot = Grant(agreed, 1), mesh.snapshot()
    admitted = admit(question, grant, snapshot.schema, NOW_NS)
    counted = masks(grant, snapshot, Purpose.PRIVATE, NOW_NS).counted
    column = column_of(admitted, snapshot, counted, units)
    ids = snapshot.ids(column.twins)
    assert len(set(ids)) == len(ids), "one row for each twin"
    rows = zip(column.values.tolist(), column.valid.tolist(), column.groups.tolist(), strict=True)
    return dict(zip(ids, rows, strict=True))


def random_twin(random: Random, ontology: Schema, number: int) -> TwinRecord:
    kinds = random.sample(("brick:Pump", "brick:Chiller", "brick:AHU", "rec:Room"), random.choice((1, 1, 2)))
    power = random.choice(
        (Value(5, "kW"), Value(5_000, "W"), Value(5), Value("much"), Value(700, "kW"), None)
    )
    stated = {
        "draught": power,
        "hall": random.choice((Value("A"), Value("B"), Value(True), Value(1.5), None)),
        "floors": random.choice((Value(1), Value(3), Value("two"), None)),
    }
    values = {name: value for name, value in stated.items() if value is not None}
    return TwinRecord(
        f"{BASE}T-{number}", tuple(ontology.kind(name).iri for name in kinds), attributes=values
    )


QUESTIONS = (
    asked(),
    asked(group_by="hall", groups=HALLS),
    asked(group_by="kind", groups=("brick:Pump", "brick:Chiller")),
    asked(group_by="site"),
    asked(op="COUNT", attribute=None, where=(Condition("floors", "gte", 2), Condition("hall", "ne", "A"))),
    asked(op="COUNT", attribute="hall"),
    asked(where=(Condition("hall", "eq", True),)),
)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_twin_is_in_its_own_row_and_in_no_other(
    mesh: Mesh, ontology: Schema, units: Units, question: Asked
) -> None:
    """What the promise of privacy rests on here: without a twin, the rows of the others stay as they are."""
    random = Random(fresh_seed("private columns"))
    site, agreed = mesh.twin("campus"), contract(ontology)
    site.apply(Change(put_twins=tuple(random_twin(random, ontology, number) for number in range(60))))
    for _ in range(8):
        before = rows_by_twin(mesh, units, question, agreed)
        gone = f"{BASE}T-{random.randrange(60)}"
        site.apply(Change(remove_twins=(gone,)))
        before.pop(gone, None)
        assert rows_by_twin(mesh, units, question, agreed) == before


def test_values_are_of_one_unit_or_missing(mesh: Mesh, ontology: Schema, units: Units) -> None:
    given = {
        "kW": Value(5, "kW"), "W": Value(5_000, "W"), "bare": Value(5), "text": Value("5"), "none": None,
        "yes": Value(True),
    }  # fmt: skip
    kind = (ontology.kind("brick:Pump").iri,)
    twins = tuple(
        TwinRecord(BASE + name, kind, attributes={} if value is None else {"draught": value})
        for name, value in given.items()
    )
    mesh.twin("campus").apply(Change(put_twins=twins))
    rows = rows_by_twin(mesh, units, asked(), contract(ontology))
    usable = {iri.removeprefix(BASE): value for iri, (value, valid, _) in rows.items() if valid}
    declared = ontology.attribute("draught")
    bare = {"bare": 5.0 if declared.unit == "kW" else 0.005} if declared is not None and declared.unit else {}
    assert usable == pytest.approx({"kW": 5.0, "W": 5.0, **bare})


def test_groups_along_relations_only_where_these_are_shown(
    mesh: Mesh, ontology: Schema, units: Units
) -> None:
    pump, room = ontology.kind("brick:Pump").iri, ontology.kind("rec:Room").iri
    twins = (
        *(TwinRecord(f"{BASE}R-{n}", (room,)) for n in range(2)),
        *(TwinRecord(f"{BASE}P-{n}", (pump,)) for n in range(6)),
    )
    part_of = ontology.relation("tm:partOf").iri
    links = tuple(RelationshipRecord(f"{BASE}P-{n}", part_of, f"{BASE}R-{n % 2}") for n in range(5))
    mesh.twin("campus").apply(Change(put_twins=twins, put_relationships=links))
    question = asked(
        kind="brick:Pump", op="COUNT", attribute=None, group_by="partOf:rec:Room",
        groups=(f"{BASE}R-1", f"{BASE}R-0", f"{BASE}R-9"),
    )  # fmt: skip
    shown = contract(
        ontology,
        kinds=frozenset({pump, room}),
        relations=frozenset({part_of}),
        release=Release.ROWS,
        rows_per_answer=10,
        purposes=frozenset({Purpose.PRIVATE, Purpose.QUERY}),
    )
    rows = rows_by_twin(mesh, units, question, shown)
    assert [rows[f"{BASE}P-{n}"][2] for n in range(6)] == [1, 0, 1, 0, 1, -1]
    for hidden in (
        {"release": Release.AGGREGATES}, {"relations": frozenset[str]()},
        {"purposes": frozenset({Purpose.PRIVATE})},
    ):  # fmt: skip
        agreed = replace(shown, **hidden)
        with pytest.raises(AccessError) as caught:
            rows_by_twin(mesh, units, question, agreed)
        assert caught.value.code == "PRIVACY_NOT_SHARED"


def test_a_kind_that_an_import_brought_is_not_found_by_guessing(
    mesh: Mesh, ontology: Schema, units: Units
) -> None:
    """Below a shared kind, but only this site has it: as if it were not there."""
    own = TwinRecord(BASE + "X", ("https://example.org/SecretPump",))
    record = load_kind("https://example.org/SecretPump", ontology)
    mesh.twin("campus").apply(Change(put_kinds=(record,), put_twins=(own,)))
    for name in ("https://example.org/SecretPump", "https://example.org/NoSuchPump"):
        with pytest.raises(AccessError) as caught:
            rows_by_twin(mesh, units, asked(kind=name), contract(ontology))
        assert caught.value.code == "PRIVACY_NOT_SHARED"
    assert BASE + "X" in rows_by_twin(mesh, units, asked(), contract(ontology)), "it counts as what it is"


def load_kind(iri: str, ontology: Schema) -> KindRecord:
    return KindRecord(iri, "ex:SecretPump", (ontology.kind("brick:Pump").iri,))


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xc1", msgspec.msgpack.encode({"kind": "brick:Pump"}),
        msgspec.msgpack.encode({"kind": "k", "op": "COUNT", "epsilon": 1.0, "more": 1}),
        msgspec.msgpack.encode({"kind": "k" * 10_000, "op": "COUNT", "epsilon": 1.0}),
        msgspec.msgpack.encode(asked(groups=("g",) * 2_000)),
        msgspec.msgpack.encode(asked(where=(Condition("hall", "eq", "A"),) * 100)),
    ],
)  # fmt: skip
def test_bodies_that_are_no_questions(body: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read_asked(body)
    assert caught.value.code == "BODY_INVALID"


@pytest.mark.parametrize("op", ["COUNT", "P50"])
def test_the_budget_survives_a_restart(
    mesh: Mesh, ontology: Schema, units: Units, tmp_path: Path, op: str
) -> None:
    """Each question opens the ledger anew, as a server that was started again does."""
    kind = (ontology.kind("brick:Pump").iri,)
    twins = tuple(
        TwinRecord(f"{BASE}P-{n}", kind, attributes={"draught": Value(10, "kW")}) for n in range(80)
    )
    mesh.twin("campus").apply(Change(put_twins=twins))
    grant = Grant(contract(ontology), 1)

    def ask(epsilon: float) -> Any:
        question = asked(op=op, epsilon=epsilon, attribute=None if op == "COUNT" else "draught")
        body = msgspec.msgpack.encode(question)
        told, disclosure = answer_private(tmp_path, mesh.snapshot(), units, grant, body, NOW_NS)
        return msgspec.msgpack.decode(told), disclosure

    first, disclosure = ask(0.75)
    assert (first["type"], first["account"]["left_micro"]) == ("figures", 250_000)
    assert disclosure is not None
    assert disclosure.size_bytes > 0
    spent, nothing = ask(0.5)
    assert (spent["type"], spent["account"]["left_micro"], nothing) == ("spent", 250_000, None)
    assert ask(0.75)[0]["groups"] == first["groups"]


def drawn(mesh: Mesh, units: Units, folder: Path, epsilon: float, count: int) -> np.ndarray[Any, Any]:
    """So many answers through the door: each to a question of its own about the same rows."""
    agreed = contract(
        mesh.schema, private=PrivateTerms(10**12, 30, (PrivateBound("draught", 0.0, 1.0, "kW"),))
    )
    snapshot, found = mesh.snapshot(), np.zeros(count)
    for number in range(count):
        always = (Condition("hall", "ne", f"no hall {number}"),)
        body = msgspec.msgpack.encode(asked(epsilon=epsilon, where=always))
        told, _ = answer_private(folder, snapshot, units, Grant(agreed, 1), body, NOW_NS)
        value = msgspec.msgpack.decode(told)["groups"][0]["value"]
        found[number] = np.nan if value is None else value
    return found


@pytest.mark.long
def test_neighbours_are_epsilon_apart_through_the_door(
    mesh: Mesh, ontology: Schema, units: Units, tmp_path: Path
) -> None:
    """With and without one twin of the largest value: no event is more than e^epsilon as likely."""
    kind, site = (ontology.kind("brick:Pump").iri,), mesh.twin("campus")
    values = {"draught": Value(1, "kW"), "hall": Value("A")}
    twins = tuple(TwinRecord(f"{BASE}P-{n}", kind, attributes=values) for n in range(30))
    apart: dict[float, float] = {}
    for epsilon in (1.0, 6.0):
        site.apply(Change(put_twins=twins))
        first = drawn(mesh, units, tmp_path, epsilon, 2_000)
        site.apply(Change(remove_twins=(f"{BASE}P-0",)))
        apart[epsilon] = surely_apart(first, drawn(mesh, units, tmp_path, epsilon, 2_000)).epsilon
    print(f"neighbours through the door: surely {apart[1.0]:.2f} apart at epsilon 1, {apart[6.0]:.2f} at 6")
    assert apart[1.0] <= 1.0
    assert apart[6.0] > 1.0, "the test sees what is further apart"


# Figures of several sites


def part(op: str, value: float, count: int, scales: dict[str, float], bounds: tuple[float, float]) -> Part:
    noise = tuple(ToldNoise(name, scale, "", 3 * scale) for name, scale in scales.items())
    group = ToldGroup("all", suppressed=False, value=value, error95=1.0, count=count)
    return Part(Figures(op, None, *bounds, 5, noise, (group,), Account(0, 0, 0, "")), group)


def test_the_error_of_a_sum_of_noises() -> None:
    """Against closed forms for one and two, and against draws."""
    assert error_of_sum([2.0], 0.05) == pytest.approx(2 * math.log(20))
    two = error_of_sum([1.0, 1.0], 0.05)
    assert (1 + two / 2) * math.exp(-two) == pytest.approx(0.05, rel=0.02)
    rng = np.random.default_rng(3)
    for scales in ([1.0, 5.0], [3.0] * 7, [0.01, 1.0, 1.0, 20.0], [1.0] * 40):
        draws = np.abs(sum(rng.laplace(0, scale, 400_000) for scale in scales))
        assert error_of_sum(scales, 0.05) == pytest.approx(float(np.quantile(draws, 0.95)), rel=0.02), scales
    assert error_of_sum([1.0] * 16, 0.05) < 0.5 * 16 * error_of_sum([1.0], 0.05), "not the sum of the errors"


@pytest.mark.parametrize("bounds", [((0.0, 1.0), (0.0, 1.0)), ((0.0, 1.0), (-4.0, 9.0))])
def test_a_mean_over_sites_is_as_near_as_it_says(bounds: tuple[tuple[float, float], ...]) -> None:
    """Drawn anew many times: the true mean of all rows is within error95 at least 95 times in 100."""
    rng = np.random.default_rng(4)
    truth = [(120, 0.8), (40, -1.0 if bounds[1][0] < -1 else 0.1)]
    mean = sum(count * value for count, value in truth) / sum(count for count, _ in truth)
    hits = 0
    for _ in range(1_000):
        parts: list[Part] = []
        for (count, value), (lower, upper) in zip(truth, bounds, strict=True):
            middle, half = (lower + upper) / 2, (upper - lower) / 2
            scales = {"count": 2.0, "sum": 2.0 * half}
            noisy = max(round(count + rng.laplace(0, scales["count"])), 1)
            total = count * (value - middle) + rng.laplace(0, scales["sum"])
            shown = middle + min(max(total / noisy, -half), half)
            parts.append(part("MEAN", shown, noisy, scales, (lower, upper)))
        told = combine("MEAN", parts)
        assert told is not None
        hits += abs(told.value - mean) <= told.error95
    assert hits >= 950


def test_counts_and_sums_add_up_and_quantiles_do_not() -> None:
    parts = [part("COUNT", value, int(value), {"count": 1.0}, (0.0, 0.0)) for value in (10.0, 20.0)]
    told = combine("COUNT", parts)
    assert told is not None
    assert told.value == 30.0
    assert combine("P50", parts) is None
    assert combine("COUNT", []) is None
