"""Bad input: a clear error with code, place and hint, exit 1, and the world as it was."""

from __future__ import annotations

import json

import pytest

HEAD = "ISO-10303-21;\nHEADER;\nFILE_DESCRIPTION((''),'2;1');\nFILE_NAME('','',(''),(''),'','','');\n"
GOOD_TTL = "@prefix brick: <https://brickschema.org/schema/Brick#> .\n<https://e.org/a> a brick:AHU .\n"

FILES = {
    "empty.ifc": ("", "IFC_"),
    "truncated.ifc": (HEAD + "FILE_SCHEMA(('IFC4'));\nENDSEC;\nDATA;\n#1=IFCPROJECT('0$", "IFC_"),
    "words.ifc": ("this is no IFC file\n", "IFC_"),
    "schema.ifc": (HEAD + "FILE_SCHEMA(('IFC99'));\nENDSEC;\nDATA;\nENDSEC;\nEND-ISO-10303-21;\n", "IFC_"),
    "prefix.ttl": ("<https://e.org/a> a brick:AHU .\n", "RDF_"),
    "cut.ttl": (GOOD_TTL + "<https://e.org/b> a ", "RDF_"),
    "row.csv": ("id,kind,name\nA,brick:AHU\n", "CSV_"),
    "quote.csv": ('id,kind,name\nA,brick:AHU,"x\n', "CSV_"),
    "kind.csv": ("id,kind,name\nA,brick:AHUU,x\n", "KIND_UNKNOWN"),
    "relation.csv": ("source,relation,target\nCH-1,brick:feedz,AHU-3\n", "RELATION_UNKNOWN"),
    "type.csv": ("id,kind,valuePerHour\nA,brick:AHU,much\n", ""),
    "dangling.csv": ("source,relation,target\nCH-1,brick:feeds,nowhere\n", ""),
    "unit.csv": ("id,kind,ratedPower [m]\nA,brick:AHU,3\n", "UNIT_"),
    "twice.csv": ("id,kind\nA,brick:AHU\nA,brick:AHU\n", ""),
    "cycle.csv": ("source,relation,target\nAHU-3,brick:isPartOf,VAV-12\nVAV-12,brick:isPartOf,AHU-3\n", ""),
    "near.csv": ("id,kind,valuPerHour\nA,brick:AHU,3\n", ""),
    "distribution.csv": ("id,kind,timeToRepair\nA,brick:AHU,weibul(2)\n", ""),
}


@pytest.fixture
def world(cli, spine_data):
    """What must not change: journal heads and everything that an export says."""

    def read():
        heads = cli("verify", "--data", spine_data, "--json").json
        return heads, cli("export", "--data", spine_data, "--format", "nq").out

    return read


def test_every_bad_file_is_refused_and_changes_nothing(cli, spine_data, tmp_path, world):
    before = world()
    for name, (text, code) in FILES.items():
        path = tmp_path / name
        path.write_text(text)
        done = cli("import", path, "--data", spine_data, "--site", "campus", "--json")
        assert done.code == 1, (name, done.out)
        errors = done.json["files"][0]["errors"]
        assert errors and all(error["code"] and error["message"] for error in errors), name
        assert errors[0]["code"].startswith(code), (name, errors)
        assert name in done.err, (name, done.err)
    assert world() == before


def test_one_bad_file_refuses_all_files_of_the_command(cli, spine_data, tmp_path, world):
    before = world()
    (tmp_path / "good.csv").write_text("id,kind\nNEW,brick:AHU\n")
    (tmp_path / "bad.csv").write_text("id,kind\nNEWER,brick:AHUU\n")
    done = cli(
        "import", tmp_path / "good.csv", tmp_path / "bad.csv", "--data", spine_data, "--site", "campus"
    )
    assert done.code == 1
    assert "nothing was applied" in done.out
    assert world() == before


def test_a_bad_file_makes_no_site(cli, spine_data, tmp_path):
    (tmp_path / "bad.csv").write_text("id,kind\nNEWER,brick:AHUU\n")
    assert cli("import", tmp_path / "bad.csv", "--data", spine_data, "--site", "plant").code == 1
    assert [site["site"] for site in cli("verify", "--data", spine_data, "--json").json["sites"]] == [
        "campus"
    ]


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ({"events": [{"type": "FAIL", "twin": "CH-2"}]}, "CH-1"),
        ({"events": [{"type": "FAIL", "twin": "CH-1", "repairHour": 1}]}, "repairHours"),
        ({"evnts": []}, "events"),
        ({"events": [{"type": "FIAL", "twin": "CH-1"}]}, "FAIL"),
        ({"events": [{"type": "DEGRADE", "twin": "CH-1", "level": 2}]}, "level"),
        ({"events": [{"type": "DELAY", "relation": ["CH-1", "brick:feeds", "VAV-12"], "hours": 1}]}, ""),
        ({"runs": 0, "events": []}, "runs"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused_with_place_and_hint(cli, spine_data, tmp_path, scenario, said):
    path = tmp_path / "s.json"
    path.write_text(json.dumps(scenario))
    done = cli("simulate", "--data", spine_data, "--scenario", path, "--json")
    assert done.code == 1, done.out
    assert said in done.err
    assert done.json["errors"][0]["code"]
    assert "Traceback" not in done.err
