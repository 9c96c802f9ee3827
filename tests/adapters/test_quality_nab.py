"""The Numenta files: rules learnt from the first 15 % of each by one way, judged on the rest.

Told as it is: one of the temperature windows lies in the stretch that was learnt from, and one (27 January)
shows no value that the stretch does not show: no rule about a single reading can find it.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from adapters.quality import PointRules, PointStates, Rules
from adapters.quality.detecting import flags_of, graded
from adapters.quality.learning import READINGS_MIN, learn
from graph.quality import Reason, severities
from graph.values import Readings

LEARNT_PART = 0.15
FLATLINE = "artificialNoAnomaly/art_flatline.csv"
JUMPS = "artificialWithAnomaly/art_daily_jumpsup.csv"
TEMPERATURE = "realKnownCause/machine_temperature_system_failure.csv"


@dataclass(frozen=True)
class Series:
    times_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    windows: tuple[npt.NDArray[np.bool_], ...]

    @property
    def learnt(self) -> int:
        return int(len(self.values) * LEARNT_PART)

    def judged(self) -> npt.NDArray[np.int64]:
        """Flags by the rules that its first part gives."""
        return self.flags(learn(self.times_ns[: self.learnt], self.values[: self.learnt]))

    def flags(self, rules: PointRules) -> npt.NDArray[np.int64]:
        """Flags by some rules."""
        count = len(self.values)
        batch = Readings(
            np.zeros(count, np.int32), self.times_ns, self.values.view(np.uint64), np.zeros(count, np.uint8)
        )
        return flags_of(batch, Rules.of([rules]), PointStates.of(1), self.times_ns)

    def outcome(self) -> tuple[list[bool], float]:
        """(which windows hold a doubted reading, the share of doubted ones outside after the learnt part)."""
        flags = self.judged()
        doubted = severities(graded(flags, np.zeros(len(flags), np.uint8))) > 0
        outside = ~np.logical_or.reduce([np.zeros(len(flags), bool), *self.windows])
        outside[: self.learnt] = False
        return [bool(doubted[window].any()) for window in self.windows], float(doubted[outside].mean())


def seconds_of(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def read(folder: Path, key: str) -> Series:
    with (folder / key.split("/")[1]).open(encoding="utf-8") as file:
        rows = [(seconds_of(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    times = np.array([time for time, _ in rows], np.int64)
    stated = json.loads((folder / "combined_windows.json").read_text(encoding="utf-8"))[key]
    windows = tuple((times >= seconds_of(low)) & (times <= seconds_of(high)) for low, high in stated)
    return Series(times * 10**9, np.array([value for _, value in rows]), windows)


@pytest.fixture
def nab(shared_data: Path) -> Path:
    return shared_data / "telemetry" / "nab"


@pytest.mark.parametrize(
    ("key", "found", "false_max"),
    [
        (JUMPS, [True], 0.0),
        (TEMPERATURE, [False, True, False, True], 0.0003),
        (FLATLINE, [], 0.0),
    ],
)
def test_windows(nab: Path, key: str, found: list[bool], false_max: float) -> None:
    series = read(nab, key)
    windows, false = series.outcome()
    judged = [not window[: series.learnt].any() for window in series.windows]
    print(f"{key}: windows {windows}, of these judged {judged}, doubted outside {false:.5%}")
    assert windows == found
    assert false <= false_max


def test_a_jump_is_out_of_range_and_too_fast(nab: Path) -> None:
    series = read(nab, JUMPS)
    flags = series.judged()[series.windows[0]]
    assert (flags >> Reason.RANGE & 1).sum() > 100
    assert (flags >> Reason.RATE & 1).any()


def test_the_flat_line_is_stuck_where_its_operator_says_that_it_moves(nab: Path) -> None:
    """Of a line that was always flat nothing is learnt; by a rule of six hours it is stuck from then on."""
    series = read(nab, FLATLINE)
    stuck = series.flags(PointRules(stuck_after_s=6 * 3_600)) >> Reason.STUCK & 1
    elapsed_ns = series.times_ns - series.times_ns[0]
    assert np.array_equal(stuck.astype(bool), elapsed_ns >= 6 * 3_600 * 10**9)
    assert len(np.unique(series.values)) == 1


@pytest.mark.parametrize("key", [JUMPS, TEMPERATURE])
def test_a_sensor_that_stands_still_is_stuck(nab: Path, key: str) -> None:
    """These files hold no stuck window, so one is put in: twelve hours of one value."""
    series = read(nab, key)
    still = slice(series.learnt + 200, series.learnt + 200 + 144)
    series.values[still] = series.values[still.start]
    flags = series.judged()
    assert (flags[still] >> Reason.STUCK & 1).sum() >= 120
    assert not (np.delete(flags, np.arange(still.start, still.stop)) >> Reason.STUCK & 1).any()


def test_what_cannot_be_learnt_is_no_rule() -> None:
    times = np.arange(200) * 10**9
    assert learn(times, np.full(200, 45.0)) == PointRules(gap_after_s=3.0)
    with pytest.raises(ValueError, match="too few"):
        learn(times[: READINGS_MIN - 1], np.zeros(READINGS_MIN - 1))
    with pytest.raises(ValueError, match="0 numbers"):
        learn(times, np.full(200, np.nan))
