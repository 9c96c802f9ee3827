"""Search against an oracle that reads every text, while twins come, change and go."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph.pools import Pools
from graph.searching import run_search
from graph.snapshot import Snapshot
from graph.twin import Twin
from graph.union import union
from graph.values import Change, ExternalId, TwinRecord
from graph.view import Budget, View
from ontology.schema import Schema
from ontology.units import Units

QUIETLY = settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LONG = "temperaturmessstelle"
PIECES = (
    "ahu",
    "AHU",
    "3",
    "30",
    "Air",
    "air",
    "straße",
    "STRASSE",
    "Ö",
    "ﬁn",
    "_",
    "-",
    " ",
    ".",
    LONG,
    "n",
)
LOCAL_IDS = ("ahu-3", "AHU-3", "air%20side", "x.y", "air_3", "A%C3%96", "a/b", "ahu", "3", "-", "te", LONG)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)
FILLED = TEXTS.filter(lambda text: bool(text.strip()))
ASKED = st.one_of(
    TEXTS, st.sampled_from(("a", "te", LONG[:9], LONG[:17], "ahu 3", "AHU-3", "ahu-3", "", "!", "ss"))
)
NUMBERS = st.integers(0, len(LOCAL_IDS) - 1)
PUT = st.tuples(NUMBERS, st.none() | TEXTS, st.none() | FILLED, st.lists(FILLED, max_size=2))
STEPS = st.lists(st.one_of(PUT, NUMBERS), max_size=6)


def iri(site: str, number: int) -> str:
    return f"https://twinmesh.invalid/{site}/{LOCAL_IDS[number]}"


def changes(site: str, kinds: tuple[str, str], steps: Iterable[Any]) -> Iterable[Change]:
    there: set[int] = set()
    for step in steps:
        if isinstance(step, int):
            if step in there:
                there.remove(step)
                yield Change(remove_twins=(iri(site, step),))
        else:
            number, name, local, outside = step
            there.add(number)
            own = tuple(ExternalId(f"s{place}", one) for place, one in enumerate(outside))
            kind = kinds[1] if number % 2 else kinds[0]
            record = TwinRecord(iri(site, number), (kind,), name, local, external_ids=own)
            yield Change(put_twins=(record,))


def words_of(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def search_slowly(view: View, text: str, kind: str | None) -> list[str]:
    snapshot = view.snapshot
    words, whole = words_of(text), text.strip()
    typed = {row for one in (whole, whole.upper(), whole.lower()) for row in view.candidates(one)}
    found: list[tuple[int, str]] = []
    for row in view.rows_of_kind(None if kind is None else snapshot.schema.kind(kind)).tolist():
        name, outside = snapshot.name(row) or "", [one.id for one in snapshot.external_ids(row)]
        own = words_of("\n".join((name, snapshot.local_id(row), *outside)))
        is_exact = row in typed or whole in outside
        if is_exact or (words and all(any(one.startswith(word) for one in own) for word in words)):
            found.append((grade(name.casefold(), whole.casefold(), is_exact=is_exact), snapshot.id(row)))
    return [one for _, one in sorted(found)]


def grade(name: str, whole: str, *, is_exact: bool) -> int:
    if is_exact or (whole and name == whole):
        return 0
    return 1 if whole and name.startswith(whole) else 2


def check(snapshot: Snapshot, units: Units, asked: list[str]) -> None:
    narrow = snapshot.alive.copy()
    narrow[::3] = False
    for visible in (None, narrow):
        for text in asked:
            for kind in (None, "brick:AHU"):
                view = View(snapshot, units, Budget(nodes_max=10**6, wall_s=600), visible)
                expected = search_slowly(view, text, kind)
                rows, total = run_search(view, text, kind, 4)
                assert (snapshot.ids(rows), total) == (expected[:4], len(expected)), text


@pytest.fixture
def kinds(schema: Schema) -> tuple[str, str]:
    return schema.kind("brick:AHU").iri, schema.kind("rec:Room").iri


@QUIETLY
@given(STEPS, STEPS, st.lists(ASKED, min_size=1, max_size=6))
def test_search_equals_the_oracle(
    tmp_path_factory: pytest.TempPathFactory,
    schema: Schema,
    units: Units,
    kinds: tuple[str, str],
    steps: list[Any],
    more: list[Any],
    asked: list[str],
) -> None:
    folder = tmp_path_factory.mktemp("search") / "s"
    with pytest.MonkeyPatch.context() as patch, Twin.open(folder, schema, site="s", units=units) as twin:
        patch.setattr("graph.word_index._CHANGED_MIN", 2)
        snapshots = [twin.snapshot()]
        for change in changes("s", kinds, (*steps, *more)):
            twin.apply(change)
            snapshots.append(twin.snapshot())
            check(snapshots[-1], units, asked)
        for snapshot in snapshots[::-1]:  # old snapshots give what they gave
            check(snapshot, units, asked[:1])
        patch.setattr("graph.word_index.ROWS_MAX", -1)
        check(snapshots[-1], units, asked)


@QUIETLY
@given(STEPS, STEPS, st.lists(ASKED, min_size=1, max_size=6))
def test_search_in_several_sites_equals_the_oracle(
    tmp_path_factory: pytest.TempPathFactory,
    schema: Schema,
    units: Units,
    kinds: tuple[str, str],
    steps: list[Any],
    more: list[Any],
    asked: list[str],
) -> None:
    folder = tmp_path_factory.mktemp("search")
    pools = Pools()
    parts: list[Snapshot] = []
    for site, own in (("one", steps), ("two", more)):
        with Twin.open(folder / site, schema, site=site, units=units, pools=pools) as twin:
            for change in changes(site, kinds, own):
                twin.apply(change)
            parts.append(twin.snapshot())
    check(union(parts), units, asked)
