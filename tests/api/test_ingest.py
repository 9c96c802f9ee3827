"""`POST /ingest`: lines, columns and CloudEvents; the fast way gives the words of the reference."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pytest

from api.ingest import LineReader
from api.ingest_batch import KnownPoints, ingest_all, table_of
from api.ingest_scan import PLAIN, PointTable, scan_lines
from api.schema.scalars import read_time
from graph.view import Budget, View
from ontology.units import load_units

TIME = "2026-01-01T08:00:00Z"


def value_of(server: Any, point: str) -> tuple[float | None, str | None]:
    node = server.data("query q($id: ID!) { node(id: $id) { ... on Point { value time } } }", {"id": point})
    return node["node"]["value"], node["node"]["time"]


def post(server: Any, content: bytes | str, **headers: str) -> Any:
    with server.client() as client:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.post("/ingest", content=content, headers=names)


def view_of(server: Any) -> View:
    return View(server.mesh.snapshot(), load_units(), Budget(nodes_max=1 << 40, wall_s=600))


# The scanner beside the reference


def number_text(draw: random.Random) -> str:
    return draw.choice(
        [
            str(draw.randint(-(10**6), 10**6)),
            repr(draw.uniform(-1e3, 1e3)),
            f"{draw.uniform(-50, 150):.3f}",
            f"{draw.uniform(-9, 9):.17e}",
            repr(draw.uniform(0, 1) * 10.0 ** draw.randint(-320, 308)),
            str(draw.randint(2**53 - 9, 2**64)),
            draw.choice(
                [
                    "-0",
                    "0",
                    "-0.0",
                    "1e22",
                    "1E-22",
                    "1e23",
                    "9007199254740993",
                    "1e400",
                    "01",
                    "1.",
                    "-",
                    ".5",
                ]
            ),
        ]
    )


def line_of(draw: random.Random, spoiled: float) -> str:
    moment = datetime.fromtimestamp(draw.uniform(1, 4e9), UTC)
    time = moment.strftime("%Y-%m-%dT%H:%M:%S") + draw.choice(["Z", ".5Z", ".123456789Z", ".000Z"])
    value = number_text(draw)
    point = draw.choice(["T-1", "campus:T-2", "https://twinmesh.invalid/campus/T-1"])
    quality = draw.choice(["GOOD", "BAD"])
    if draw.random() < spoiled:
        time = draw.choice(
            ["2026-02-29T00:00:00Z", "2026-01-01T00:00:00+02:00", "soon", "1969-12-31T23:59:59Z"]
        )
    if draw.random() < spoiled:
        point = draw.choice(["absent", "T\\u002d1", "CH-1", "AHU-1", "é", "", "campus:T-1"])
    if draw.random() < spoiled:
        value = draw.choice(["true", "null", '"1"', "[1]", "{}", "NaN", "1e", "0x1"])
    if draw.random() < spoiled:
        quality = draw.choice(["UNCERTAIN", "good", "fine", ""])
    fields = [f'"point":"{point}"', f'"time": "{time}"', f'"value" :{value}']
    if draw.random() < 0.4:
        fields.append(f'"quality":"{quality}"')
    draw.shuffle(fields)
    if draw.random() < spoiled:
        fields.append(draw.choice([fields[0], '"x":1', "", '"value":1']))
    if draw.random() < spoiled:
        fields.pop(0)
    line = "{" + draw.choice([",", ", ", " ,\t"]).join(fields) + "}"
    return line + draw.choice(["", " ", "}", "\r", " x"]) if draw.random() < spoiled else line


@pytest.mark.parametrize("spoiled", [0.0, 0.1])
def test_scanned_lines_mean_what_the_reference_says(server: Any, spoiled: float) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    lines = [line_of(draw, spoiled) for _ in range(4_000)]
    view = view_of(server)
    reader = LineReader(server.mesh, view)
    table = PointTable()
    names = ["T-1", "campus:T-2", "https://twinmesh.invalid/campus/T-1"]
    rows = [reader.point(name).row for name in names]
    for name in names:
        table.add(name.encode())
    scanned = scan_lines("\n".join(lines).encode(), table)
    plain = 0
    for at, line in enumerate(lines):
        if scanned.status[at] == PLAIN:
            taken = reader.read(line.encode())
            found = (
                rows[scanned.point[at]], scanned.times_ns[at], scanned.values[at : at + 1].view(np.uint64)[0],
                scanned.quality[at],
            )  # fmt: skip
            assert found == (taken.point.row, taken.time_ns, taken.word, taken.quality), line
            plain += 1
    print("plain", plain, "of", len(lines))
    assert plain > (2_500 if not spoiled else 1_000)


def test_reports_are_those_of_the_reference(server: Any) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    bodies = []
    for _ in range(60):
        lines = [line_of(draw, 0.1) if draw.random() < 0.95 else "" for _ in range(draw.randint(0, 40))]
        bodies.append(draw.choice(["\n", "\r\n"]).join(lines).encode())
    reports = []
    for columnar in (False, True, True):
        known = KnownPoints()
        parts = [bodies] if columnar else [[body] for body in bodies]
        found = [
            report.to_json()
            for part in parts
            for report in ingest_all(server.mesh, partial(view_of, server), part, known, columnar=columnar)
        ]
        reports.append(found)
    assert reports[0] == reports[1] == reports[2]
    assert sum(report["accepted"] for report in reports[0]) > 300
    assert sum(report["refused"] for report in reports[0]) > 100


def test_texts_of_times_have_the_meaning_of_the_reference() -> None:
    for text in (
        "2026-01-01T08:00:00.000000001Z",
        "1970-01-01T00:00:01Z",
        "2100-02-28T23:59:59Z",
        "2104-02-29T00:00:00Z",
    ):
        table = PointTable()
        table.add(b"p")
        scanned = scan_lines(f'{{"point":"p","time":"{text}","value":1}}'.encode(), table)
        assert scanned.status.tolist() == [PLAIN]
        assert scanned.times_ns[0] == read_time(text)


def test_a_table_of_many_names_finds_them_all() -> None:
    table = PointTable()
    names = [f"p-{number * 7}" for number in range(20_000)]
    assert [table.add(name.encode()) for name in names] == list(range(len(names)))
    lines = [f'{{"point":"{name}","time":"{TIME}","value":{at}}}' for at, name in enumerate(names)]
    scanned = scan_lines("\n".join(lines).encode(), table)
    assert scanned.point.tolist() == list(range(len(names)))
    assert scanned.values.tolist() == list(range(len(names)))


# Other forms of a body


def test_columns(server: Any) -> None:
    body = {"points": ["T-1", "T-2", "T-9"], "times": [TIME] * 3, "values": [1.5, 2.5, 3.5]}
    media = "application/vnd.twinmesh.columns+json"
    report = post(server, json.dumps(body), content_type=media).json()
    assert (report["accepted"], report["refused"], report["codes"]) == (2, 1, {"TWIN_UNKNOWN": 1})
    assert value_of(server, "T-2") == (2.5, TIME)
    for wrong in ({**body, "values": [1]}, {"points": []}, [], {**body, "x": []}, {**body, "times": 1}):
        answer = post(server, json.dumps(wrong), content_type=media)
        assert (answer.status_code, answer.json()["code"]) == (400, "BODY_INVALID")
    assert post(server, "{", content_type=media).json()["code"] == "BODY_INVALID"


def test_columns_say_what_the_same_lines_say(server: Any) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    draw = random.Random(seed)
    points: list[Any] = ["T-1", "T-2", "T-9", 7, None, ["T-1"]]
    times: list[Any] = [TIME, "2026-01-02T08:00:00.125Z", "2026-01-02T08:00:00+01:00", "soon", 5, None]
    values: list[Any] = [1, 2.5, -0.0, 2**64 - 1, 2**60 + 1, True, "x", None, [1]]
    qualities: list[Any] = ["GOOD", "BAD", "uncertain", "fine", None, ["GOOD"]]
    for _ in range(30):
        size = draw.randint(0, 30)
        columns = (points, times, values, qualities)
        likely = [draw.choices(each, [20, 20, *[1] * (len(each) - 2)], k=size) for each in columns]
        body = dict(zip(("points", "times", "values", "qualities"), likely, strict=True))
        known, reports = KnownPoints(), []
        table = table_of(json.loads(json.dumps(body)))
        for columnar in (False, True, True):
            args = (server.mesh, partial(view_of, server), [table], known)
            reports.append(ingest_all(*args, columnar=columnar)[0].to_json())
        assert reports[0] == reports[1] == reports[2]


def test_columns_of_known_points_need_no_snapshot(server: Any) -> None:
    table = table_of({"points": ["T-1", "T-2"] * 5, "times": [TIME] * 10, "values": list(range(10))})
    known = KnownPoints()
    assert ingest_all(server.mesh, partial(view_of, server), [table], known)[0].accepted == 10

    def never() -> View:
        raise AssertionError("all points are known")

    assert ingest_all(server.mesh, never, [table], known)[0].accepted == 10
    assert value_of(server, "T-2") == (9.0, TIME)


def event(**more: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": "1", "source": "urn:gateway", "type": "reading", **more}


def test_cloudevents(server: Any) -> None:
    one = "application/cloudevents+json"
    single = event(subject="T-1", time=TIME, data={"value": 7.5})
    assert post(server, json.dumps(single), content_type=f"{one}; charset=utf-8").json()["accepted"] == 1
    assert value_of(server, "T-1") == (7.5, TIME)
    batch = [
        event(subject="T-1", time="2026-01-01T09:00:00Z", data=8),
        event(data={"point": "T-2", "time": TIME, "value": 9, "quality": "BAD"}),
        event(subject="T-1", data=10),
    ]
    media = "application/cloudevents-batch+json"
    report = post(server, json.dumps(batch), content_type=media).json()
    assert (report["accepted"], report["codes"]) == (2, {"LINE_INVALID": 1})
    assert value_of(server, "T-1")[0] == 8
    binary = {"ce_specversion": "1.0", "ce_id": "2", "ce_source": "urn:g", "ce_type": "reading"}
    more = {"ce_subject": "T-2", "ce_time": "2026-01-02T08:00:00Z", "content_type": "application/json"}
    assert post(server, "11.5", **binary, **more).json()["accepted"] == 1
    assert value_of(server, "T-2")[0] == 11.5


@pytest.mark.parametrize(
    "wrong", [{"specversion": "0.3"}, {"id": ""}, {"source": 7}, {"data": ...}, [], "x"], ids=str
)
def test_events_that_are_none_are_refused_whole(server: Any, wrong: Any) -> None:
    document = {**event(subject="T-1", time=TIME, data=1), **wrong} if isinstance(wrong, dict) else wrong
    if isinstance(document, dict):
        document = {name: value for name, value in document.items() if value is not ...}
    answer = post(server, json.dumps(document), content_type="application/cloudevents+json")
    assert (answer.status_code, answer.json()["code"]) == (400, "EVENT_INVALID")


def test_other_methods_and_readers_are_refused(server: Any) -> None:
    with server.client() as client:
        assert client.get("/ingest").status_code == 405
