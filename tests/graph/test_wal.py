"""The write-ahead log read as bytes: SQLite itself is the oracle of what a damage would take away."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from contextlib import closing

import pytest

from graph.stores.wal import check_log

COMMITS = 12


@pytest.fixture(params=[1024, 4096])
def log(tmp_path, request):
    """A database whose rows are all still in the log, as after kill -9; and the same without its log."""
    live, left = tmp_path / "live.sqlite", tmp_path / "left.sqlite"
    with closing(sqlite3.connect(live, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {request.param}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        rng = random.Random(1)
        for number in range(COMMITS):
            connection.execute(
                "INSERT INTO t VALUES (?, ?)", (number, rng.randbytes(100 + 900 * (number % 3)))
            )
        shutil.copy(live, left)
        shutil.copy(f"{live}-wal", f"{left}-wal")
    return left.with_name("left.sqlite-wal")


def rows_left(path):
    """What SQLite makes of a log; on a copy, since it throws away what it does not like."""
    folder = path.parent / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(path.with_name("left.sqlite"), folder)
    shutil.copy(path, folder)
    with closing(sqlite3.connect(folder / "left.sqlite")) as connection:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def test_a_whole_log_is_whole(log):
    assert rows_left(log) == COMMITS
    assert check_log(log) == []
    assert check_log(log.with_name("none-wal")) == []


def test_every_flip_that_takes_a_row_is_found(log):
    whole, seed = log.read_bytes(), int.from_bytes(os.urandom(4))
    rng, found = random.Random(seed), 0
    for _ in range(120):
        damaged = bytearray(whole)
        place = rng.randrange(len(whole))
        damaged[place] ^= 1 << rng.randrange(8)
        log.write_bytes(damaged)
        problems = check_log(log)
        if rows_left(log) != COMMITS:
            assert problems, f"seed {seed}, byte {place}"
            found += 1
        for problem in problems:
            start, end = (int(number) for number in problem.place.item.split()[1::2])
            assert start <= place < end, f"seed {seed}, byte {place}: {problem}"
    print(f"log: {found} of 120 flips took commits, all found at their place, seed {seed}")
    assert found > 100


def test_every_cut_is_found_but_that_between_two_transactions(log):
    whole, seed = log.read_bytes(), int.from_bytes(os.urandom(4))
    rng = random.Random(seed)
    ends = transaction_ends(log)
    assert len(ends) == COMMITS
    for _ in range(60):
        length = rng.randrange(33, len(whole))
        log.write_bytes(whole[:length])
        assert bool(check_log(log)) == (length not in ends), f"seed {seed}, cut at {length}"
    log.write_bytes(whole[: ends[3]])
    assert check_log(log) == []
    assert rows_left(log) == 4, "as after a crash a moment earlier: nothing in the log can tell"


def transaction_ends(log):
    whole = log.read_bytes()
    frame = 24 + int.from_bytes(whole[8:12], "big")
    starts = range(32, len(whole), frame)
    return [start + frame for start in starts if whole[start + 4 : start + 8] != bytes(4)]


def test_what_an_earlier_round_left_behind_is_no_damage(tmp_path):
    path = tmp_path / "live.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (a BLOB)")
        for number in range(20):
            connection.execute("INSERT INTO t VALUES (?)", (b"x" * 100 * number,))
        connection.execute("PRAGMA wal_checkpoint(RESTART)")
        connection.execute("INSERT INTO t VALUES ('new')")
        assert check_log(tmp_path / "live.sqlite-wal") == []


def test_a_log_that_another_process_writes_may_end_anywhere(log):
    whole = log.read_bytes()
    log.write_bytes(whole[:-100])
    assert check_log(log, live=True) == []
    damaged = bytearray(whole)
    damaged[200] ^= 1
    log.write_bytes(damaged)
    assert [problem.code for problem in check_log(log, live=True)] == ["JOURNAL_LOG"]
