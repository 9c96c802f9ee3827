"""What is refused: damaged, foreign and dangerous files, each with code, place and hint."""

from __future__ import annotations

import random
import re
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from ontology.errors import InputError, Problem

sys.path.append(str(Path(__file__).parent))
from ifc_helpers import Model, Reader


@pytest.fixture(scope="module")
def read() -> Reader:
    return Reader()


def refused(read: Reader, path: Path) -> tuple[Problem, ...]:
    with pytest.raises(InputError) as caught:
        read(path)
    for problem in caught.value.problems:
        assert problem.place.path == str(path)
    assert caught.value.hint
    return caught.value.problems


@pytest.mark.parametrize(
    ("name", "code", "line"),
    [
        ("empty", "IFC_EMPTY", None),
        ("not_ifc", "IFC_NOT_STEP", 1),
        ("header_only_cut", "IFC_TRUNCATED", 4),
        ("cut_half", "IFC_TRUNCATED", 303),
        ("no_end", "IFC_TRUNCATED", 579),
        ("bad_schema", "IFC_SCHEMA_UNKNOWN", 24),
        ("dup_guid", "IFC_DUPLICATE_GUID", 161),
    ],
)
def test_malformed_files_are_refused(
    name: str, code: str, line: int | None, shared_data: Path, read: Reader
) -> None:
    (problem,) = refused(read, shared_data / "ifc" / "malformed" / f"{name}.ifc")
    assert (problem.code, problem.place.line) == (code, line)


def test_every_malformed_file_is_tried(shared_data: Path, read: Reader) -> None:
    for path in sorted((shared_data / "ifc" / "malformed").iterdir()):
        assert refused(read, path)


def test_a_shared_global_id_names_both(shared_data: Path, read: Reader) -> None:
    (problem,) = refused(read, shared_data / "ifc" / "malformed" / "dup_guid.ifc")
    for part in ("#140", "#219", "1F6umJ5H50aeL3A1As_wTm"):
        assert part in problem.message
    assert problem.place.item == "1F6umJ5H50aeL3A1As_wTm"


def test_the_schemas_that_are_read_are_named(shared_data: Path, read: Reader) -> None:
    (problem,) = refused(read, shared_data / "ifc" / "malformed" / "bad_schema.ifc")
    assert "IFC9X9" in problem.message
    assert problem.hint
    assert "IFC4" in problem.hint


@pytest.fixture
def text(shared_data: Path) -> bytes:
    return (shared_data / "ifc-synthetic" / "synthetic_mep_defects.ifc").read_bytes()


PUMP = b"#26=IFCPUMP("


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (PUMP, b"#26=IFCPUMPX(", "IFC_DAMAGED"),  # no such class
        (PUMP, b"#26=IFCPUMP", "IFC_DAMAGED"),  # a lost bracket
        (PUMP, b"\0\0\0\0\0\0", "IFC_DAMAGED"),  # a lost sector
        (PUMP, b"#24=IFCPUMP(", "IFC_DUPLICATE_INSTANCE"),
        (b"'P-1',.CIRC", b"'P-1,.CIRC", "IFC_DAMAGED"),  # an open string
        (b"#16=IFCPROJECT(", b"#16=IFCPROJECTLIBRARY(", "IFC_NO_PROJECT"),
        (b"#26=IFCPUMP('2uEXLcCQ9lxtk06u6xpsRh'", b"#26=IFCPUMP($", "IFC_GUID_MISSING"),
    ],
)
def test_damage_inside_is_refused(
    old: bytes, new: bytes, code: str, text: bytes, read: Reader, tmp_path: Path
) -> None:
    assert old in text
    path = tmp_path / "damaged.ifc"
    path.write_bytes(text.replace(old, new, 1))
    assert refused(read, path)[0].code == code


def test_damage_has_its_line(text: bytes, read: Reader, tmp_path: Path) -> None:
    path = tmp_path / "damaged.ifc"
    path.write_bytes(text.replace(PUMP, b"#26=IFCPUMPX("))
    lines = path.read_bytes().splitlines()
    first = refused(read, path)[0]
    assert first.place.line
    assert lines[first.place.line - 1].startswith(b"#26=IFCPUMPX(")


