"""Files in, questions, cascades and documents out, by the command alone and through a server."""

from __future__ import annotations

import json

import pytest

WALK = """{ node(id: "R-12") { localId kind
  in(relation: "feeds") { nodes { twin { localId in(relation: "feeds") { nodes { twin { localId } } } } } }
  out(relation: "supplies") { nodes { twin { localId kind } } } } }"""


def test_an_import_reports_what_it_did_and_a_second_one_that_nothing_changed(cli, spine, tmp_path):
    files = sorted(spine.glob("*.csv"))
    first = cli("import", *files, "--data", tmp_path / "d", "--site", "campus", "--json").json
    assert [(f["source"], f["created"], f["errors"]) for f in first["files"]] == [
        ("assets", 5, []),
        ("links", 4, []),
        ("suppliers", 3, []),
        ("supply", 3, []),
    ]
    again = cli("import", *files, "--data", tmp_path / "d", "--site", "campus", "--json").json
    assert [(f["created"], f["updated"], f["unchanged"]) for f in again["files"]] == [
        (0, 0, 5),
        (0, 0, 4),
        (0, 0, 3),
        (0, 0, 3),
    ]


def test_a_dry_run_changes_nothing(cli, spine, tmp_path):
    done = cli(
        "import", spine / "assets.csv", "--data", tmp_path / "d", "--site", "campus", "--dry-run", "--json"
    )
    assert (done.code, done.json["applied"], done.json["files"][0]["created"]) == (0, False, 5)
    assert (
        cli("import", spine / "assets.csv", "--data", tmp_path / "d", "--site", "campus", "--json").json[
            "files"
        ][0]["created"]
        == 5
    )


def test_a_query_walks_the_graph(cli, spine_data):
    answer = cli("query", WALK, "--data", spine_data).json
    room = answer["data"]["node"]
    assert (room["localId"], room["kind"]) == ("R-12", "rec:Room")
    assert room["in"]["nodes"][0]["twin"]["localId"] == "VAV-12"
    assert room["in"]["nodes"][0]["twin"]["in"]["nodes"][0]["twin"]["localId"] == "AHU-3"
    assert [link["twin"]["localId"] for link in room["out"]["nodes"]] == ["DEVICE"]


def test_a_query_takes_a_file_and_variables(cli, spine_data, tmp_path):
    (tmp_path / "q.graphql").write_text("query Q($id: ID!) { node(id: $id) { name } }")
    asked = ("query", f"@{tmp_path / 'q.graphql'}", "--data", spine_data, "--variables", '{"id": "CH-1"}')
    assert cli(*asked).json["data"] == {"node": {"name": "Chiller"}}


def test_a_query_with_an_error_prints_the_response_and_exits_with_1(cli, spine_data):
    done = cli("query", "{ nodde { id } }", "--data", spine_data)
    assert done.code == 1
    assert done.json["errors"][0]["extensions"]["code"]
    assert done.json["errors"][0]["extensions"]["code"] in done.err


def test_a_cascade_names_who_when_what_and_why(cli, spine_data):
    done = cli(
        "simulate",
        "--data",
        spine_data,
        "--fail",
        "CH-1",
        "--repair-hours",
        10,
        "--horizon-hours",
        48,
        "--json",
    )
    impact = done.json
    by_id = {item["localId"]: item for item in impact["impacts"]}
    # The chiller is down 0..10; the air handler starves from 2 to 10; the room's air lasts one hour more; the
    # laboratory's work half an hour more. All of it is certain, so one run is enough.
    assert impact["runsComputed"] == 1
    hits = {name: (item["firstHitHours"]["p50"], item["expectedDownHours"]) for name, item in by_id.items()}
    assert hits == {
        "CH-1": (0.0, 10.0),
        "AHU-3": (2.0, 8.0),
        "VAV-12": (2.0, 8.0),
        "R-12": (3.0, 7.0),
        "DEVICE": (3.5, 6.5),
    }
    costs = {name: item["expectedCost"] for name, item in by_id.items()}
    assert costs == {"CH-1": 9000.0, "AHU-3": 80.0, "VAV-12": 0.0, "R-12": 560.0, "DEVICE": 3250.0}
    assert by_id["DEVICE"]["why"] == ["CH-1", "AHU-3", "VAV-12", "R-12", "DEVICE"]
    assert impact["summary"]["expectedCost"] == pytest.approx(sum(costs.values()))


