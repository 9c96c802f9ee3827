"""Imports as one change: all or nothing, sources that meet, ends in other sites, what the report tells."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from graph.values import Change, TwinRecord, Value
from ontology.errors import ConflictError, UsageError

sys.path.append(str(Path(__file__).parent))
from import_helpers import BASE, PREFIXES, Place, codes

if TYPE_CHECKING:
    from collections.abc import Iterator

TWINS = "id,kind,name\nA,brick:AHU,Air\nB,brick:VAV,\n"
LINKS = "source,relation,target,weight\nA,brick:feeds,B,2\n"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


def counts(place_report: object) -> list[tuple[int, int, int, int]]:
    files = place_report.files  # type: ignore[attr-defined]
    return [(file.created, file.updated, file.unchanged, file.missing) for file in files]


def test_files_come_in_any_order_and_again(place: Place) -> None:
    first = place.take(links_csv=LINKS, twins_csv=TWINS)
    assert (first.ok, first.applied, first.revision, counts(first)) == (
        True,
        True,
        1,
        [(1, 0, 0, 0), (2, 0, 0, 0)],
    )
    again = place.take(links_csv=LINKS, twins_csv=TWINS)
    assert (again.revision, counts(again)) == (1, [(0, 0, 1, 0), (0, 0, 2, 0)])
    changed = place.take(twins_csv=TWINS.replace("Air", "Other air"))
    assert (changed.revision, counts(changed)) == (2, [(0, 1, 1, 0)])
    (edge,) = place.relationships()
    assert (edge.source, edge.target, edge.origin) == (BASE + "A", BASE + "B", "links")


def test_the_report_as_json(place: Place) -> None:
    report = place.take(twins_csv="id,kind\nA,brick:AHUU\nB,brick:VAV,1\n")
    document = json.loads(json.dumps(report.to_json()))
    (file,) = document["files"]
    assert set(file) >= {
        "path",
        "format",
        "source",
        "created",
        "updated",
        "unchanged",
        "missing",
        "warnings",
        "errors",
    }
    assert (file["format"], file["source"], file["created"]) == ("csv", "twins", 0)
    assert [(e["code"], e["line"]) for e in file["errors"]] == [("CSV_CELLS", 3), ("KIND_UNKNOWN", 2)]
    assert set(file["errors"][0]) >= {"code", "message", "line", "item", "hint"}
    assert document["applied"] is False


def test_what_is_missing_is_kept_or_replaced(place: Place) -> None:
    text = PREFIXES + "<A> a brick:AHU ; brick:feeds <B> ; ex:many 1 , 2 . <B> a brick:VAV ; ex:many 3 , 4 ."
    assert place.take(model_ttl=text).ok
    shorter = PREFIXES + "<A> a brick:AHU ; ex:many 1 , 5 ."
    kept = place.take(model_ttl=shorter)
    assert counts(kept) == [(0, 0, 1, 2)]
    assert place.twins() == {"A", "B"}
    many = {line.split(" ")[2][1] for line in place.export("nq").decode().splitlines() if "#many" in line}
    assert many == {"1", "5", "3", "4"}  # what the file says of A now, what it said of B
    replaced = place.load(place.write("model.ttl", shorter), replace=True)
    assert (counts(replaced), replaced.removed) == ([(0, 0, 1, 2)], 2)
    assert place.twins() == {"A"}
    assert place.relationships() == []
    assert b'"3"' not in place.export("nq")


def test_replace_takes_only_what_the_source_stated(place: Place) -> None:
    assert place.take(
        a_csv="id,kind,colour\nX,tm:Asset,red\n", b_csv="id,kind,size\nX,tm:Asset,5\nY,tm:Asset,6\n"
    ).ok
    assert place.load(place.write("b.csv", "id,kind,size\nZ,tm:Asset,1\n"), replace=True).ok
    assert place.twins() == {"X", "Z"}
    assert {name: value.origin for name, value in place.twin("X").attributes.items()} == {"colour": "a"}


def test_sources_merge_and_conflicts_name_both(place: Place) -> None:
    assert place.take(ifc_csv="id,kind,name,ratedPower [kW]\nA,brick:AHU,Air,5\n").ok
    merged = place.take(more_ttl=PREFIXES + '<A> a brick:Equipment ; rdfs:label "Luft" ; tm:health 0.9 .')
    assert merged.ok
    record = place.twin("A")
    assert {name: value.origin for name, value in record.attributes.items()} == {
        "ratedPower": "ifc",
        "health": "more",
    }
    assert (record.name, len(record.kinds)) == ("Air", 2)
    assert b'"Luft"' in place.export("nq")  # the first name stays, the other is kept as a line
    conflict = place.take(third_csv="id,kind,health\nA,brick:AHU,0.5\n")
    assert codes(conflict) == ["ATTRIBUTE_CONFLICT"]
    assert "'more'" in conflict.errors[0].message
    assert "'third'" in conflict.errors[0].message
    assert conflict.errors[0].place.line == 2


def test_three_sources_state_one_twin_and_one_relationship_in_one_import(place: Place) -> None:
    files = {
        "a_csv": "id,kind,colour\nA,brick:AHU,red\nB,brick:VAV,blue\n",
        "b_ttl": PREFIXES + "<A> a brick:AHU ; tm:health 0.9 ; brick:feeds <B> .",
        "c_csv": "id,kind,size\nA,brick:AHU,5\n",
        "d_csv": LINKS,
        "e_csv": "source,relation,target,need\nA,brick:feeds,B,2\n",
    }
    report = place.take(**files)
    assert (report.ok, counts(report)) == (
        True,
        [(2, 0, 0, 0), (1, 1, 0, 0), (0, 1, 0, 0), (0, 1, 0, 0), (0, 1, 0, 0)],
    )
    row = place.snapshot().find("A")
    assert place.snapshot().origins(row) == ("a", "b", "c")
    (edge,) = place.relationships()
    assert {name: value.origin for name, value in edge.attributes.items()} == {"weight": "d", "need": "e"}
    assert all(file.unchanged and not file.updated for file in place.take(**files).files)
    clash = dict(files, e_csv="source,relation,target,weight\nA,brick:feeds,B,3\n")
    assert codes(place.take(**clash)) == ["ATTRIBUTE_CONFLICT"]


def test_what_users_set_stays(place: Place) -> None:
    assert place.take(a_csv="id,kind,size\nA,tm:Asset,5\n").ok
    place.mesh.twin("plant").apply(
        Change(merge_twins=(TwinRecord(BASE + "A", attributes={"size": Value(7)}),))
    )
    report = place.take(a_csv="id,kind,size\nA,tm:Asset,6\n")
    assert [problem.code for problem in report.warnings] == ["ATTRIBUTE_OVERRIDDEN"]
    assert place.twin("A").attributes["size"].value == 7


def test_two_files_of_one_source(place: Place) -> None:
    paths = place.write("twins.csv", TWINS), place.write("links.csv", LINKS)
    assert place.load(*paths, source="plan").ok
    report = place.load(paths[1], source="plan")
    assert [(file.source, file.missing) for file in report.files] == [("plan", 2)]
    twice = place.load(paths[0], place.write("more.csv", TWINS), source="plan")
    assert codes(twice) == ["DUPLICATE_ID"] * 2


def test_ends_in_other_sites(place: Place) -> None:
    assert place.take("campus", c_csv="id,kind\nCH-1,brick:Chiller\nX,tm:Asset\n").ok
    assert place.take("lab", l_csv="id,kind\nX,tm:Asset\n").ok
    report = place.take(
        t_csv="id,kind\nLINE,supply:ProductionLine\nplant:odd,tm:Asset\n",
        r_csv="source,relation,target\ncampus:CH-1,brick:feeds,LINE\nCH-1,brick:feeds,plant:odd\n"
        "http://x.example/S,tm:supplies,LINE\nlab:X,tm:supplies,plant:LINE\n",
    )
    assert report.ok
    assert [(w.code, w.place.line, w.place.item) for w in report.warnings] == [
        ("END_EXTERNAL", 4, "http://x.example/S")
    ]
    assert {r.source for r in place.relationships()} == {
        "https://twinmesh.invalid/campus/CH-1",
        "http://x.example/S",
        "https://twinmesh.invalid/lab/X",
    }
    wrong = place.take(
        w_csv="source,relation,target\nLINE,tm:supplies,CH-1\nX,tm:connectedTo,LINE\nnobody,tm:feeds,LINE\n"
        "campus:nobody,tm:feeds,LINE\nLNE,tm:feeds,LINE\n"
    )
    assert [(p.code, p.place.line) for p in wrong.errors] == [
        ("WRONG_SITE", 2),
        ("AMBIGUOUS_ID", 3),
        ("END_MISSING", 4),
        ("END_MISSING", 5),
        ("END_MISSING", 6),
    ]
    assert "--site campus" in (wrong.errors[0].hint or "")
    assert "LINE" in (wrong.errors[4].hint or "")


def test_kinds_of_another_site_may_be_used(place: Place) -> None:
    text = "ex:Machine rdfs:subClassOf tm:Asset . ex:Press rdfs:subClassOf ex:Machine . <P> a ex:Press ."
    assert place.take("campus", m_ttl=PREFIXES + text).ok
    assert place.take(t_csv="id,kind\nP,ex:Press\n").ok
    machine = place.snapshot().schema.kind("ex:Machine")
    assert len(place.snapshot().rows_of_kind(machine.index)) == 1


READINGS = "point,time,value,quality\n"


def test_readings_follow_the_change(place: Place) -> None:
    report = place.take(
        readings_csv=READINGS + "T,2026-01-01T00:00:00Z,21.5,\nT,2026-01-01T00:01:00Z,22,\n"
        "S,2026-01-01T00:00:00Z,007,\nR,2026-01-01T00:00:00Z,true,BAD\n",
        points_csv="id,kind,valueType\nT,brick:Temperature_Sensor,\nS,tm:Point,text\nR,brick:Run_Status,boolean\n",
    )
    assert (report.ok, report.files[0].readings) == (True, 4)
    snapshot = place.snapshot()
    values = {name: snapshot.point_value(snapshot.find(name)) for name in "TSR"}
    assert values == {"T": 22.0, "S": "007", "R": True}


def test_readings_that_fit_no_point_refuse_all(place: Place) -> None:
    assert place.take("lab", l_csv="id,kind\nFAR,tm:Point\n").ok
    report = place.take(
        readings_csv=READINGS + "T,2026-01-01T00:00:00Z,warm,\nN,2026-01-01T00:00:00Z,1,\n"
        "A,2026-01-01T00:00:00Z,1,\nFAR,2026-01-01T00:00:00Z,1,\n",
        points_csv="id,kind\nT,brick:Temperature_Sensor\nA,brick:AHU\n",
    )
    assert [(p.code, p.place.line) for p in report.errors] == [
        ("VALUE_TYPE", 2),
        ("POINT_UNKNOWN", 3),
        ("POINT_UNKNOWN", 4),
        ("WRONG_SITE", 5),
    ]
    assert place.mesh.sites == ("lab",)


def test_a_dry_run_changes_nothing(place: Place) -> None:
    paths = place.write("twins.csv", TWINS), place.write("links.csv", LINKS)
    new = place.load(*paths, dry_run=True)
    assert (new.ok, new.applied, counts(new)) == (True, False, [(2, 0, 0, 0), (1, 0, 0, 0)])
    assert place.mesh.sites == ()
    assert place.load(*paths).ok
    before = place.export("nq")
    more = place.load(place.write("twins.csv", TWINS + "C,brick:VAV,\n"), dry_run=True)
    assert (more.applied, counts(more)) == (False, [(1, 0, 2, 0)])
    assert (place.export("nq"), place.snapshot().revision) == (before, 1)


BAD = {
    "empty": ("m.ttl", "", "RDF_EMPTY"),
    "undeclared prefix": ("m.ttl", "<http://a/x> a brick:AHU .", "RDF_PREFIX"),
    "broken row": ("m.csv", "id,kind\nC,tm:Asset,1\n", "CSV_CELLS"),
    "unknown kind": ("m.csv", "id,kind\nC,brick:AHUU\n", "KIND_UNKNOWN"),
    "wrong type": ("m.csv", "id,kind,health\nC,tm:Asset,good\n", "VALUE_TYPE"),
    "wrong type in RDF": ("m.ttl", PREFIXES + '<C> a tm:Asset ; tm:health "good" .', "VALUE_TYPE"),
    "out of range": ("m.csv", "id,kind,health\nC,tm:Asset,1.5\n", "VALUE_RANGE"),
    "dangling end": ("m.csv", "source,relation,target\nA,tm:feeds,NOBODY\n", "END_MISSING"),
    "dangling end in RDF": ("m.ttl", PREFIXES + "<A> tm:feeds <NOBODY> .", "END_MISSING"),
    "unit that does not fit": ("m.csv", "id,kind,ratedPower [m]\nC,tm:Asset,1\n", "UNIT_MISMATCH"),
    "unit in RDF": (
        "m.ttl",
        PREFIXES + "<C> a tm:Asset ; brick:area [ brick:value 1 ; brick:hasUnit unit:KiloW ] .",
        "UNIT_MISMATCH",
    ),
    "cyclic partOf": ("m.csv", "source,relation,target\nA,tm:partOf,B\nB,tm:partOf,A\n", "PART_OF_CYCLE"),
    "bad distribution": ("m.csv", "id,kind,timeToRepair\nC,tm:Asset,often\n", "DISTRIBUTION_INVALID"),
    "unknown format": ("m.bin", "\x00\x01", "FORMAT_UNKNOWN"),
    "not IFC": ("m.ifc", "hello", None),
}


def test_bad_input_leaves_no_trace(place: Place) -> None:
    """Journal head and export stay as they were; a good file beside the bad one is refused with it."""
    assert place.take(twins_csv=TWINS, links_csv=LINKS).ok
    head, export = place.mesh.twin("plant").commits()[-1].digest, place.export("nq")
    good = place.write("good.csv", "id,kind\nGOOD,tm:Asset\n")
    for name, (file, text, code) in BAD.items():
        report = place.load(good, place.write(file, text))
        assert not report.applied, name
        assert code is None or codes(report) == [code], name
        assert report.files[0].errors == (), name
        assert all(problem.place.path == str(place.folder / file) for problem in report.errors), name
        assert place.mesh.twin("plant").commits()[-1].digest == head, name
    assert place.export("nq") == export
    assert codes(place.load(good, place.folder / "absent.csv")) == ["FILE_UNREADABLE"]
    assert "GOOD" not in place.twins()


def test_a_bad_first_import_makes_no_site(place: Place) -> None:
    assert codes(place.take(m_csv="id,kind,health\nC,tm:Asset,2\n")) == ["VALUE_RANGE"]
    assert place.mesh.sites == ()
    assert not list((place.folder / "data" / "sites").iterdir())


def test_places_of_violations_point_into_the_files(place: Place) -> None:
    report = place.take(
        a_csv="id,kind,health\nA,tm:Asset,1\nB,tm:Asset,7\n",
        b_csv="source,relation,target,weight\nA,tm:feeds,B,1\nB,tm:feeds,A,-1\n",
    )
    assert [[(p.code, p.place.line) for p in file.errors] for file in report.files] == [
        [("VALUE_RANGE", 3)],
        [("VALUE_RANGE", 3)],
    ]


def test_bases(place: Place) -> None:
    path = place.write("twins.csv", TWINS)
    assert place.load(path, base="https://example.org/plant#").ok
    assert place.twin("A").id == "https://example.org/plant#A"
    assert place.load(path, base="https://example.org/plant#").ok
    with pytest.raises(ConflictError) as fixed:
        place.load(path, base="https://example.org/other/")
    assert fixed.value.code == "SITE_BASE_FIXED"
    with pytest.raises(UsageError) as wrong:
        place.load(path, site="new", base="example")
    assert wrong.value.code == "BASE_INVALID"
    with pytest.raises(UsageError) as name:
        place.load(path, site="no/site")
    assert name.value.code == "SITE_NAME_INVALID"


def test_formats_by_wish_suffix_and_content(place: Place) -> None:
    turtle = PREFIXES + "<A> a brick:AHU ."
    assert place.load(place.write("model.txt", turtle), format="ttl").ok
    assert place.load(place.write("other.txt", turtle)).files[0].format == "ttl"
    assert place.load(place.write("table.txt", TWINS)).files[0].format == "csv"
    with pytest.raises(UsageError) as wrong:
        place.load(place.write("model.txt", turtle), format="tll")
    assert (wrong.value.code, wrong.value.hint) == ("FORMAT_UNKNOWN", "did you mean ttl?")


def test_facts_about_twins_of_another_file(place: Place) -> None:
    economics = (
        PREFIXES + '<A> tm:timeToRepair "lognormal(14,5)" ; tm:repairCost 18500 . <Q> tm:repairCost 1 .'
    )
    report = place.take(economics_ttl=economics, twins_csv=TWINS)
    assert report.ok
    assert place.twin("A").attributes["timeToRepair"] == Value("lognormal(14,5)", None, "economics")
    assert place.twins() == {"A", "B"}
    assert f"<{BASE}Q> <https://twinmesh.dev/ns#repairCost>" in place.export("nq").decode()
