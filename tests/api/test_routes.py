"""Events out: signed CloudEvents at a real receiver, at least once, in order, with dead letters."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import time

import pytest

from adapters.alarm_desk import AlarmDesk
from adapters.alarm_rules import parse_alarms
from api.commands.routing import ReplayCommand, run_replay
from api.route_config import parse_routes
from api.route_store import RouteStore
from api.route_targets import open_target
from api.routes import Logs, Route, sources_of
from graph.backup import make_backup
from graph.restore import restore_backup
from graph.stores.site_files import ALARMS
from graph.stores.state_log import StateLog
from graph.values import Change, TwinRecord
from ontology.errors import InputError, UsageError
from tests.api.webhooks import Receiver, bound, wait_for

SECRET = "a secret of thirty-two bytes, here"


@pytest.fixture
def routes(mesh, monkeypatch):
    """Starts a route over the mesh: settings by name, and logs of alarms."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)

    @contextlib.contextmanager
    def start(port, alarms=None, impacts=None, **settings):
        table = {
            "name": "hook",
            "events": ["changes"],
            "url": f"http://127.0.0.1:{port}/in?x=1",
            "secret_env": "HOOK_SECRET",
            **settings,
        }
        (config,) = parse_routes({"routes": [table]}, mesh.folder / "twinmesh.toml")
        with (
            RouteStore.open(mesh.folder) as store,
            Route(config, store, open_target(config, frozenset())) as route,
        ):
            route.start(sources_of(route, mesh, Logs(alarms=alarms or {}, impacts=impacts)))
            yield route, store

    return start


def put(mesh, name, message=""):
    point = mesh.schema.kind("tm:Point").iri
    twin = mesh.twin("campus")
    return twin.apply(Change(put_twins=(TwinRecord(twin.base + name, (point,)),), message=message)).revision


def test_changes_arrive_signed_in_order_and_go_on_after_a_restart(mesh, routes):
    receiver = Receiver()
    with receiver.open() as port:
        with routes(port, sites=["campus"]) as (route, _):
            revisions = [put(mesh, f"P-{number}", f"the {number}th") for number in range(5)]
            wait_for(lambda: len(receiver.events) == 5)
            wait_for(lambda: route.behind() == 0)
        revisions.append(put(mesh, "P-9", "while nobody sent"))
        with routes(port, sites=["campus"]):
            wait_for(lambda: len(receiver.events) == 6)
    events = receiver.events
    assert [event["data"]["revision"] for event in events] == [str(each) for each in revisions]
    assert [event["id"] for event in events] == [f"campus/changes/{each}" for each in revisions]
    assert [event["sequence"] for event in events] == sorted(event["sequence"] for event in events)
    kinds = {(event["specversion"], event["type"]) for event in events}
    assert kinds == {("1.0", "dev.twinmesh.change.applied")}
    assert events[-1]["data"]["message"] == "while nobody sent"
    for headers, body in receiver.headers:
        assert headers["content-type"] == "application/cloudevents+json"
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.digest(SECRET.encode(), signed, "sha256")).decode()
        assert headers["webhook-signature"] == f"v1,{wanted}"


def test_a_target_that_is_away_loses_nothing_and_holds_up_nobody(mesh, routes):
    receiver = Receiver()
    listener = bound()  # ours, but nobody listens yet: who connects is refused
    with routes(listener.getsockname()[1], sites=["campus"]) as (route, store):
        revisions = [put(mesh, f"P-{number}") for number in range(3)]  # the writer waits for none of it
        wait_for(lambda: route.attempts_failed > 0)
        assert (route.behind(), route.dead()) == (3, 0)
        with receiver.open(listener):
            wait_for(lambda: len(receiver.events) == 3)
            assert [event["data"]["revision"] for event in receiver.events] == [str(r) for r in revisions]
            wait_for(lambda: store.position("hook", "campus", "changes") == revisions[-1])


def test_what_is_refused_becomes_a_dead_letter_and_comes_again_when_asked(mesh, routes):
    receiver = Receiver()
    with receiver.open() as port, routes(port, sites=["campus"]) as (route, store):
        receiver.status = 422
        put(mesh, "P-1", "bad")
        (dead,) = wait_for(store.dead)
        assert (dead.event, dead.reason) == (
            f"campus/changes/{mesh.twin('campus').snapshot().revision}",
            "answered with status 422",
        )
        receiver.status = 204
        put(mesh, "P-2", "good")
        wait_for(lambda: [event["data"]["message"] for event in receiver.events] == ["good"])
        assert store.ask_again("other", None) == 0
        assert store.ask_again(None, None) == 1
        wait_for(lambda: [event["data"]["message"] for event in receiver.events] == ["good", "bad"])
        wait_for(lambda: not store.dead())
        assert route.delivered == 2


def test_events_come_again_from_a_number_on_while_the_route_is_at_work(mesh, routes):
    receiver = Receiver()
    with receiver.open() as port, routes(port) as (route, store):
        first = put(mesh, "A")
        revisions = [str(first), str(put(mesh, "B")), str(put(mesh, "C"))]
        wait_for(lambda: route.behind() == 0 and len(receiver.events) == 3)
        assert store.ask_from("hook", first + 1, "plant") == 0
        assert store.ask_from("hook", first + 1, "campus", "alarms") == 0
        assert store.ask_from("hook", first + 1, "campus") == 1
        wait_for(lambda: len(receiver.events) == 5)
        assert store.ask_from("other", 1) == 0
        last = str(put(mesh, "D"))
        wait_for(lambda: len(receiver.events) == 6)
        told = [event["data"]["revision"] for event in receiver.events]
        assert told == [*revisions, *revisions[1:], last]
        assert len({event["id"] for event in receiver.events}) == 4
        assert {kind for _, _, kind, _ in store.cursors()} == {"changes"}


