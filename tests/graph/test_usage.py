"""What the data uses: found page by page, equal to a look at every twin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.attributes import Tag
from graph.mesh import Mesh
from graph.snapshot import Snapshot
from graph.usage import AttributeUse, InUse, Usage, _Seen
from graph.values import Change, TwinRecord, Value
from ontology.schema import load_schema
from ontology.units import load_units

SCHEMA, UNITS = load_schema(), load_units()
KINDS = [SCHEMA.kind(name).iri for name in ("brick:AHU", "brick:VAV", "rec:Room", "brick:Temperature_Sensor")]
TAGS = {int: Tag.INTEGER, float: Tag.NUMBER, bool: Tag.BOOLEAN, str: Tag.TEXT, list: Tag.JSON}


def looked_at(snapshot: Snapshot) -> InUse:
    """The same by looking at one twin after the other, kinds and attributes of the moment."""
    sets: set[tuple[int, ...]] = set()
    kinds: dict[str, set[int]] = {}
    tags: dict[str, set[Tag]] = {}
    for row in snapshot.alive.nonzero()[0].tolist():
        sets.add(snapshot.kinds(row))
        for name, value in snapshot.attributes(row).items():
            kinds.setdefault(name, set()).update(snapshot.kinds(row))
            tags.setdefault(name, set()).add(TAGS[type(value.value)])
    names = sorted(kinds)
    return InUse(
        frozenset(sets),
        tuple(AttributeUse(name, frozenset(kinds[name]), frozenset(tags[name])) for name in names),
    )


def record(number: int, kinds: tuple[str, ...], **attributes: Any) -> TwinRecord:
    values = {name: Value(value) for name, value in attributes.items()}
    return TwinRecord(f"https://twinmesh.invalid/s/{number}", kinds, attributes=values)


@pytest.fixture
def mesh(tmp_path: Path):
    with Mesh.open(tmp_path / "data", SCHEMA, units=UNITS) as opened:
        yield opened


def test_kinds_and_attributes_of_several_sites(mesh: Mesh) -> None:
    one, other = mesh.create_site("one"), mesh.create_site("other")
    one.apply(
        Change(put_twins=(record(1, (KINDS[0], KINDS[2]), mass=1), record(2, (KINDS[1],), mass="much")))
    )
    other.apply(Change(put_twins=(record(3, (KINDS[2],), mass=1.5, flat=True),)))
    found = Usage().of(mesh.snapshot())
    assert found == looked_at(mesh.snapshot())
    ahu, vav, room = (SCHEMA.kind_by_iri(iri).index for iri in KINDS[:3])
    assert found.kind_sets == {(ahu, room), (vav,), (room,)}
    mass = next(item for item in found.attributes if item.name == "mass")
    assert mass.kinds == {ahu, vav, room}
    assert mass.tags == {Tag.INTEGER, Tag.NUMBER, Tag.TEXT}


def test_what_was_seen_stays_while_its_kind_is_in_use(mesh: Mesh) -> None:
    site, usage = mesh.create_site("s"), Usage()
    site.apply(
        Change(put_twins=(record(1, (KINDS[0],), mass=1), record(2, (KINDS[0],)), record(3, (KINDS[1],))))
    )
    before = usage.of(mesh.snapshot())
    site.apply(Change(merge_twins=(record(1, (), mass=None),)))
    assert usage.of(mesh.snapshot()) == before
    site.apply(Change(remove_twins=tuple(record(number, ()).id for number in (1, 2))))
    after = usage.of(mesh.snapshot())
    assert after == looked_at(mesh.snapshot())
    assert after.attributes == ()


def test_only_pages_that_changed_are_looked_at(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    site, usage = mesh.create_site("s"), Usage()
    site.apply(Change(put_twins=tuple(record(number, (KINDS[0],), mass=number) for number in range(5_000))))
    usage.of(mesh.snapshot())
    # The first write after a snapshot makes room, and moves all pages once.
    site.apply(Change(merge_twins=(record(1, (), mass=2),)))
    usage.of(mesh.snapshot())
    sizes: list[int] = []
    add = _Seen._add

    def counted(self: _Seen, tags: Any, codes: Any) -> None:
        sizes.append(tags.size)
        add(self, tags, codes)

    monkeypatch.setattr(_Seen, "_add", counted)
    usage.of(mesh.snapshot())
    assert sizes == []
    site.apply(Change(merge_twins=(record(4_000, (), mass="heavy"),)))
    found = usage.of(mesh.snapshot())
    assert sizes == [1024]
    assert found == looked_at(mesh.snapshot())
    site.apply(Change(put_twins=(record(9_999, (KINDS[1],)),)))
    assert usage.of(mesh.snapshot()).kind_sets == looked_at(mesh.snapshot()).kind_sets


_changes = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 2_100),
            st.lists(st.sampled_from(KINDS), min_size=1, max_size=2, unique=True).map(tuple),
            st.dictionaries(
                st.sampled_from(["mass", "flat"]),
                st.sampled_from([1, 1.5, True, "text", [1]]),
                max_size=2,
            ),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda each: each[0],
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(changes=_changes)
def test_equal_to_a_look_at_every_twin(changes: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    with Mesh.open(tmp_path_factory.mktemp("usage") / "data", SCHEMA, units=UNITS) as mesh:
        site, followed = mesh.create_site("s"), Usage()
        site.apply(Change(put_twins=tuple(record(number, (KINDS[3],)) for number in range(2_050))))
        for items in changes:
            alive = mesh.snapshot()
            puts = [record(number, kinds, **given) for number, kinds, given, removes in items if not removes]
            gone = [record(number, ()).id for number, *_, removes in items if removes]
            removed = tuple(iri for iri in gone if alive.row(iri) >= 0)
            site.apply(Change(put_twins=tuple(puts), remove_twins=removed))
            snapshot = mesh.snapshot()
            wanted = looked_at(snapshot)
            # One that begins now cannot know of kinds that a row had before.
            assert Usage().of(snapshot) == wanted
            found = followed.of(snapshot)
            assert found.kind_sets == wanted.kind_sets
            by_name = {item.name: item for item in found.attributes}
            for item in wanted.attributes:
                assert by_name[item.name].kinds >= item.kinds
                assert by_name[item.name].tags >= item.tags
