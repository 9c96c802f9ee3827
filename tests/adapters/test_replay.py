"""Replay: order, clocks, times, and what a file may not say."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from adapters.model import ReadingRows
from adapters.replay.config import ReplayConfig, parse_replay
from adapters.replay.source import PacedClock, ReplaySource, VirtualClock, replay, to_readings
from ontology.errors import InputError

S = 1_000_000_000
T0 = 1_768_219_200 * S


def rows(*items):
    points, times, values = zip(*items, strict=True)
    count = len(items)
    return ReadingRows(
        points,
        np.array(times, np.int64),
        values,
        np.zeros(count, np.uint8),
        np.arange(2, count + 2, dtype=np.int32),
    )


def at(twin, *items):
    return rows(*((twin.base + point, time_ns, value) for point, time_ns, value in items))


def test_readings_are_played_in_order_of_time_whatever_the_order_of_the_file(campus_twin, last_reading):
    table = at(campus_twin, ("FREE", T0 + 5 * S, 5.0), ("FREE", T0, 1.0), ("CH-1-RUN", T0 + 2 * S, True))
    readings = to_readings(table, campus_twin.snapshot(), campus_twin, "r.csv")
    assert readings.times_ns.tolist() == [T0, T0 + 2 * S, T0 + 5 * S]
    clock = VirtualClock(T0)
    assert replay(campus_twin, readings, clock) == 3
    assert clock.now_ns() == T0 + 5 * S
    assert last_reading("FREE")[:2] == (5.0, T0 + 5 * S)
    assert last_reading("CH-1-RUN")[0] is True


def test_every_unknown_point_and_unfit_value_is_named_with_its_line(campus_twin):
    table = at(campus_twin, ("FREE", T0, 1.0), ("FRE", T0, 1.0), ("CH-1-RUN", T0, 3.5), ("AHU-1", T0, 1.0))
    with pytest.raises(InputError) as caught:
        to_readings(table, campus_twin.snapshot(), campus_twin, "r.csv")
    found = [(p.code, p.place.line) for p in caught.value.problems]
    assert found == [("POINT_UNKNOWN", 3), ("POINT_UNKNOWN", 5), ("VALUE_TYPE", 4)]


def test_a_paced_clock_passes_time_at_its_speed_and_can_be_stopped():
    stop = threading.Event()
    clock = PacedClock(T0, 100.0, stop)
    began = time.monotonic()
    assert clock.sleep_until(T0 + 20 * S)
    assert time.monotonic() - began > 0.15  # never early; how late depends on the machine
    stop.set()
    assert not clock.sleep_until(T0 + 3600 * S)


def test_a_source_moves_recorded_times_to_now_and_repeats(campus_twin, last_reading):
    table = at(campus_twin, ("FREE", T0, 1.0), ("FREE", T0 + 1 * S, 2.0))
    config = ReplayConfig("campus", Path("r.csv"), speed=0.0, repeat=False, rebase=True)
    before = time.time_ns()
    source = ReplaySource.start(campus_twin, config, table)
    until = time.monotonic() + 120
    while source.health().running and time.monotonic() < until:
        time.sleep(0.01)
    health = source.health()
    source.stop()
    assert (health.recorded, health.rounds, health.last_error) == (2, 1, None)
    value, time_ns, _ = last_reading("FREE")
    assert value == 2.0
    assert before + 1 * S <= time_ns <= time.time_ns() + 1 * S


def test_settings_are_strict(tmp_path):
    path = tmp_path / "twinmesh.toml"
    good = {"replay": [{"site": "plant", "readings": "r.csv", "speed": 60}]}
    (config,) = parse_replay(good, path)
    assert (config.site, config.readings, config.speed) == ("plant", tmp_path / "r.csv", 60.0)
    with pytest.raises(InputError) as caught:
        parse_replay({"replay": [{"site": "plant", "sped": 1}, {"readings": "x", "speed": -1}]}, path)
    codes = [problem.code for problem in caught.value.problems]
    assert codes == ["CONFIG_KEY_MISSING", "CONFIG_UNKNOWN_KEY", "CONFIG_KEY_MISSING", "CONFIG_RANGE"]
