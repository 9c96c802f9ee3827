"""The short way of small writes comes to what the long way comes to, whatever the change."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph import drafting
from graph.drafting import draft_change
from graph.single import draft_values
from graph.values import Change, ExternalId, TwinRecord, Value
from ontology.errors import ChangeError

NAMES = ["n0", "n1", "gone", "never"]
values = st.builds(
    Value,
    st.sampled_from([None, 1, 1.0, True, "a", "", 0.5, -3, "weibull(2,3)", [1], "\ud800"]),
    st.sampled_from([None, "kW", "furlong"]),
    st.sampled_from([None, "csv"]),
)
attributes = st.dictionaries(st.sampled_from(["health", "helth", "x1", "ratedPower", ""]), values, max_size=3)
rarely = st.sampled_from([False] * 9 + [True])


@st.composite
def changes(draw):
    """Merges of one twin for the most part, with now and then something that asks for the long way."""
    record = TwinRecord(
        f"https://campus.example/{draw(st.sampled_from(NAMES))}",
        kinds=("https://brickschema.org/schema/Brick#AHU",) if draw(rarely) else (),
        name=draw(st.sampled_from(["", "new"])) if draw(rarely) else None,
        origin=draw(st.sampled_from(["", "csv"])) if draw(rarely) else None,
        local_id="" if draw(rarely) else None,
        attributes=draw(attributes),
        external_ids=(ExternalId("ifc", "1"),) if draw(rarely) else (),
    )
    put = draw(rarely)
    return Change(
        put_twins=(record,) if put else (),
        merge_twins=() if put else (record,) * (2 if draw(rarely) else 1),
        remove_twins=(record.id,) if draw(rarely) else (),
        idempotency_key=draw(st.sampled_from([None, "key"])),
        expected_revision=draw(st.sampled_from([None, 1])),
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory, schema, units):
    from graph.twin import Twin

    twin = Twin.open(
        tmp_path_factory.mktemp("single") / "campus",
        schema,
        site="campus",
        base="https://campus.example/",
        units=units,
    )
    kind = schema.kind("AHU").iri
    known = {"health": Value(0.5, origin="csv"), "x1": Value(1)}
    records = tuple(TwinRecord(f"{twin.base}{name}", (kind,), attributes=known) for name in NAMES[:3])
    twin.apply(Change(put_twins=records))
    twin.apply(Change(remove_twins=(f"{twin.base}gone",)))
    yield twin
    twin.close()


def outcome(draft, *asked):
    """All that a draft says, or the problems it was refused with."""
    try:
        made = draft(*asked)
    except ChangeError as error:
        return [(problem.code, str(problem)) for problem in error.problems]
    twins = [(t.row, t.iri, t.living, t.values, t.status, t.changed) for t in made.twins]
    rest = {f.name: getattr(made, f.name) for f in fields(made) if f.name not in ("twins", "schema")}
    return twins, rest


def long_way(*asked):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drafting, "draft_values", lambda *_: None)
        return draft_change(*asked)


@settings(max_examples=400, deadline=None)
@given(change=changes())
def test_the_short_way_equals_the_long_one(site, change):
    state, checker = site._writer.state, site._writer._checker
    for check in (checker, None) if not _is_wrong(state, change, checker) else (checker,):
        assert outcome(draft_change, state, change, check) == outcome(long_way, state, change, check)


def _is_wrong(state, change, checker):
    return isinstance(outcome(long_way, state, change, checker), list)


def test_the_usual_write_takes_the_short_way(site):
    record = TwinRecord(f"{site.base}n0", attributes={"x1": Value(7)})
    found = draft_values(site._writer.state, Change(merge_twins=(record,)), site._writer._checker)
    assert found is not None
    assert [draft.values for draft in found.twins] == [{"x1": Value(7)}]
