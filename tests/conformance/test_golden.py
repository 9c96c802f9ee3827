"""Data folders of every format there ever was still open, and tell what they told when they were made."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from golden_listing import content_listing, digests, site_listing
from golden_recipe import CAMPUS, campus_changes, other_work, plant_changes

from adapters.exporting import export_document
from graph.mesh import Mesh
from graph.values import Change
from ontology.errors import ConflictError
from ontology.schema import load_schema
from ontology.units import load_units

GOLDEN = Path(__file__).parent / "golden"
FORMATS = sorted(path.name for path in GOLDEN.iterdir())
SIZE_BYTES_MAX = 300_000


@pytest.fixture(scope="module")
def schema():
    return load_schema()


@pytest.fixture(scope="module")
def units():
    return load_units()


@pytest.fixture(params=FORMATS)
def golden(request, tmp_path):
    """A copy of the folder and what is expected of it."""
    shutil.copytree(GOLDEN / request.param / "data", tmp_path / "data")
    expected = json.loads((GOLDEN / request.param / "expected.json").read_text(encoding="utf-8"))
    return tmp_path / "data", expected, GOLDEN / request.param


def test_there_is_one_of_each_format():
    assert FORMATS[0] == "format-1"
    assert all(path.stat().st_size < SIZE_BYTES_MAX for path in GOLDEN.rglob("*"))


def plain(listing):
    return json.loads(json.dumps(listing))


def test_it_tells_all_that_it_told(golden, schema, units):
    folder, expected, _ = golden
    with Mesh.open(folder, schema, units=units) as mesh:
        assert mesh.sites == ("campus", "plant")
        for site in mesh.sites:
            twin = mesh.twin(site)
            told = plain(site_listing(twin))
            for name, value in expected[site].items():
                assert told[name] == value, f"{site}: {name}"
            assert content_listing(twin.snapshot()) == expected["content"][site]
            assert twin.verify() == []
            assert digests(twin) == expected["digests"][site]


def without_derived_ids(document):
    """Lines of an export; derived ids of relationships changed their form with format 2, and the order."""
    return sorted(re.sub(rb"/rel/[0-9a-f]{32,}", b"/rel/", document).splitlines())


def test_its_exports_are_the_same(golden, schema, units):
    folder, _, place = golden
    with Mesh.open(folder, schema, units=units) as mesh:
        for path in sorted(place.glob("export.*")):
            made, kept = export_document(mesh, path.suffix[1:]), path.read_bytes()
            if place.name == "format-1":
                made, kept = without_derived_ids(made), without_derived_ids(kept)
            assert made == kept, path.name


def test_its_past_is_still_there(golden, schema, units):
    folder, expected, _ = golden
    with Mesh.open(folder, schema, units=units) as mesh:
        twin = mesh.twin("campus")
        sizes = [
            int(twin.snapshot_at(revision=each[0]).alive.sum()) for each in expected["campus"]["commits"]
        ]
        assert sizes[0] == 10
        assert sizes[-1] == len(expected["campus"]["twins"])
        third = expected["campus"]["commits"][2]
        assert twin.snapshot_at(time_ns=third[1]).revision == third[0]


def test_what_was_answered_is_answered_again(golden, schema, units):
    folder, expected, _ = golden
    with Mesh.open(folder, schema, units=units) as mesh:
        changes = [("campus", each) for each in campus_changes()] + [
            ("plant", each) for each in plant_changes()
        ]
        keyed = [(mesh.twin(site), change) for site, change in changes if change.idempotency_key]
        assert {change.idempotency_key for _, change in keyed} == set(expected["answers"])
        for twin, change in keyed:
            before = twin.snapshot().revision
            applied = twin.apply(change)
            answer = expected["answers"][change.idempotency_key]
            items = [[item.id, str(item.status), item.code, item.message] for item in applied.items]
            assert applied.replayed
            assert {"revision": applied.revision, "items": items} == answer
            with pytest.raises(ConflictError):
                twin.apply(other_work(change))
            assert twin.snapshot().revision == before


def test_it_can_be_written_on(golden, schema, units):
    """New changes stand on old rows: relationships are found by key, removed twins revive, and it reopens."""
    folder, expected, _ = golden
    first = next(campus_changes())
    with Mesh.open(folder, schema, units=units) as mesh:
        twin = mesh.twin("campus")
        revision = twin.snapshot().revision
        applied = twin.apply(
            replace(first, put_twins=tuple(r for r in first.put_twins if r.id.endswith("old")))
        )
        assert applied.revision == revision + 1
        assert twin.apply(Change(remove_twins=(f"{CAMPUS}old",))).revision == revision + 2
        after = site_listing(twin)["twins"]
    with Mesh.open(folder, schema, units=units) as mesh:
        twin = mesh.twin("campus")
        assert twin.verify() == []
        assert site_listing(twin)["twins"] == after
        assert plain(after) == expected["campus"]["twins"]
