"""What is wrong with each kind of bad input, where, and what to do about it; and nothing is changed by it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# Shared helpers; test modules have no names to import (import mode "importlib").
sys.path.append(str(Path(__file__).parent))
from flow_helpers import Folder, command, small_world, stay_in_process

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = str(Path(sys.executable).parent / "twinmesh")

PREFIXES = (
    "@prefix brick: <https://brickschema.org/schema/Brick#> .\n@prefix tm: <https://twinmesh.dev/ns#> .\n"
)
IFC_HEAD = "ISO-10303-21;\nHEADER;\nFILE_DESCRIPTION((''),'2;1');\nFILE_NAME('','',(''),(''),'','','');\n"


@dataclass(frozen=True)
class Bad:
    """A file, the code of its first problem, and the line where that stands if there is one."""

    name: str
    content: str | bytes
    code: str
    line: int | None = None
    said: str = ""  # a part of the message or the hint

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        path.write_bytes(self.content if isinstance(self.content, bytes) else self.content.encode())
        return path


def twins(header: str, *rows: str) -> str:
    return "\n".join((f"id,kind{header}", *rows, ""))


def links(header: str, *rows: str) -> str:
    return "\n".join((f"source,relation,target{header}", *rows, ""))


CSV = [
    Bad("empty.csv", "", "CSV_EMPTY", 1),
    Bad("blank.csv", "\n\n  \n", "CSV_EMPTY", 1),
    Bad("short-row.csv", twins(",name", "A,brick:AHU,a", "B,brick:AHU"), "CSV_CELLS", 3, "2 cells"),
    Bad("open-quote.csv", twins(",name", 'A,brick:AHU,"a', "B,brick:AHU,b"), "CSV_SYNTAX", 2, "never closed"),
    Bad("no-role.csv", "a,b\n1,2\n", "CSV_HEADER", 1, "id,kind"),
    Bad("semicolons.csv", "id;kind\nA;brick:AHU\n", "CSV_HEADER", 1, "by commas"),
    Bad("latin-1.csv", twins(",name", "A,brick:AHU,Köln").encode("latin-1"), "CSV_ENCODING", 2, "0xf6"),
    Bad("utf-16.csv", twins("", "A,brick:AHU").encode("utf-16"), "CSV_ENCODING", 1),
    Bad("column-twice.csv", twins(",p,p", "A,brick:AHU,1,2"), "CSV_HEADER", 1, "twice"),
    Bad("kind.csv", twins("", "A,brick:AHUU"), "KIND_UNKNOWN", 2, "brick:AHU?"),
    Bad("kind-missing.csv", twins("", "A,"), "KIND_MISSING", 2),
    Bad("relation.csv", links("", "CH-1,brick:feds,AHU-2"), "RELATION_UNKNOWN", 2, "brick:feeds"),
    Bad("type.csv", twins(",ratedPower [kW]", "A,brick:AHU,much"), "VALUE_TYPE", 2, "'much'"),
    Bad("range.csv", twins(",health", "A,brick:AHU,0.5", "B,brick:AHU,1.5"), "VALUE_RANGE", 3, "from 0 to 1"),
    Bad("dangling.csv", links("", "CH-1,brick:feeds,AHU-9"), "END_MISSING", 2, "AHU-1"),
    Bad("unit-misfit.csv", twins(",ratedPower [kg]", "A,brick:AHU,3"), "UNIT_MISMATCH", 1, "kW"),
    Bad("unit-unknown.csv", twins(",ratedPower [kWx]", "A,brick:AHU,3"), "UNIT_UNKNOWN", 1, "kW"),
    Bad("cycle.csv", links("", "CH-1,tm:partOf,AHU-1", "AHU-2,brick:isPartOf,CH-1"), "PART_OF_CYCLE", 3),
    Bad("cycle-new.csv", links("", "R-1,tm:partOf,VAV-1", "VAV-1,tm:partOf,R-1"), "PART_OF_CYCLE", 3),
    Bad("part-of-itself.csv", links("", "CH-1,tm:partOf,CH-1"), "PART_OF_CYCLE", 2),
    Bad(
        "relation-twice.csv",
        links("", *["CH-1,brick:feeds,AHU-2"] * 2),
        "RELATIONSHIP_DUPLICATE",
        3,
        "line 2",
    ),
    Bad(
        "relation-twice-by-inverse.csv",
        links("", "CH-1,brick:feeds,AHU-2", "AHU-2,brick:isFedBy,CH-1"),
        "RELATIONSHIP_DUPLICATE",
        3,
    ),
    Bad("id-twice.csv", twins("", "A,brick:AHU", "A,brick:VAV"), "ID_DUPLICATE", 3, "line 2"),
    Bad("id-missing.csv", twins("", ",brick:AHU"), "ID_MISSING", 2),
    Bad("id-no-iri.csv", twins("", "http://a b/,brick:AHU"), "ID_INVALID", 2),
    Bad(
        "cascade-name.csv",
        twins(",failureProbabilty", "A,brick:AHU,0.1"),
        "ATTRIBUTE_UNKNOWN",
        1,
        "x:failure",
    ),
    Bad(
        "cascade-name-of-link.csv",
        links(",delayHour", "CH-1,tm:supplies,AHU-2,1"),
        "ATTRIBUTE_UNKNOWN",
        1,
        "delayHours",
    ),
    Bad(
        "group-rows.csv",
        links(",group,need", "CH-1,brick:feeds,AHU-2,g,1", "AHU-1,brick:feeds,AHU-2,g,2"),
        "GROUP_DISAGREES",
        3,
        "need",
    ),
    Bad("group-before.csv", links(",group,need", "AHU-2,brick:feeds,AHU-1,cooling,3"), "GROUP_DISAGREES", 2),
    Bad("delay.csv", links(",delayHours", "CH-1,brick:feeds,AHU-2,1"), "DELAY_ON_FOUNDED", 2, "bufferHours"),
    Bad("distribution.csv", twins(",timeToRepair", 'A,brick:AHU,"weibul(2,3)"'), "DISTRIBUTION_INVALID", 2),
    Bad(
        "distribution-parts.csv", twins(",timeToFailure", "A,brick:AHU,weibull(2)"), "DISTRIBUTION_INVALID", 2
    ),
    Bad("end-kind.csv", links("", "AHU-1,tm:pointOf,CH-1"), "END_KIND", 2, "tm:Point"),
    Bad(
        "conflict.csv",
        twins(",ratedPower [kW]", "CH-1,brick:Chiller,301"),
        "ATTRIBUTE_CONFLICT",
        2,
        "'assets'",
    ),
    Bad("no-zone.csv", "point,time,value\nSAT,2026-01-01T00:00:00,3\n", "TIME_INVALID", 2, "zone"),
    Bad("no-day.csv", "point,time,value\nSAT,2026-02-30T00:00:00Z,3\n", "TIME_INVALID", 2),
    Bad("no-number.csv", "point,time,value\nSAT,2026-01-01T00:00:00Z,warm\n", "VALUE_TYPE", 2, "valueType"),
    Bad(
        "no-point.csv", "point,time,value\nAHU-1,2026-01-01T00:00:00Z,3\n", "POINT_UNKNOWN", 2, "is no point"
    ),
    Bad("point.csv", "point,time,value\nSAT-9,2026-01-01T00:00:00Z,3\n", "POINT_UNKNOWN", 2, "SAT?"),
]

RDF = [
    Bad("empty.ttl", "", "RDF_EMPTY", 1),
    Bad("prefixes-only.ttl", PREFIXES, "RDF_EMPTY", 1),
    Bad("prefix.ttl", PREFIXES + "<urn:a> a brick:AHU .\nex:b a brick:AHU .\n", "RDF_PREFIX", 4, "'ex'"),
    Bad("known-prefix.ttl", "<urn:a> a brick:AHU .\n", "RDF_PREFIX", 1, "https://brickschema.org"),
    Bad("cut.ttl", PREFIXES + "<urn:a> a brick:A", "RDF_SYNTAX", 3),
    Bad(
        "unit.ttl",
        PREFIXES + '<urn:a> a brick:AHU ; tm:length [ tm:value 3 ; tm:unit "kg" ] .\n',
        "UNIT_MISMATCH",
    ),
    Bad("type.ttl", PREFIXES + '<urn:a> a brick:AHU ; tm:health "good" .\n', "VALUE_TYPE"),
    Bad("cycle.ttl", PREFIXES + "<urn:a> a brick:AHU ; brick:isPartOf <urn:a> .\n", "PART_OF_CYCLE"),
    Bad("end.nq", "<urn:a> <urn:b> .\n", "RDF_SYNTAX", 1),
    Bad("cut.jsonld", '{"@id": "urn:a",\n ', "RDF_SYNTAX", 2),
    Bad("empty.jsonld", "[]", "RDF_EMPTY", 1),
    Bad("prefix.jsonld", '{"@id": "urn:a", "@type": "brick:AHU"}', "RDF_PREFIX", None, "@context"),
    Bad("remote.jsonld", '{"@context": "https://example.org/c", "@id": "urn:a"}', "RDF_REMOTE_CONTEXT"),
    Bad(
        "remote-inside.jsonld",
        '{"@context": {"t": {"@id": "urn:t", "@context": "https://example.org/c"}}, "t": {"@id": "urn:b"}}',
        "RDF_REMOTE_CONTEXT",
    ),
    Bad("cut.rdf", "<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:", "RDF_SYNTAX"),
]

IFC = [
    Bad("words.ifc", "no IFC at all\n", "IFC_NOT_STEP", 1),
    Bad(
        "no-project.ifc",
        IFC_HEAD + "FILE_SCHEMA(('IFC4'));\nENDSEC;\nDATA;\nENDSEC;\nEND-ISO-10303-21;\n",
        "IFC_NO_PROJECT",
    ),
    Bad("words.ifczip", b"PK\x03\x04 and no more", "IFC_ZIP_BROKEN"),
]

MALFORMED = {
    "bad_schema.ifc": ("IFC_SCHEMA_UNKNOWN", 24),
    "cut_half.ifc": ("IFC_TRUNCATED", 303),
    "dup_guid.ifc": ("IFC_DUPLICATE_GUID", 161),
    "empty.ifc": ("IFC_EMPTY", None),
    "header_only_cut.ifc": ("IFC_TRUNCATED", 4),
    "no_end.ifc": ("IFC_TRUNCATED", 579),
    "not_ifc.ifc": ("IFC_NOT_STEP", 1),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[Folder]:
    """A folder with a small world; what its exports say is the same when all these tests are done."""
    made = small_world(tmp_path_factory.mktemp("refusals"))
    exported = made.export("nq")
    yield made
    assert made.export("nq") == exported


@pytest.fixture
def folder(world) -> Iterator[Folder]:
    """That folder; after the test the head of its journal and its readings are what they were before."""
    before = world.head(), world.readings()
    yield world
    assert (world.head(), world.readings()) == before


@pytest.fixture
def in_process(monkeypatch):
    """Files are decoded in this process; `test_the_program_itself` goes through the sandbox."""
    stay_in_process(monkeypatch)


def assert_refused(done, path: Path, bad: Bad) -> None:
    assert done.code == 1, done
    (file,) = done.files
    assert file["path"] == str(path)
    assert [file[count] for count in ("created", "updated", "unchanged", "missing")] == [0, 0, 0, 0]
    assert done.json["applied"] is False
    for error in file["errors"]:
        assert error["message"] and error["hint"], error
    first = file["errors"][0]
    assert (first["code"], first["line"]) == (bad.code, bad.line)
    assert bad.said in f"{first['message']} {first['hint']}"
    where = f"{path}:{bad.line}" if bad.line else str(path)
    assert done.err.startswith(f"error: {bad.code}: {where}")
    assert "(hint: " in done.err and "Traceback" not in done.err


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("bad", [*CSV, *RDF, *IFC], ids=lambda bad: bad.name)
def test_a_bad_file_is_refused_with_code_place_and_hint(folder, tmp_path, bad):
    path = bad.write(tmp_path)
    assert_refused(folder.imports(path), path, bad)


@pytest.mark.usefixtures("in_process")
def test_every_malformed_ifc_file_is_refused(folder, shared_data):
    paths = sorted((shared_data / "ifc" / "malformed").glob("*.ifc"))
    assert [path.name for path in paths] == sorted(MALFORMED)
    for path in paths:
        assert_refused(folder.imports(path), path, Bad(path.name, "", *MALFORMED[path.name]))


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("words", [(), ("--replace",), ("--dry-run",), ("--source", "assets")])
def test_one_bad_file_among_good_ones_refuses_all(folder, tmp_path, words):
    exported = folder.export("nq")
    (tmp_path / "good.csv").write_text("id,kind\nNEW,brick:AHU\n")
    (tmp_path / "more.csv").write_text("point,time,value\nSAT,2026-01-01T01:00:00Z,15\n")
    (tmp_path / "bad.csv").write_text("id,kind\nNEWER,brick:AHUU\n")
    files = [tmp_path / f"{name}.csv" for name in ("good", "bad", "more")]
    done = command("import", *files, "--data", folder.data, "--site", "s", *words)
    assert done.code == 1
    assert "nothing was applied" in done.out.decode()
    assert "KIND_UNKNOWN" in done.err
    assert folder.export("nq") == exported


@pytest.mark.usefixtures("in_process")
def test_the_problems_of_all_files_are_told_at_once(folder, tmp_path):
    decoded = [bad for bad in CSV if bad.code.startswith(("CSV_", "KIND_", "TIME_", "ID_", "UNIT_"))]
    done = folder.imports(*(bad.write(tmp_path) for bad in decoded))
    assert done.code == 1
    assert [file["errors"][0]["code"] for file in done.files] == [bad.code for bad in decoded]


@pytest.mark.usefixtures("in_process")
def test_a_refused_import_makes_no_site(folder, tmp_path):
    (tmp_path / "bad.csv").write_text("id,kind\nA,brick:AHU\nA,brick:AHU\n")
    assert Folder(folder.data, "other").imports(tmp_path / "bad.csv").code == 1
    assert [path.name for path in (folder.data / "sites").iterdir()] == ["s"]


def test_a_file_that_is_not_there_or_no_file_is_refused(folder, tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        assert_refused(folder.imports(path), path, Bad("", "", "FILE_UNREADABLE"))


def test_a_file_that_nothing_tells_apart_asks_for_its_format(folder, tmp_path):
    path = tmp_path / "what.bin"
    path.write_bytes(b"\x00\x01\x02")
    assert_refused(folder.imports(path), path, Bad("", "", "FORMAT_UNKNOWN", None, "--format"))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--format", "tsv"), "FORMAT_UNKNOWN"),
        (("--site", "../s"), "SITE_NAME_INVALID"),
        (("--base", "nowhere"), "BASE_INVALID"),
        (("--url", "http://127.0.0.1:9"), "PLACE_TWICE"),
        (("--no-such-option",), "No such option"),
    ],
)
def test_wrong_usage_is_exit_code_2(folder, tmp_path, words, code):
    (tmp_path / "a.csv").write_text("id,kind\nA,brick:AHU\n")
    done = command("import", tmp_path / "a.csv", "--site", "s", "--data", folder.data, *words)
    assert (done.code, done.out) == (2, b"")
    assert code in done.err


def test_the_base_of_a_site_stays(folder, tmp_path):
    (tmp_path / "a.csv").write_text("id,kind\nA,brick:AHU\n")
    done = folder.imports(tmp_path / "a.csv", base="https://example.org/s/")
    assert (done.code, done.json["errors"][0]["code"]) == (1, "SITE_BASE_FIXED")
    assert done.json["errors"][0]["hint"]


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("no_end.ifc", None, "IFC_TRUNCATED"),
        ("prefix.ttl", b"ex:a a ex:B .\n", "RDF_PREFIX"),
        # So deep that the reader of JSON-LD dies: only its process does.
        pytest.param(
            "deep.jsonld",
            b'{"urn:p":' * 5_000 + b"1" + b"}" * 5_000,
            "IMPORT_CRASHED",
            marks=pytest.mark.long,
        ),
    ],
)
def test_the_program_itself(folder, shared_data, tmp_path, name, content, code):
    """Through a process of its own and the sandbox: the same answer, and one JSON document on stdout."""
    path = shared_data / "ifc" / "malformed" / name if content is None else tmp_path / name
    if content is not None:
        path.write_bytes(content)
    words = [PROGRAM, "import", str(path), "--data", str(folder.data), "--site", "s", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    (file,) = json.loads(done.stdout)["files"]
    assert (done.returncode, [error["code"] for error in file["errors"]]) == (1, [code])
    assert done.stderr.startswith(f"error: {code}: {path}")
    assert "(hint: " in done.stderr
