"""The demo's world: made without a warning, every signal bound, the failure travelling as the story says."""

from __future__ import annotations

import pytest

from adapters.binding import load_bindings
from adapters.mqtt.decode import Message, decode
from adapters.routing import Router
from api.checking import check_mesh
from api.commands.folders import open_to_write
from api.demo.build import SITES, build
from api.demo.points import FIXED_POINTS, iso_time, readings_csv
from api.demo.signals import HOUR_NS, counting, daily, jitter, running, working
from api.demo.story import START, START_NS, cascade, scenario
from graph.values import Quality
from ontology.units import load_units

NOON_NS = START_NS + 12 * HOUR_NS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def mesh(folder):
    with open_to_write(folder / "data") as mesh:
        yield mesh


@pytest.fixture(scope="module")
def demo(mesh, folder):
    return build(mesh, folder)


def test_signals_are_functions_of_time():
    signal = daily(20.0, 2.0, peak_hour=15.0, noise=0.5)
    assert signal("p", NOON_NS) == signal("p", NOON_NS)
    assert signal("p", NOON_NS) != signal("q", NOON_NS)
    assert all(-1.0 <= jitter("p", NOON_NS + i * 60_000_000_000) <= 1.0 for i in range(1_000))
    assert daily(20.0, 2.0, peak_hour=15.0)("p", START_NS + 15 * HOUR_NS) == 22.0
    assert working(100.0, 0.0, start=6, end=22)("p", START_NS + 5 * HOUR_NS) == 0.0
    counts = [counting(79)("p", START_NS + i * HOUR_NS) for i in range(48)]
    assert counts == sorted(counts) and counts[1] - counts[0] == 79
    states = {running(("A", "B", "C"), minutes=90)("p", START_NS + i * 60_000_000_000) for i in range(200)}
    assert states == {"A", "B", "C"}


def test_the_fixed_start_is_what_it_says():
    assert iso_time(START_NS) == START.replace("Z", ".000Z")


def test_recorded_telemetry_is_in_order_of_time():
    lines = readings_csv(FIXED_POINTS[:2], START_NS, START_NS + HOUR_NS, HOUR_NS // 2).splitlines()
    assert lines[0] == "point,time,value"
    assert [line.split(",")[1] for line in lines[1:]] == sorted(line.split(",")[1] for line in lines[1:])
    assert len(lines) == 5


def test_every_file_comes_in_without_a_warning(demo):
    for site, report in demo.imports:
        for file in report.files:
            assert not (file.errors or file.warnings), (site, file.path, file.warnings)
    assert {site for site, _ in demo.imports} == set(SITES)


def test_the_model_has_nothing_to_complain_about(demo, mesh):
    report = check_mesh(mesh)
    assert (report.problems, report.warnings, report.unknown_kinds) == ((), (), ())


@pytest.mark.parametrize("site", SITES)
def test_every_signal_arrives_at_its_point_as_it_was_meant(demo, mesh, folder, site):
    units = load_units()
    twin = mesh.twin(site)
    router = Router(load_bindings(folder / f"bindings-{site}.toml", units), twin.snapshot(), units)
    assert router.problems == ()
    mine = [point for point in demo.points if point.site == site]
    messages = [Message(point.topic, point.payload(NOON_NS), NOON_NS) for point in mine]
    readings, routes, *_ = decode(messages, router, twin.intern_texts)
    for route in routes:
        router.saw(route, NOON_NS)
    assert twin.record(readings) == len(mine)
    assert set(readings.quality.tolist()) == {Quality.GOOD}
    snapshot = twin.snapshot()
    for point in mine:
        meant = point.signal(point.id, NOON_NS)
        found = snapshot.point_value(snapshot.find(point.id))
        assert found == pytest.approx(meant) if isinstance(meant, float) else found == meant, point.id
    assert all(health.seen == health.expected for health in router.health(NOON_NS))


def test_the_chiller_takes_a_product_of_another_company_with_it(demo, mesh):
    document = {**scenario(repair_hours=12), "horizonHours": 48, "runs": 20}
    impact = cascade(mesh.snapshot(), document)
    by_id = {item["localId"]: item for item in impact["impacts"]}
    assert by_id["DRIVE-200"]["why"] == ["CH-1", by_id["DRIVE-200"]["why"][1], "AHU-2", "LINE-1", "DRIVE-200"]
    # Cold water lasts half an hour in the pipes, the hall's air another half: the line stops at 15:00.
    # Its boards are 4 hours on the road, the stock of them lasts 10 more.
    assert by_id["LINE-1"]["firstHitHours"]["p50"] == 15.0
    assert by_id["DRIVE-200"]["firstHitHours"]["p50"] == 15.0 + 4 + 10