def test_a_statement_that_the_log_does_not_miss_is_missed(text: bytes, read: Reader, tmp_path: Path) -> None:
    """Nothing refers to a relationship, so its loss is no dangling reference: only the count tells."""
    path = tmp_path / "lost.ifc"
    path.write_bytes(text.replace(b"#38=IFCRELCONNECTSPORTS(", b"x38=IFCRELCONNECTSPORTS("))
    (problem,) = refused(read, path)
    assert problem.code == "IFC_DAMAGED"
    assert "1 of 489 statements" in problem.message


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9, 0.999])
def test_any_cut_is_refused(cut: float, text: bytes, read: Reader, tmp_path: Path) -> None:
    path = tmp_path / "cut.ifc"
    path.write_bytes(text[: int(len(text) * cut)])
    assert refused(read, path)[0].code == "IFC_TRUNCATED"


@pytest.mark.parametrize(
    "junk", [b"<?xml version='1.0'?><ifcXML/>", b'{"type":"ifcJSON"}', b"\n\n", bytes(64)]
)
def test_other_formats_are_refused(junk: bytes, read: Reader, tmp_path: Path) -> None:
    path = tmp_path / "model.ifc"
    path.write_bytes(junk)
    assert refused(read, path)[0].code == "IFC_NOT_STEP"


def test_a_missing_file_is_named(read: Reader, tmp_path: Path) -> None:
    assert refused(read, tmp_path / "nowhere.ifc")[0].code == "FILE_UNREADABLE"


def test_comments_and_spaces_are_no_damage(text: bytes, read: Reader, tmp_path: Path) -> None:
    path = tmp_path / "spaced.ifc"
    path.write_bytes(
        b"\xef\xbb\xbf" + text.replace(PUMP, b"/* #9999=IFCPUMP('; */\n  #26 = IFCPUMP (") + b"\r\n\n"
    )
    plain = tmp_path / "plain.ifc"
    plain.write_bytes(text)
    assert read(path).parsed.twins == read(plain).parsed.twins


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_raw_letters_are_kept_with_a_warning(
    encoding: str, text: bytes, read: Reader, tmp_path: Path
) -> None:
    """IfcOpenShell drops them silently: "Kälte" would come in as "Klte"."""
    path = tmp_path / "raw.ifc"
    path.write_bytes(text.replace(b"'CH-1',$,$,#23", "'Kälte Ø1',$,$,#23".encode(encoding)))
    imported = read(path)
    assert imported.by_local["CH-1"].name == "Kälte Ø1"
    assert "IFC_ENCODING" in {warning.code for warning in imported.parsed.warnings}


def test_escaped_letters_are_read(text: bytes, read: Reader, tmp_path: Path) -> None:
    path = tmp_path / "escaped.ifc"
    path.write_bytes(text.replace(b"'CH-1',$,$,#23", b"'K\\X2\\00E4\\X0\\lte',$,$,#23"))
    imported = read(path)
    assert imported.by_local["CH-1"].name == "Kälte"


def test_a_value_the_schema_does_not_know_is_a_warning(text: bytes, read: Reader, tmp_path: Path) -> None:
    path = tmp_path / "odd.ifc"
    path.write_bytes(text.replace(b".CIRCULATOR.", b".WHIRLPOOL."))
    (warning,) = [one for one in read(path).parsed.warnings if one.code == "IFC_VALUE_INVALID"]
    assert "WHIRLPOOL" in warning.message
    assert warning.place.line == text[: text.index(b".CIRCULATOR.")].count(b"\n") + 1


# --- archives ---


def packed(folder: Path, *members: tuple[str, bytes]) -> Path:
    path = folder / "model.ifczip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_an_archive_is_known_by_its_content(text: bytes, read: Reader, tmp_path: Path) -> None:
    path = packed(tmp_path, ("deep/model.IFC", text), ("readme.txt", b"hello"))
    renamed = path.rename(tmp_path / "really_zip.ifc")
    assert "CH-1" in read(renamed).by_local


def test_a_bomb_is_refused_before_it_is_unpacked(read: Reader, tmp_path: Path) -> None:
    path = packed(tmp_path, ("model.ifc", b"ISO-10303-21;" + b" " * (64 << 20)))
    assert refused(read, path)[0].code == "IFC_ZIP_RATIO"


@pytest.mark.parametrize("names", [(), ("a.ifc", "b.ifc"), ("a.ifcxml",)])
def test_an_archive_holds_one_model(
    names: tuple[str, ...], text: bytes, read: Reader, tmp_path: Path
) -> None:
    path = packed(tmp_path, ("x.txt", b"x"), *((name, text) for name in names))
    assert refused(read, path)[0].code == "IFC_ZIP_CONTENT"


