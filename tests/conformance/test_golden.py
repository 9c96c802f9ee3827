"""Data folders of every format there ever was still open, and tell what they told when they were made."""

from __future__ import annotations

import json
import lzma
import re
import shutil
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from golden_bulk import bulk_changes
from golden_listing import applied_listing, content_listing, digests, site_listing
from golden_recipe import CAMPUS, campus_changes, other_work, plant_changes

from adapters.exporting import export_document
from graph.mesh import Mesh
from graph.stores.layout import FORMAT_VERSION
from graph.values import Change
from graph.verifying import verify_folder
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
    place = GOLDEN / request.param
    if (place / "data").is_dir():
        shutil.copytree(place / "data", tmp_path / "data")
    else:
        with tarfile.open(place / "data.tar.xz") as packed:
            packed.extractall(tmp_path / "data", filter="data")
    return tmp_path / "data", json.loads(read(place / "expected.json")), place


def read(path):
    """A file of a golden folder, packed or not."""
    return path.read_bytes() if path.exists() else lzma.decompress(Path(f"{path}.xz").read_bytes())


def test_there_is_one_of_each_format():
    assert [f"format-{number}" for number in range(1, FORMAT_VERSION + 1)] == FORMATS
    for place in GOLDEN.iterdir():
        assert sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) < SIZE_BYTES_MAX


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
        for format in ("csv", "graphml", "nq"):
            made, kept = export_document(mesh, format), read(place / f"export.{format}")
            if place.name == "format-1":
                made, kept = without_derived_ids(made), without_derived_ids(kept)
            assert made == kept, format


def test_verify_finds_it_sound(golden, schema):
    """Every byte of what was closed, every record of what a crash left, checkpoints cell by cell."""
    folder, expected, place = golden
    report = verify_folder(folder, schema)
    assert report.sound, report
    for site in report.sites:
        assert site.format == int(place.name.removeprefix("format-"))
        assert site.hash == expected["content"][site.site]["hash"]
        assert site.digest == expected["digests"][site.site][-1]
    if place.name != "format-1":
        campus = report.sites[0]
        assert campus.gaps == []
        assert f"the checkpoint at commit {campus.revision}, cell by cell" in campus.checked


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
        changes = [("campus", each) for each in (*campus_changes(), *bulk_changes())]
        changes += [("plant", each) for each in plant_changes()]
        answers = expected["answers"]
        keyed = [(mesh.twin(site), each) for site, each in changes if each.idempotency_key in answers]
        assert {change.idempotency_key for _, change in keyed} == set(answers)
        for twin, change in keyed:
            before = twin.snapshot().revision
            applied = twin.apply(change)
            told = applied_listing(applied)
            assert applied.replayed
            answer = answers[change.idempotency_key]
            assert {name: told[name] for name in answer} == answer
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
