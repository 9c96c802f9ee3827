"""Write checks: one violation of each code, with place and hint; and the sound neighbour that passes."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from graph.check import distribution_problem, is_near
from graph.values import Change, KindRecord, RelationshipRecord, TwinRecord, Value
from ontology.errors import ChangeError


@pytest.fixture
def iris(twin):
    """Ids and terms by short names."""

    class Iris:
        ahu = twin.schema.kind("AHU").iri
        feeds = twin.schema.relation("brick:feeds").iri
        supplies = twin.schema.relation("supplies").iri
        part_of = twin.schema.relation("tm:partOf").iri
        point_of = twin.schema.relation("tm:pointOf").iri
        x, y, z = (f"{twin.base}{name}" for name in "xyz")

    twin.apply(Change(put_twins=tuple(TwinRecord(iri, (Iris.ahu,)) for iri in (Iris.x, Iris.y, Iris.z))))
    return Iris


def refusal(twin, change):
    """The one problem for which a change is refused; nothing may be left of the change."""
    before = twin.snapshot()
    with pytest.raises(ChangeError) as caught:
        twin.apply(change)
    assert twin.snapshot() is before
    assert len(caught.value.problems) == 1, caught.value.problems
    return caught.value.problems[0]


def state(iris, name, value, unit=None):
    return Change(merge_twins=(TwinRecord(iris.x, attributes={name: Value(value, unit)}),))


def link(iris, relation, source, target, **attributes):
    values = {name: Value(value) for name, value in attributes.items()}
    return RelationshipRecord(source, relation, target, attributes=values)


def test_kind_unknown_suggests_a_kind(twin, iris):
    problem = refusal(twin, Change(put_twins=(TwinRecord(twin.base + "n", ("urn:x:Chillr",)),)))
    assert problem.code == "KIND_UNKNOWN"
    assert problem.place.item == twin.base + "n"
    assert "hiller" in (problem.hint or "")


def test_a_kind_by_its_short_name_is_told_its_iri(twin, iris):
    problem = refusal(twin, Change(put_twins=(TwinRecord(twin.base + "n", ("brick:AHU",)),)))
    assert (problem.code, iris.ahu in (problem.hint or "")) == ("KIND_UNKNOWN", True)


def test_kind_missing(twin, iris):
    problem = refusal(twin, Change(put_twins=(TwinRecord(twin.base + "n"),)))
    assert problem.code == "KIND_MISSING"


def test_kind_with_an_unknown_parent(twin, iris):
    problem = refusal(twin, Change(put_kinds=(KindRecord("urn:x:Press", "ex:Press", ("urn:x:Nothing",)),)))
    assert problem.code == "KIND_UNKNOWN"


@pytest.mark.parametrize("iri", ["AHU-3", "https://a/b c", "https://a/<b>"])
def test_id_invalid(twin, iris, iri):
    problem = refusal(twin, Change(put_twins=(TwinRecord(iri, (iris.ahu,)),)))
    assert (problem.code, problem.place.item) == ("ID_INVALID", iri)


def test_relation_unknown(twin, iris):
    problem = refusal(twin, Change(put_relationships=(link(iris, "urn:x:feds", iris.x, iris.y),)))
    assert problem.code == "RELATION_UNKNOWN"


def test_attribute_unknown_suggests_the_declared_one(twin, iris):
    problem = refusal(twin, state(iris, "ratedPowre", 3))
    assert problem.code == "ATTRIBUTE_UNKNOWN"
    assert "ratedPower" in (problem.hint or "")
    assert "x:ratedPowre" in (problem.hint or "")


@pytest.mark.parametrize("name", ["x:ratedPowre", "impellerDiameter", "ratedPower"])
def test_other_names_are_free(twin, iris, name):
    assert twin.apply(state(iris, name, 3)).revision == 2


def test_an_attribute_of_relationships_is_free_on_twins(twin, iris):
    assert twin.apply(state(iris, "bufferHours", "not hours at all")).revision == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("health", "full"),
        ("health", True),
        ("yearBuilt", 1999.5),
        ("writable", 1),
        ("description", 7),
        ("anything", math.inf),
        ("anything", math.nan),
        ("anything", [1, {"a": [math.nan]}]),
        ("anything", 2**63),
        ("anything", {1: 2}),
        ("anything", (1, 2)),
        ("anything", "half a pair: \ud800"),
    ],
    ids=repr,
)
def test_value_type(twin, iris, name, value):
    assert refusal(twin, state(iris, name, value)).code == "VALUE_TYPE"


def test_value_too_deep(twin, iris):
    deep = []
    for _ in range(100):
        deep = [deep]
    assert refusal(twin, state(iris, "anything", deep)).code == "VALUE_TYPE"


@pytest.mark.parametrize(
    ("name", "value", "unit"),
    [
        ("health", 1.01, None),
        ("health", -0.01, None),
        ("timeToRepair", -1, None),
        ("valueType", "colour", None),
        ("latitude", 90.5, "deg"),
        ("latitude", 2, "rad"),
    ],
)
def test_value_range(twin, iris, name, value, unit):
    problem = refusal(twin, state(iris, name, value, unit))
    assert problem.code == "VALUE_RANGE"
    assert problem.hint


def test_a_range_is_checked_in_the_unit_of_the_attribute(twin, iris):
    twin.apply(state(iris, "latitude", 1.5, "rad"))
    assert twin.snapshot().attributes(0)["latitude"] == Value(1.5, "rad"), "kept as stated"


def test_unit_unknown(twin, iris):
    problem = refusal(twin, state(iris, "ratedPower", 3, "killowatt"))
    assert (problem.code, "ratedPower" in problem.message) == ("UNIT_UNKNOWN", True)
    assert refusal(twin, state(iris, "undeclared", 3, "killowatt")).code == "UNIT_UNKNOWN"


def test_unit_mismatch(twin, iris):
    problem = refusal(twin, state(iris, "ratedPower", 3, "m"))
    assert (problem.code, "kW" in (problem.hint or "")) == ("UNIT_MISMATCH", True)
    twin.apply(state(iris, "ratedPower", 3, "W"))


def test_end_missing(twin, iris):
    problem = refusal(twin, Change(put_relationships=(link(iris, iris.feeds, iris.x, twin.base + "gone"),)))
    assert problem.code == "END_MISSING"
    assert twin.base + "gone" in problem.message


def test_an_end_that_the_same_change_removes_is_missing(twin, iris):
    change = Change(remove_twins=(iris.y,), put_relationships=(link(iris, iris.feeds, iris.x, iris.y),))
    assert refusal(twin, change).code == "END_MISSING"


def test_end_kind_is_strict_for_own_relations_only(twin, iris):
    problem = refusal(twin, Change(put_relationships=(link(iris, iris.point_of, iris.x, iris.y),)))
    assert (problem.code, "tm:Point" in problem.message) == ("END_KIND", True)
    brick = twin.schema.relation("brick:isPointOf").iri
    twin.apply(Change(put_relationships=(link(iris, brick, iris.x, iris.y),)))


def test_a_placeholder_kind_may_stand_at_any_end(twin, iris):
    kind = KindRecord("urn:x:Strange", "ex:Strange", placeholder=True)
    strange = TwinRecord(twin.base + "s", (kind.iri,))
    relationship = link(iris, iris.point_of, strange.id, iris.y)
    twin.apply(Change(put_kinds=(kind,), put_twins=(strange,), put_relationships=(relationship,)))
    assert twin.snapshot().edge_count == 1


def test_part_of_cycle_names_its_twins(twin, iris):
    twin.apply(Change(put_relationships=(link(iris, iris.part_of, iris.x, iris.y),)))
    change = Change(
        put_relationships=(
            link(iris, iris.part_of, iris.y, iris.z),
            link(iris, twin.schema.relation("brick:isPartOf").iri, iris.z, iris.x),
        )
    )
    problem = refusal(twin, change)
    assert problem.code == "PART_OF_CYCLE"
    assert all(iri in problem.message for iri in (iris.x, iris.y, iris.z))


def test_a_twin_is_no_part_of_itself(twin, iris):
    problem = refusal(twin, Change(put_relationships=(link(iris, iris.part_of, iris.x, iris.x),)))
    assert problem.code == "PART_OF_CYCLE"


def test_a_cycle_may_be_turned_round_in_one_change(twin, iris):
    twin.apply(Change(put_relationships=(link(iris, iris.part_of, iris.x, iris.y),)))
    old = twin.snapshot().edge_id(0)
    back = link(iris, iris.part_of, iris.y, iris.x)
    assert twin.apply(Change(remove_relationships=(old,), put_relationships=(back,))).revision == 3


def test_two_ways_up_are_no_cycle(twin, iris):
    links = [(iris.x, iris.y), (iris.x, iris.z), (iris.y, iris.z)]
    twin.apply(Change(put_relationships=tuple(link(iris, iris.part_of, *ends) for ends in links)))
    assert twin.snapshot().edge_count == 3


def test_a_long_chain_of_parts_needs_no_recursion(twin, iris):
    ids = [f"{twin.base}p{number}" for number in range(5000)]
    twins = tuple(TwinRecord(iri, (iris.ahu,)) for iri in ids)
    chain = tuple(link(iris, iris.part_of, *ends) for ends in pairwise(ids))
    twin.apply(Change(put_twins=twins, put_relationships=chain))
    closing = Change(put_relationships=(link(iris, iris.part_of, ids[-1], ids[0]),))
    assert refusal(twin, closing).code == "PART_OF_CYCLE"


@pytest.mark.parametrize(
    "text",
    ["weibull(2)", "weibull(0,5)", "exponential()", "gauss(1,2)", "uniform(5,1)", "lognormal(1,nan)", "soon"],
)
def test_distribution_invalid(twin, iris, text):
    problem = refusal(twin, state(iris, "timeToRepair", text))
    assert problem.code == "DISTRIBUTION_INVALID"
    assert "weibull(shape,scale)" in (problem.hint or "")


@pytest.mark.parametrize("text", ["exponential(4)", "weibull(2, 500)", "lognormal(3,0)", "uniform(0,0)"])
def test_distributions_that_are_one(text):
    assert distribution_problem(text) is None


def test_group_disagrees_within_a_change(twin, iris):
    links = (link(iris, iris.feeds, iris.x, iris.z, need=1), link(iris, iris.feeds, iris.y, iris.z, need=2))
    problem = refusal(twin, Change(put_relationships=links))
    assert problem.code == "GROUP_DISAGREES"
    assert "need" in problem.message


def test_group_disagrees_with_what_is_there(twin, iris):
    twin.apply(Change(put_relationships=(link(iris, iris.feeds, iris.x, iris.z, bufferHours=1),)))
    problem = refusal(
        twin, Change(put_relationships=(link(iris, iris.feeds, iris.y, iris.z, bufferHours=2),))
    )
    assert problem.code == "GROUP_DISAGREES"
    assert twin.snapshot().edge_id(0) in problem.message


def test_group_rows_may_leave_empty_what_another_says(twin, iris):
    links = (link(iris, iris.feeds, iris.x, iris.z, need=1), link(iris, iris.feeds, iris.y, iris.z))
    twin.apply(Change(put_relationships=links))
    assert twin.snapshot().edge_count == 2


def test_rows_of_different_groups_need_not_agree(twin, iris):
    first = RelationshipRecord(iris.x, iris.feeds, iris.z, "air", attributes={"need": Value(1)})
    second = RelationshipRecord(iris.y, iris.feeds, iris.z, "water", attributes={"need": Value(2)})
    other = link(iris, iris.supplies, iris.y, iris.z, need=3)
    stated = link(iris, iris.feeds, iris.x, iris.z, need=4, medium="steam")
    twin.apply(Change(put_relationships=(first, second, other, stated)))
    assert twin.snapshot().edge_count == 4


def test_a_group_may_change_as_a_whole(twin, iris):
    def both(need):
        ends = ((iris.x, iris.z), (iris.y, iris.z))
        return Change(put_relationships=tuple(link(iris, iris.feeds, *pair, need=need) for pair in ends))

    assert [twin.apply(both(need)).revision for need in (1, 2)] == [2, 3]


def test_depends_on_groups_by_its_source(twin, iris):
    depends = twin.schema.relation("dependsOn").iri
    links = (link(iris, depends, iris.x, iris.y, need=1), link(iris, depends, iris.x, iris.z, need=2))
    assert refusal(twin, Change(put_relationships=links)).code == "GROUP_DISAGREES"
    links = (link(iris, depends, iris.x, iris.z, need=1), link(iris, depends, iris.y, iris.z, need=2))
    twin.apply(Change(put_relationships=links))


def test_delay_on_founded(twin, iris):
    problem = refusal(twin, Change(put_relationships=(link(iris, iris.feeds, iris.x, iris.y, delayHours=1),)))
    assert problem.code == "DELAY_ON_FOUNDED"
    twin.apply(Change(put_relationships=(link(iris, iris.supplies, iris.x, iris.y, delayHours=1),)))


def test_duplicate_id(twin, iris):
    again = (TwinRecord(iris.x, (iris.ahu,)), TwinRecord(iris.x, (iris.ahu,)))
    assert refusal(twin, Change(put_twins=again)).code == "DUPLICATE_ID"
    assert refusal(twin, Change(put_twins=(again[0],), remove_twins=(iris.x,))).code == "DUPLICATE_ID"
    links = (link(iris, iris.feeds, iris.x, iris.y), link(iris, iris.feeds, iris.x, iris.y, weight=2))
    assert refusal(twin, Change(put_relationships=links)).code == "DUPLICATE_ID"


def test_every_violation_is_reported(twin, iris):
    attributes = {"health": Value(2), "ratedPower": Value("much"), "ratedPowre": Value(1)}
    change = Change(
        merge_twins=(TwinRecord(iris.x, attributes=attributes),),
        put_relationships=(link(iris, iris.feeds, iris.x, twin.base + "gone"),),
    )
    with pytest.raises(ChangeError) as caught:
        twin.apply(change)
    codes = sorted(problem.code for problem in caught.value.problems)
    assert codes == ["ATTRIBUTE_UNKNOWN", "END_MISSING", "VALUE_RANGE", "VALUE_TYPE"]


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("ratedPowr", "ratedPower", True),
        ("ratedPowre", "ratedPower", True),
        ("rated_power", "ratedPower", True),
        ("RATEDPOWER", "ratedPower", True),
        ("ratedPowerMax", "ratedPower", False),
        ("rotedPwor", "ratedPower", False),
    ],
)
def test_near_names(name, known, expected):
    assert is_near(name, known) is expected