def test_equal_scenarios_give_equal_bytes(cli, spine_data, tmp_path):
    late = {"type": "DELAY", "relation": ["PART-1", "tm:supplies", "DEVICE", "parts"], "hours": 30}
    events = [{"type": "FAIL", "twin": "AHU-3", "atHours": 1}, late]
    (tmp_path / "s.json").write_text(json.dumps({"name": "two", "horizonHours": 60, "events": events}))
    asked = ("simulate", "--data", spine_data, "--scenario", tmp_path / "s.json", "--json")
    first, second = cli(*asked), cli(*asked)
    assert (first.code, second.code) == (0, 0), first.err
    assert first.out == second.out
    assert "AHU-3" in {item["localId"] for item in first.json["impacts"]}


@pytest.mark.parametrize("format", ["nq", "jsonld", "csv"])
def test_an_export_comes_back_in_as_it_was(cli, spine_data, tmp_path, format):
    path = tmp_path / f"all.{format}"
    assert cli("export", "--data", spine_data, "--format", format, "--out", path).out == ""
    done = cli("import", path, "--data", tmp_path / "again", "--site", "campus")
    assert done.code == 0, done.err
    again = cli("export", "--data", tmp_path / "again", "--format", format).out
    assert again == path.read_text("utf-8")


def test_graphml_and_turtle_go_to_stdout(cli, spine_data):
    assert cli("export", "--data", spine_data, "--format", "graphml").out.startswith("<?xml")
    assert "brick:AHU" in cli("export", "--data", spine_data, "--format", "ttl").out


def test_the_schema_is_printed_and_names_the_kinds_in_use(cli, spine_data):
    text = cli("schema", "--data", spine_data).out
    for part in ("interface Twin", "type Query", "ahuList(", "type AHUTwin implements", "chiller(id: ID!"):
        assert part in text


def test_check_tells_the_need_groups(cli, spine_data):
    done = cli("check", "--data", spine_data, "--json")
    assert done.code == 0, done.err
    groups = {(group["localId"], group["group"], *group["supplierLocalIds"]) for group in done.json["groups"]}
    assert groups == {
        ("AHU-3", "tm:feeds chilledWater", "CH-1"),
        ("VAV-12", "tm:feeds air", "AHU-3"),
        ("R-12", "tm:feeds air", "VAV-12"),
        ("PART-1", "maker", "SUP-1"),
        ("DEVICE", "parts", "PART-1"),
        ("DEVICE", "laboratory", "R-12"),
    }


def test_verify_finds_the_chain_whole_and_names_where_it_breaks(cli, spine_data):
    assert cli("verify", "--data", spine_data, "--json").json["sound"] is True


class TestThroughAServer:
    """The same verbs with --url answer the same."""

    @pytest.fixture
    def server(self, serve, spine_data):
        return serve(spine_data)

    def test_answers_are_those_of_the_folder(self, cli, server, spine_data):
        place = ("--data", spine_data), ("--url", server.url)
        for asked in (
            ("query", WALK),
            ("export", "--format", "nq"),
            ("export", "--format", "csv"),
            ("schema",),
            ("check", "--json"),
            ("simulate", "--fail", "CH-1", "--repair-hours", 10, "--json"),
        ):
            here, there = (cli(*asked, *where) for where in place)
            assert (here.code, there.code) == (0, 0), (asked, here.err, there.err)
            if asked[0] == "query":
                assert here.json["data"] == there.json["data"]
            elif "--json" in asked:
                assert here.json == there.json
            else:
                assert here.out == there.out

    def test_a_served_folder_is_read_and_not_written(self, cli, server, spine, spine_data):
        done = cli("import", spine / "assets.csv", "--data", spine_data, "--site", "campus")
        assert done.code == 1
        assert "STORE_LOCKED" in done.err
        assert server.url in done.err

    def test_files_can_be_sent_to_a_server(self, cli, server, spine, tmp_path):
        extra = tmp_path / "more.csv"
        extra.write_text("id,kind,name\nAHU-9,brick:AHU,Another\n")
        done = cli("import", extra, "--url", server.url, "--site", "campus", "--json")
        assert (done.code, done.json["files"][0]["created"]) == (0, 1), done.err
        answer = cli("query", '{ node(id: "AHU-9") { name } }', "--url", server.url).json
        assert answer["data"]["node"]["name"] == "Another"
        extra.write_text("id,kind,name\nAHU-10,brick:AHUU,Wrong\n")
        bad = cli("import", extra, "--url", server.url, "--site", "campus")
        assert bad.code == 1
        assert "KIND_UNKNOWN" in bad.err

    def test_sigterm_drains(self, server):
        assert server.stop() == 0
