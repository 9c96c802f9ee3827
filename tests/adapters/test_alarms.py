"""Alarms: what rules find in batches, what people do with it, and that it survives."""

from __future__ import annotations

import time

import numpy as np
import pytest

from adapters.alarm_desk import ALARM_RECORDS, AlarmDesk
from adapters.alarm_rules import parse_alarms
from adapters.alarm_watch import RuleWatch
from graph.stores.site_files import ALARMS
from graph.stores.state_log import StateLog
from graph.values import Readings
from ontology.errors import ConflictError, InputError

DEADLINE_S = 60.0
T0 = 1_780_000_000_000_000_000
S = 1_000_000_000


def rules(tmp_path, *tables):
    return parse_alarms({"alarms": list(tables)}, tmp_path / "twinmesh.toml")


def readings(twin, *rows):
    """Rows of (point, seconds, number[, quality])."""
    snapshot = twin.snapshot()
    return Readings(
        np.array([snapshot.find(row[0]) for row in rows], np.int32),
        np.array([T0 + round(row[1] * S) for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64).view(np.uint64),
        np.array([row[3] if len(row) > 3 else 0 for row in rows], np.uint8),
    )


def wait_for(happened):
    until = time.monotonic() + DEADLINE_S
    while not (found := happened()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)
    return found


@pytest.fixture
def log(tmp_path):
    with StateLog.open(tmp_path / "alarms.sqlite", ALARMS) as opened:
        yield opened


def states(log):
    return [ALARM_RECORDS.decode(entry.content) for entry in log.entries(0, 1_000)]


HOT = {"name": "hot", "point": "{ahu}-SAT", "high": 25, "hysteresis": 2}


def test_high_with_hysteresis_equals_a_plain_reading_of_the_rule(campus_twin, tmp_path):
    """Random batches over several points against one sample after the other."""
    seed = 20_261
    random = np.random.default_rng(seed)
    (rule,) = rules(tmp_path, HOT)
    watch = RuleWatch(rule, campus_twin.snapshot())
    points = ["AHU-1-SAT", "AHU-2-SAT", "CH-1-PWR"]
    plain: dict[str, bool] = {}
    clock, edges = 0.0, 0
    for _ in range(300):
        rows = []
        for _ in range(int(random.integers(1, 12))):
            clock += 1
            value = random.choice([20.0, 23.0, 23.5, 25.0, 25.5, 30.0, np.nan])
            told = int(random.integers(0, 3)) | int(random.integers(0, 17)) << 2  # with a reason or without
            rows.append((str(random.choice(points)), clock, value, told))
        before = dict(plain)
        ever = set()
        for point, _, value, quality in rows:
            if not point.endswith("SAT") or quality & 3 == 2 or np.isnan(value):
                continue
            if value > 25:
                plain[point] = True
                ever.add(point)
            elif value <= 23:
                plain[point] = False
        snapshot = campus_twin.snapshot()
        raised, cleared = watch.judge(snapshot, readings(campus_twin, *rows))
        names = snapshot.local_ids(watch.rows)
        found = {name: bool(active) for name, active in zip(names, watch.active, strict=True)}
        assert found == {name: plain.get(name, False) for name in names}, seed
        rises = {name for name, is_one in zip(names, raised, strict=True) if is_one}
        falls = {name for name, is_one in zip(names, cleared, strict=True) if is_one}
        assert rises == {name for name in ever if not before.get(name)}, seed
        assert falls == {n for n in names if not plain.get(n, False) and (before.get(n) or n in ever)}, seed
        edges += len(rises) + len(falls)
    assert edges > 100


def test_a_delay_wants_it_to_last(campus_twin, tmp_path):
    (rule,) = rules(tmp_path, {**HOT, "hysteresis": 0, "delay_s": 10})
    watch = RuleWatch(rule, campus_twin.snapshot())
    snapshot = campus_twin.snapshot()

    def judge(*rows):
        return [bool(each.any()) for each in watch.judge(snapshot, readings(campus_twin, *rows))]

    assert judge(("AHU-1-SAT", 0, 30), ("AHU-1-SAT", 5, 20)) == [False, False]  # a spike
    assert judge(("AHU-1-SAT", 6, 30)) == [False, False]
    assert judge(("AHU-1-SAT", 15, 30)) == [False, False]
    assert not watch.due(T0 + 15 * S).any()
    assert judge(("AHU-1-SAT", 16, 30)) == [True, False]
    assert judge(("AHU-1-SAT", 17, 20)) == [False, True]
    assert judge(("AHU-2-SAT", 20, 30)) == [False, False]
    assert watch.waits  # nothing more comes: time alone raises it
    assert watch.raise_due(T0 + 30 * S).tolist() == [False, True]
    assert not watch.waits


def test_quality_and_conditions_over_several_points(campus_twin, tmp_path, log):
    found = rules(
        tmp_path,
        {"name": "bad", "kind": "tm:Point", "quality": "bad"},
        {"name": "hot while on", "point": "AHU-{n}-SAT", "when": 'value > 25 and point("CH-{n}-RUN") == 1'},
    )
    with AlarmDesk(campus_twin, log, found):
        campus_twin.record(readings(campus_twin, ("AHU-1-SAT", 1, 30)))
        run = readings(campus_twin, ("CH-1-RUN", 2, 0))
        on = Readings(run.points, run.times_ns, np.array([1], np.uint64), run.quality)
        campus_twin.record(on)
        wait_for(lambda: [each.rule for each in states(log)] == ["hot while on"])
        campus_twin.record(readings(campus_twin, ("FREE", 3, 1, 2)))
        wait_for(lambda: [(each.rule, each.active) for each in states(log)][1:] == [("bad", True)])
        off = Readings(run.points, run.times_ns + 9 * S, np.array([0], np.uint64), run.quality)
        campus_twin.record(off)
        last = wait_for(lambda: [each for each in states(log) if not each.active])
        assert [(each.rule, each.status) for each in last] == [("hot while on", "CLEARED")]


def test_acknowledge_shelve_clear_and_a_restart(campus_twin, tmp_path, log):
    (rule,) = rules(tmp_path, HOT)
    with AlarmDesk(campus_twin, log, [rule]) as desk:
        campus_twin.record(readings(campus_twin, ("AHU-1-SAT", 1, 30)))
        (raised,) = wait_for(lambda: states(log))
        assert (raised.status, raised.value, raised.severity) == ("RAISED", 30, "medium")
        hidden = desk.shelve(raised.id, "ann", time.time_ns() + 3_600 * S, "being repaired")
        assert (hidden.status, hidden.shelved_by) == ("SHELVED", "ann")
        assert desk.shelve(raised.id, "ann", 0, None).status == "RAISED"
        done = desk.acknowledge(raised.id, "bob", None)
        assert (done.status, done.acknowledged_by, done.comment) == ("ACKNOWLEDGED", "bob", "being repaired")
        with pytest.raises(ConflictError, match="ALARM_STATE"):
            desk.acknowledge(raised.id, "eve", None)
    # While nobody watched, it went away and came back; the log goes on where it was.
    campus_twin.record(readings(campus_twin, ("AHU-1-SAT", 2, 20)))
    with AlarmDesk(campus_twin, log, [rule]):
        last = wait_for(lambda: [each for each in states(log) if not each.active])[-1]
        assert (last.id, last.status, last.is_open) == (raised.id, "CLEARED", False)
        campus_twin.record(readings(campus_twin, ("AHU-1-SAT", 3, 31)))
        again = wait_for(lambda: [each for each in states(log) if each.value == 31])[-1]
        assert (again.id != raised.id, again.status) == (True, "RAISED")
        campus_twin.record(readings(campus_twin, ("AHU-1-SAT", 4, 20)))
        campus_twin.record(readings(campus_twin, ("AHU-1-SAT", 5, 32)))
        back = wait_for(lambda: [each for each in states(log) if each.count == 2])[-1]
        assert (back.id, back.status) == (again.id, "RAISED")
    with AlarmDesk(campus_twin, log, []):
        gone = wait_for(lambda: [each for each in states(log) if each.id == again.id and not each.active])
        assert gone[-1].is_open  # nobody acknowledged it


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ({"name": "x", "point": "A"}, "ALARM_RULE"),
        ({"name": "x", "point": "A", "high": 1, "low": 2}, "ALARM_RULE"),
        ({"name": "x", "high": 1}, "ALARM_RULE"),
        ({"name": "x", "point": "A", "when": "value.real > 1"}, "EXPRESSION_INVALID"),
        ({"name": "x", "point": "A", "when": 'value > 1 and point("{b}") > 1'}, "ALARM_RULE"),
        ({"name": "x", "point": "A", "higher": 1}, "CONFIG_UNKNOWN_KEY"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(tmp_path, table, code):
    with pytest.raises(InputError) as refused:
        rules(tmp_path, table)
    assert code in {problem.code for problem in refused.value.problems}
