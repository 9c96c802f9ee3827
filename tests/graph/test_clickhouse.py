"""docs/history-clickhouse.sql, run by chdb over segments of our own: the same answers by another engine."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from graph.readings.catalog import HOUR_NS
from graph.readings.merging import merged
from graph.readings.policy import HistoryPolicy
from graph.readings.store import HistoryStore
from graph.readings.writing import write_segment

DOCUMENT = Path(__file__).parents[2] / "docs" / "history-clickhouse.sql"
START_NS = 1_767_225_600_000_000_000  # 2026-01-01
DAY_NS = 24 * HOUR_NS
POINTS = ("urn:steady", "urn:odd", "urn:late")
NOT_MERGED = HistoryPolicy(merge_rows_max=1)
# In a process of its own: the engine brings threads and handlers of signals along.
CHILD = """
import json, sys
from chdb.session import Session
session = Session(sys.argv[1])
told = []
for text, parameters in json.load(sys.stdin):
    answer = session.query(text, "JSONCompactEachRow", params=parameters)
    told.append([json.loads(line) for line in str(answer).splitlines()])
json.dump(told, sys.stdout)
"""


@pytest.fixture
def history(tmp_path):
    """Three segments of the same days; the later ones hold late and corrected readings too."""
    seed = int.from_bytes(os.urandom(4))
    print("seed", seed)
    rng = random.Random(seed)
    with closing(HistoryStore(tmp_path, NOT_MERGED)) as store:
        for _ in range(3):
            for point in POINTS:
                append(store, point, rng)
            store.flush()
        merge_first_two(store)
        assert [entry.name for entry in store.catalog.segments] == ["s00000004", "s00000003"]
        yield store


def merge_first_two(store):
    """As the keeper does it. What comes first in the catalog has the later name now."""
    chosen = store.segments().segments[:2]
    unit = chosen[0].entry.unit
    entry = write_segment(store.folder, store.next_name(), merged(chosen), unit, store.name_of)
    store.replace([segment.entry for segment in chosen], entry)


def append(store, point, rng):
    count = 4_000
    times = START_NS + np.array([rng.randrange(3 * DAY_NS // 10**9) for _ in range(count)], np.int64) * 10**9
    values = np.array([rng.choice((rng.uniform(-50, 50), 3.5)) for _ in range(count)])
    if point == "urn:odd":
        values[::7], values[::11] = np.nan, np.inf
    quality = np.array([rng.choice((0, 0, 0, 1, 2, 13, 22)) for _ in range(count)], np.uint8)
    store.append([point] * count, times, values.view(np.uint64), quality, [])


def statements():
    """The statements of the document: by the comment before each, or by their first words."""
    text = re.sub(r"^-- (The history|Filled).*\n", "", DOCUMENT.read_text(), flags=re.MULTILINE)
    found: dict[str, str] = {}
    for part in text.split(";\n"):
        comment = re.match(r"\s*-- (.*)\n", part)
        statement = re.sub(r"--.*", "", part).strip()
        if statement:
            found[comment[1] if comment else statement.split("(")[0].split("\n")[0]] = statement
    return found


def ask(tmp_path, history, questions):
    """Answers of ClickHouse: rows of each statement, after the tables were made and filled."""
    given = statements()
    folder = tmp_path / "history"
    prepared = [text.replace("'history/", f"'{folder}/") for name, text in given.items() if is_setup(name)]
    prepared.append("SET output_format_json_quote_denormals = 1")  # else null for what is no finite number
    asked = [(text, {}) for text in prepared]
    asked += [(given[name], parameters) for name, parameters in questions]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "clickhouse")],
        input=json.dumps(asked), capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)[len(prepared) :]


def is_setup(name):
    return name.startswith(("CREATE", "INSERT"))


def clickhouse_time(time_ns):
    return str(np.datetime64(time_ns, "ns")).replace("T", " ")


def time_ns_of(text):
    return int(np.datetime64(text.replace(" ", "T"), "ns").astype(np.int64))


def same(samples, rows):
    """Whether readings of ours are the rows of theirs: time, value, quality."""
    assert samples.times_ns.tolist() == [time_ns_of(time) for time, *_ in rows]
    np.testing.assert_array_equal(samples.numbers, [float(value) for _, value, _ in rows])
    assert samples.quality.tolist() == [quality for *_, quality in rows]


def test_the_document_asks_what_it_is_tested_for():
    kinds = ["history(from, to)", "history(last)", "value as of a time"]
    bucket = 'history(bucket: "PT1H", aggregate: [COUNT, MIN, MAX, MEAN, SUM])'
    assert {name for name in statements() if not is_setup(name)} == {*kinds, bucket}


def test_clickhouse_says_what_the_history_says(tmp_path, history):
    low, high, forever = START_NS + 5 * HOUR_NS + 17, START_NS + 2 * DAY_NS + HOUR_NS // 3, 2**62
    bucket = next(name for name in statements() if name.startswith("history(bucket"))
    questions = []
    for number in history.numbers(POINTS).tolist():
        one = {"point": number}
        questions.append(
            ("history(from, to)", one | {"from": clickhouse_time(low), "to": clickhouse_time(high)})
        )
        questions.append(("history(last)", one | {"last": 100}))
        questions.append((bucket, one))
        questions += [("value as of a time", one | {"at": clickhouse_time(at)}) for at in (low, high)]
    answers = iter(ask(tmp_path, history, questions))
    for point in POINTS:
        same(history.range(point, low, high), next(answers))
        same(history.range(point, 0, forever, 100, newest=True), next(answers))
        check_buckets(history.roll_up(point, 0, forever, HOUR_NS), next(answers))
        for at in (low, high):
            [last], [[value, time]] = history.last_before([point], at), next(answers)
            assert last.time_ns == time_ns_of(time)
            np.testing.assert_array_equal(np.uint64(last.word).view(np.float64), float(value))


def check_buckets(ours, rows):
    starts, counts, lows, highs, means, sums = zip(*rows, strict=True)
    assert ours.starts_ns.tolist() == [time_ns_of(start) for start in starts]
    assert ours.counts.tolist() == [int(count) for count in counts]
    assert (ours.lows.tolist(), ours.highs.tolist()) == (list(lows), list(highs))
    assert ours.sums.tolist() == pytest.approx(sums, rel=1e-12, abs=1e-9)
    assert ours.means.tolist() == pytest.approx(means, rel=1e-12, abs=1e-9)
