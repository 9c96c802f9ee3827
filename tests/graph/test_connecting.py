"""Several connections that open a new file at the same moment all come to use its log."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest

from graph.stores.connecting import use_log

OPENERS = 6


def connect(path):
    return sqlite3.connect(path, isolation_level=None, timeout=10.0)


@pytest.mark.parametrize("attempt", range(5))
def test_all_who_open_a_new_file_at_once_use_the_log(tmp_path, attempt):
    path, barrier, modes = tmp_path / "new.sqlite", threading.Barrier(OPENERS), []

    def open_it():
        with closing(connect(path)) as connection:
            barrier.wait()
            use_log(connection, 10.0)
            modes.append(connection.execute("PRAGMA journal_mode").fetchone()[0])

    threads = [threading.Thread(target=open_it) for _ in range(OPENERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert modes == ["wal"] * OPENERS


def test_a_file_that_somebody_holds_is_given_up_in_the_end(tmp_path):
    path = tmp_path / "held.sqlite"
    with closing(connect(path)) as holder, closing(sqlite3.connect(path, timeout=0.0)) as other:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as caught:
            use_log(other, 0.05)
        assert caught.value.sqlite_errorname.startswith("SQLITE_BUSY")
        holder.execute("ROLLBACK")
        use_log(other, 1.0)
        assert other.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
