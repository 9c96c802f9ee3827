"""CSV files as twins, relationships and readings, and every way in which they can be wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adapters.csv.source import read_csv
from graph.values import ExternalId, Quality, Value
from ontology.errors import InputError, Problem

sys.path.append(str(Path(__file__).parent))
from import_helpers import BASE, REQUEST, SCHEMA, UNITS

BRICK = "https://brickschema.org/schema/Brick#"


def read(tmp_path: Path, text: str):
    path = tmp_path / "table.csv"
    path.write_text(text)
    return read_csv(path, REQUEST, SCHEMA, UNITS)


def problems(tmp_path: Path, text: str) -> tuple[Problem, ...]:
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    return caught.value.problems


def test_twins(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        "id,kind,name,ratedPower [kW],serial,article,x:count,external:gs1,health\n"
        "AHU-1,brick:AHU,Air handler,55.5,007,12,3,urn:epc:1,0.5\n"
        "urn:x:2,brick:AHU; tm:Asset ,,,,7.5,,,\n"
        "Room 1/a,rec:Room,,,A1,,,,\n",
    )
    first, second, third = parsed.twins
    assert first.id == BASE + "AHU-1"
    assert (first.local_id, first.name, first.kinds) == ("AHU-1", "Air handler", (BRICK + "AHU",))
    assert first.attributes == {
        "ratedPower": Value(55.5, "kW", "file"),
        "serial": Value("007", None, "file"),
        "article": Value(12, None, "file"),
        "x:count": Value(3, None, "file"),
        "health": Value(0.5, None, "file"),
    }
    assert first.external_ids == (ExternalId("gs1", "urn:epc:1"),)
    assert (second.id, second.local_id, second.name) == ("urn:x:2", None, None)
    assert second.kinds == (BRICK + "AHU", "https://twinmesh.dev/ns#Asset")
    assert second.attributes == {"article": Value(7.5, None, "file")}
    assert (third.id, third.local_id) == (BASE + "Room%201%2Fa", "Room 1/a")
    assert third.attributes == {"serial": Value("A1", None, "file")}
    assert parsed.twin_lines == (2, 3, 4)
    assert (parsed.format, parsed.source) == ("csv", "file")


def test_one_article_number_makes_the_column_text(tmp_path: Path) -> None:
    parsed = read(tmp_path, "id,kind,n\nA,tm:Item,0.5\nB,tm:Item,007\n")
    assert [twin.attributes["n"].value for twin in parsed.twins] == ["0.5", "007"]


def test_declared_types(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        "id,kind,yearBuilt,writable,timeToRepair,serialNumber,timeToFailure\n"
        'A,tm:Asset,1999,TRUE,"weibull(2,500)",0042,12\n',
    )
    values = {name: value.value for name, value in parsed.twins[0].attributes.items()}
    assert values == {
        "yearBuilt": 1999,
        "writable": True,
        "timeToRepair": "weibull(2,500)",
        "serialNumber": "0042",
        "timeToFailure": 12,
    }


def test_relationships_and_inverses(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        "source,relation,target,group,id,weight,bufferHours [min]\n"
        "A,feeds,B,air,,2,30\n"
        "B,brick:isFedBy,C,,R-1,,\n"
        "plant:X,tm:dependsOn,urn:y:1,,,,\n",
    )
    first, second, third = parsed.relationships
    assert (first.source, first.target, first.group, first.stated) == ("A", "B", "air", None)
    assert first.relation == "https://twinmesh.dev/ns#feeds"  # a bare name resolves to tm first
    assert first.attributes == {"weight": Value(2, None, "file"), "bufferHours": Value(30, "min", "file")}
    assert (second.source, second.relation, second.target) == ("C", BRICK + "feeds", "B")
    assert (second.stated, second.id) == (BRICK + "isFedBy", BASE + "R-1")
    assert (third.source, third.target) == ("plant:X", "urn:y:1")
    assert parsed.relationship_lines == (2, 3, 4)


def test_the_same_ends_need_groups_or_ids(tmp_path: Path) -> None:
    parsed = read(
        tmp_path, "source,relation,target,group,id\nA,feeds,B,x,\nA,feeds,B,y,\nA,feeds,B,,1\nA,feeds,B,,2\n"
    )
    assert len(parsed.relationships) == 4


def test_readings(tmp_path: Path) -> None:
    parsed = read(
        tmp_path,
        "point,time,value,quality\nA,2026-01-01T00:00:00Z,1.5,\nB,2026-01-01T01:00:00+01:00,on,BAD\n",
    )
    rows = parsed.readings
    assert rows is not None
    assert (rows.points, rows.values, rows.lines.tolist()) == (("A", "B"), ("1.5", "on"), [2, 3])
    assert rows.times_ns.tolist() == [1767225600 * 10**9] * 2
    assert rows.quality.tolist() == [Quality.GOOD, Quality.BAD]


def test_several_tables_in_one_document(tmp_path: Path) -> None:
    parsed = read(tmp_path, "id,kind\nA,tm:Asset\nB,tm:Asset\n\nsource,relation,target\nA,tm:feeds,B\n")
    assert (len(parsed.twins), len(parsed.relationships)) == (2, 1)


TWINS = "id,kind,name\n"
LINKS = "source,relation,target\n"
READINGS = "point,time,value\n"
GOOD_TIME = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "hint"),
    [
        (TWINS + "A,brick:AHU,\nA,brick:VAV,\n", "ID_DUPLICATE", 3, 1, None),
        (TWINS + f"A,brick:AHU,\n{BASE}A,brick:VAV,\n", "ID_DUPLICATE", 3, 1, None),
        (TWINS + ",brick:AHU,\n", "ID_MISSING", 2, 1, None),
        (TWINS + "http://a b/c,brick:AHU,\n", "ID_INVALID", 2, 1, None),
        (TWINS + "A,,\n", "KIND_MISSING", 2, 2, None),
        (TWINS + "A,brick:AHUU,\n", "KIND_UNKNOWN", 2, 2, "brick:AHU"),
        (TWINS + "A,brick:AHU;brick:Nonsense_Thing,\n", "KIND_UNKNOWN", 2, 2, None),
        (LINKS + "A,brick:feed,B\n", "RELATION_UNKNOWN", 2, 2, "brick:feeds"),
        (LINKS + "A,brick:feeds,\n", "ID_MISSING", 2, 3, None),
        (LINKS + "A,brick:feeds,B\nB,brick:isFedBy,A\n", "RELATIONSHIP_DUPLICATE", 3, 1, None),
        (LINKS + f"A,brick:feeds,B\n{BASE}A,brick:feeds,B\n", "RELATIONSHIP_DUPLICATE", 3, 1, None),
        ("id,kind,ratedPwer\nA,brick:AHU,1\n", "ATTRIBUTE_UNKNOWN", 1, 3, "x:ratedPwer"),
        ("id,kind,Health\nA,brick:AHU,1\n", "ATTRIBUTE_UNKNOWN", 1, 3, "health"),
        (LINKS[:-1] + ",wieght\nA,brick:feeds,B,1\n", "ATTRIBUTE_UNKNOWN", 1, 4, "weight"),
        ("id,kind,ratedPower [kWW]\nA,brick:AHU,1\n", "UNIT_UNKNOWN", 1, 3, None),
        ("id,kind,ratedPower [m]\nA,brick:AHU,1\n", "UNIT_MISMATCH", 1, 3, "kW"),
        ("id,kind,ratedPower\nA,brick:AHU,a lot\n", "VALUE_TYPE", 2, 3, None),
        ("id,kind,yearBuilt\nA,brick:AHU,1999.5\n", "VALUE_TYPE", 2, 3, None),
        ("id,kind,weightOfIt [kg]\nA,brick:AHU,heavy\n", "VALUE_TYPE", 2, 3, None),
        ("id,kind,ratedPower [kW],ratedPower [W]\nA,brick:AHU,1,1000\n", "VALUE_TWICE", 2, 4, None),
        ("id,kind,colour,colour\nA,brick:AHU,red,red\n", "CSV_HEADER", 1, 4, None),
        ("id,kind,\nA,brick:AHU,red\n", "CSV_HEADER", 1, 3, None),
        (READINGS + "A,2026-01-01T00:00:00,1\n", "TIME_INVALID", 2, 2, None),
        (READINGS + f"A,{GOOD_TIME},\n", "VALUE_MISSING", 2, 3, None),
        (READINGS + f",{GOOD_TIME},1\n", "ID_MISSING", 2, 1, None),
        ("point,time,value,quality\n" + f"A,{GOOD_TIME},1,so-so\n", "QUALITY_INVALID", 2, 4, None),
        ("point,time,value,unit\n" + f"A,{GOOD_TIME},1,kW\n", "CSV_HEADER", 1, 4, None),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    tmp_path: Path, text: str, code: str, line: int, column: int, hint: str | None
) -> None:
    (found,) = problems(tmp_path, text)
    assert (found.code, found.place.line, found.place.column) == (code, line, column)
    assert hint is None or hint in (found.hint or "")


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, "id,kind,helth,ratedPower\nA,brick:AHUU,1,x\nA,,1,2,3\nA,brick:AHU,1,2\n")
    assert [(p.code, p.place.line) for p in found] == [
        ("CSV_CELLS", 3),
        ("ATTRIBUTE_UNKNOWN", 1),
        ("VALUE_TYPE", 2),
        ("KIND_UNKNOWN", 2),
        ("ID_DUPLICATE", 4),
    ]


def test_a_prefix_frees_a_name(tmp_path: Path) -> None:
    parsed = read(tmp_path, "id,kind,x:helth\nA,brick:AHU,good\n")
    assert parsed.twins[0].attributes == {"x:helth": Value("good", None, "file")}