def test_the_verb_asks_beside_a_server_and_takes_nothing_unclear(mesh, routes, capsys):
    receiver = Receiver()
    with receiver.open() as port, routes(port) as (route, _):
        first = put(mesh, "A")
        wait_for(lambda: route.behind() == 0 and receiver.events)
        run_replay(mesh.folder, ReplayCommand("hook", start=first), as_json=True)
        assert json.loads(capsys.readouterr().out) == {"asked": 1}
        wait_for(lambda: len(receiver.events) == 2)
    for unclear in (
        ReplayCommand(None, start=1),
        ReplayCommand("hook", letter=1, start=1),
        ReplayCommand("hook", site="campus"),
    ):
        with pytest.raises(UsageError, match="ROUTE_REPLAY"):
            run_replay(mesh.folder, unclear, as_json=True)


def test_a_backup_holds_how_far_a_route_came(mesh, routes, tmp_path):
    receiver = Receiver()
    with receiver.open() as port, routes(port) as (route, _):
        put(mesh, "A")
        wait_for(lambda: route.behind() == 0 and receiver.events)
        make_backup(mesh.folder, tmp_path / "backup", mesh.schema)
    restore_backup(tmp_path / "backup", tmp_path / "back", mesh.schema, verify=True)
    with RouteStore.open(mesh.folder) as kept, RouteStore.open(tmp_path / "back") as back:
        assert back.cursors() == kept.cursors() != []


def test_a_server_that_fails_is_tried_again_a_limited_number_of_times(mesh, routes):
    receiver = Receiver()
    receiver.status = 503
    with receiver.open() as port, routes(port, sites=["campus"], attempts_max=2) as (route, store):
        put(mesh, "P-1")
        wait_for(store.dead)
        assert route.attempts_failed == 2


def test_an_alarm_becomes_one_work_order(mesh, routes, tmp_path, units):
    receiver = Receiver()
    rules = parse_alarms(
        {"alarms": [{"name": "hot", "point": "T-{n}", "high": 30, "severity": "critical"}]},
        tmp_path / "twinmesh.toml",
    )
    twin = mesh.twin("campus")
    with (
        receiver.open() as port,
        StateLog.open(tmp_path / "alarms.sqlite", ALARMS) as log,
        AlarmDesk(twin, log, rules) as desk,
        routes(port, {"campus": log}, events=["alarms"], work_orders=True, severity_min="high") as (route, _),
    ):
        for value in (40.0, 20.0, 41.0):
            record(twin, "T-1", value)
            said = f'"value":{value}'.encode()
            wait_for(lambda said=said: [entry for entry in log.entries(0) if said in entry.content])
        wait_for(lambda: route.behind() == 0)
        alarm = wait_for(lambda: log.open_ones())[0].subject
        desk.shelve(alarm, "ann", time.time_ns() + 3_600 * 10**9, None)
        desk.shelve(alarm, "ann", 0, None)  # back at once: still the same work
        desk.acknowledge(wait_for(lambda: log.open_ones())[0].subject, "ann", None)
        wait_for(lambda: route.behind() == 0)
        (order,) = receiver.events
    assert order["type"] == "dev.twinmesh.workorder.requested"
    assert order["subject"] == order["data"]["asset"] == twin.base + "T-1"
    assert order["data"]["priority"] == "critical"
    assert order["data"]["summary"] == "hot: T-1 is above 30"


def test_readings_come_in_batches_with_every_value(mesh, routes):
    receiver = Receiver()
    twin = mesh.twin("campus")
    with receiver.open() as port, routes(port, events=["readings"], sites=["campus"], points="T-{n}"):
        for number in range(50):
            record(twin, "T-2", float(number))
        wait_for(lambda: len(values(receiver)) >= 50)
    assert values(receiver) == [float(number) for number in range(50)]


def values(receiver):
    return [item["value"] for event in receiver.events for item in event["data"]["readings"]]


def record(twin, point, value):
    import numpy as np

    from graph.values import Readings

    row = twin.snapshot().find(point)
    twin.record(
        Readings(
            np.array([row], np.int32),
            np.array([time.time_ns()], np.int64),
            np.array([value]).view(np.uint64),
            np.zeros(1, np.uint8),
        )
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"events": ["alerts"]}, "CONFIG_RANGE"),
        ({"url": "ftp://example/x"}, "ROUTE_URL"),
        ({"url": "https://user:pw@example/x"}, "ROUTE_URL"),
        ({"work_orders": True}, "CONFIG_RANGE"),
        ({"secret": "x"}, "CONFIG_UNKNOWN_KEY"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path, change, code):
    table = {"name": "x", "events": ["changes"], "url": "https://h.example/in", "secret_env": "S", **change}
    with pytest.raises(InputError) as refused:
        parse_routes({"routes": [table]}, tmp_path / "twinmesh.toml")
    assert code in {problem.code for problem in refused.value.problems}


def test_a_short_secret_is_refused(tmp_path, monkeypatch):
    table = {"name": "x", "events": ["changes"], "url": "https://h.example/in", "secret_env": "SHORT"}
    (config,) = parse_routes({"routes": [table]}, tmp_path / "twinmesh.toml")
    monkeypatch.setenv("SHORT", "x")
    with pytest.raises(InputError, match="ROUTE_SECRET"):
        open_target(config, frozenset())