def test_a_broken_archive_is_refused(text: bytes, read: Reader, tmp_path: Path) -> None:
    path = packed(tmp_path, ("model.ifc", text))
    path.write_bytes(path.read_bytes()[:2000])
    assert refused(read, path)[0].code == "IFC_ZIP_BROKEN"
    whole = packed(tmp_path, ("model.ifc", text)).read_bytes()
    path.write_bytes(whole[:300] + bytes(8) + whole[308:])
    assert refused(read, path)[0].code in ("IFC_ZIP_BROKEN", "IFC_NOT_STEP")


# --- damage in what belongs where ---


def test_an_element_in_two_places_is_refused(read: Reader, tmp_path: Path) -> None:
    model = Model()
    other = model.root("IfcBuildingStorey", "L2")
    pump = model.root("IfcPump", "P-1")
    for storey in (model.storey, other):
        model.relate("IfcRelContainedInSpatialStructure", RelatingStructure=storey, RelatedElements=[pump])
    (problem,) = refused(read, model.write(tmp_path))
    assert problem.code == "IFC_CONTAINED_TWICE"
    assert problem.place.item == "P-1"
    assert "L (#" in problem.message
    assert "L2 (#" in problem.message


def test_a_circle_of_parts_is_refused(read: Reader, tmp_path: Path) -> None:
    model = Model()
    names = ["A", "B", "C"]
    parts = [model.root("IfcElementAssembly", name) for name in names]
    for part, whole in zip(parts, [*parts[1:], parts[0]], strict=True):
        model.relate("IfcRelAggregates", RelatingObject=whole, RelatedObjects=[part])
    (problem,) = refused(read, model.write(tmp_path))
    assert problem.code == "IFC_PART_CYCLE"
    assert all(f"{name} (#" in problem.message for name in names)


def test_many_problems_are_bounded(read: Reader, tmp_path: Path) -> None:
    model = Model()
    for number in range(50):
        model.make("IfcPump", Name=f"P-{number}")
    problems = refused(read, model.write(tmp_path))
    assert len(problems) == 21
    assert "30 more" in problems[-1].message


# --- whatever else stands in a file ---

TOKEN = re.compile(rb"'[^']*'|#\d+(?!\s*=)|\.[A-Z_0-9]+\.|\$|\((?:#\d+,?)+\)")
FOREIGN = (b"$", b"*", b"5", b"-1.5", b"'x'", b".T.", b"()", b"#24", b"(#24,#26)", b"#16", b"(#60)")


@pytest.mark.parametrize("seed", range(4))
def test_values_of_any_kind_anywhere_are_read_or_refused(
    seed: int, text: bytes, read: Reader, tmp_path: Path
) -> None:
    """Arguments swapped for others: never an exception of another kind, never a twin without its id."""
    draw = random.Random(seed)
    spans = [found.span() for found in TOKEN.finditer(text, text.index(b"DATA;"))]
    path = tmp_path / "odd.ifc"
    outcomes: Counter[str] = Counter()
    for _ in range(60):
        odd = text
        for start, end in sorted(draw.sample(spans, draw.choice([1, 2, 5])), reverse=True):
            odd = odd[:start] + draw.choice(FOREIGN) + odd[end:]
        path.write_bytes(odd)
        try:
            twins = read(path).parsed.twins
        except InputError as error:
            outcomes[error.code] += 1
        else:
            outcomes["read"] += 1
            assert len({twin.id for twin in twins}) == len(twins)
    assert outcomes["read"] > 10
    assert outcomes["IFC_DAMAGED"] > 10


def test_an_instance_where_a_number_stands_is_said(text: bytes, read: Reader, tmp_path: Path) -> None:
    path = tmp_path / "odd.ifc"
    odd = re.sub(rb"(#38=IFCRELCONNECTSPORTS\('[^']*',\$,\$,\$,)#35", rb"\g<1>7", text)
    assert odd != text
    path.write_bytes(odd)
    (warning,) = [one for one in read(path).parsed.warnings if one.code == "IFC_VALUE_INVALID"]
    assert "RelatingPort of #38 IfcRelConnectsPorts" in warning.message
    assert warning.place.line == text[: text.index(b"#38=")].count(b"\n") + 1
