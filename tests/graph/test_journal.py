"""The journal: hash chain, versions, lock, and what happens when the disk says no."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from graph.following import JOURNAL
from graph.stores.sqlite import FORMAT_VERSION, SqliteStore
from graph.twin import Twin
from graph.values import Change, TwinRecord, Value
from ontology.errors import ConflictError, NotFoundError, StoreError, UsageError

COMMITS = 8
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def ahu(schema):
    return schema.kind("AHU").iri


@pytest.fixture
def journal(open_twin, ahu, tmp_path):
    """Path of a closed journal with a few commits."""
    twin = open_twin()
    for number in range(COMMITS):
        record = TwinRecord(f"{twin.base}t{number}", (ahu,), attributes={"x1": Value("v" * number)})
        twin.apply(Change(put_twins=(record,), author=f"a{number}", message="m"))
    twin.close()
    return tmp_path / "sites" / "campus" / JOURNAL


def tamper(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


def verify(path):
    with closing(SqliteStore.open(path, read_only=True)) as store:
        return store.verify()


def test_a_journal_that_nobody_touched_verifies(journal):
    assert verify(journal) == []


@pytest.mark.parametrize("column", ["payload", "digest", "author", "message", "time_ns"])
def test_any_bit_flipped_in_a_commit_is_found_at_its_place(journal, column):
    rng = random.Random(column)
    for _ in range(20):
        sequence = rng.randint(1, COMMITS)
        with closing(sqlite3.connect(journal)) as connection:
            query = f"SELECT {column} FROM commits WHERE sequence = ?"
            before = connection.execute(query, (sequence,)).fetchone()[0]
        tamper(journal, f"UPDATE commits SET {column} = ? WHERE sequence = ?", _flip(before, rng), sequence)
        problems = verify(journal)
        assert f"commit {sequence}" in {problem.place.item for problem in problems}
        assert {problem.code for problem in problems} == {"JOURNAL_CORRUPT"}
        tamper(journal, f"UPDATE commits SET {column} = ? WHERE sequence = ?", before, sequence)
    assert verify(journal) == []


def _flip(value, rng):
    if isinstance(value, int):
        return value ^ (1 << rng.randrange(40))
    raw = bytearray(value.encode() if isinstance(value, str) else value)
    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(7)
    return raw.decode("latin-1") if isinstance(value, str) else bytes(raw)


@pytest.mark.parametrize("sequence", [1, 4, COMMITS])
def test_a_deleted_commit_is_found(journal, sequence):
    tamper(journal, "DELETE FROM commits WHERE sequence = ?", sequence)
    assert verify(journal)


def test_a_journal_cut_off_at_the_end_is_found(journal):
    tamper(journal, "DELETE FROM commits WHERE sequence > ?", COMMITS - 3)
    assert [problem.place.item for problem in verify(journal)] == [f"commit {COMMITS - 3}"]


def test_two_commits_swapped_are_found(journal):
    tamper(journal, "UPDATE commits SET sequence = -1 WHERE sequence = 3")
    tamper(journal, "UPDATE commits SET sequence = 3 WHERE sequence = 4")
    tamper(journal, "UPDATE commits SET sequence = 4 WHERE sequence = -1")
    assert {"commit 3", "commit 4"} <= {problem.place.item for problem in verify(journal)}


def test_a_journal_of_another_site_does_not_pass(journal):
    tamper(journal, "UPDATE header SET site = 'other'")
    assert verify(journal)


def test_opening_a_damaged_journal_names_the_place_and_refuses_to_guess(journal, schema):
    tamper(journal, "UPDATE commits SET author = 'eve' WHERE sequence = 5")
    with pytest.raises(StoreError) as caught:
        Twin.open(journal.parent, schema, site="campus")
    assert caught.value.code == "JOURNAL_CORRUPT"
    assert "commit 5" in str(caught.value)


def test_a_file_that_is_no_database_is_refused(journal, schema):
    for leftover in journal.parent.glob(f"{JOURNAL}-*"):
        leftover.unlink()
    journal.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError) as caught:
        Twin.open(journal.parent, schema, site="campus")
    assert caught.value.code == "JOURNAL_CORRUPT"


def test_a_newer_format_is_refused(journal, schema):
    tamper(journal, f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    with pytest.raises(StoreError) as caught:
        Twin.open(journal.parent, schema, site="campus")
    assert caught.value.code == "STORE_VERSION"


def test_another_database_is_refused(tmp_path, schema):
    folder = tmp_path / "sites" / "campus"
    folder.mkdir(parents=True)
    tamper(folder / JOURNAL, "CREATE TABLE mine (a)")
    with pytest.raises(StoreError) as caught:
        Twin.open(folder, schema, site="campus")
    assert caught.value.code == "STORE_VERSION"


def test_a_file_left_empty_by_a_crash_becomes_a_journal(tmp_path, schema):
    folder = tmp_path / "sites" / "campus"
    folder.mkdir(parents=True)
    (folder / JOURNAL).touch()
    with Twin.open(folder, schema, site="campus") as twin:
        assert twin.snapshot().revision == 0


DYING = """
import os, sqlite3, sys
from pathlib import Path
from graph.stores import sqlite
from graph.twin import Twin
from ontology.schema import load_schema

def unfinished(path):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA cache_size = 1; BEGIN; CREATE TABLE t (a)")
    connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    assert path.with_name(path.name + "-journal").stat().st_size, "not rolled back yet"
    os._exit(9)

def dying(*arguments):
    whole(*arguments)
    os._exit(9)

folder, step = Path(sys.argv[1]), sys.argv[2]
whole = getattr(sqlite, step)
setattr(sqlite, step, unfinished if step == "_connect" else dying)
Twin.open(folder, load_schema(), site="campus")
"""


@pytest.mark.parametrize("step", ["_connect", "make_tables", "sync_folder"])
def test_a_writer_that_dies_while_it_makes_the_journal_is_in_nobodys_way(tmp_path, schema, step):
    folder = tmp_path / "sites" / "campus"
    died = subprocess.run([sys.executable, "-c", DYING, folder, step], cwd=ROOT, check=False)
    assert died.returncode == 9, "it came that far"
    with Twin.open(folder, schema, site="campus") as twin:
        assert (twin.snapshot().revision, twin.verify()) == (0, [])
    assert list(folder.glob("*.draft*")) == []


def test_a_commit_is_synced_before_it_is_acknowledged(open_twin):
    """kill -9 cannot see the difference, a power loss can: so the settings themselves are held."""
    twin = open_twin()
    for connection in (twin._store._connection, twin.history._connection):
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"


def test_times_never_go_back(open_twin, ahu):
    ticks = iter([100, 50, 50, 200])
    twin = open_twin(clock=lambda: next(ticks))
    for number in range(4):
        twin.apply(Change(put_twins=(TwinRecord(f"{twin.base}{number}", (ahu,)),)))
    assert [commit.time_ns for commit in twin.commits()] == [100, 101, 102, 200]
    found = [twin.snapshot_at(time_ns=time_ns).revision for time_ns in (99, 100, 101, 150, 200, 999)]
    assert found == [0, 1, 2, 3, 4, 4]


def test_commits_tell_who_and_why(journal, open_twin):
    commits = open_twin().commits(after=2, limit=2)
    assert [(c.sequence, c.author, c.message) for c in commits] == [(3, "a2", "m"), (4, "a3", "m")]
    assert len({commit.digest for commit in commits}) == 2


# The lock


def test_a_second_writer_is_told_where_the_first_one_is(open_twin, schema, tmp_path):
    twin = open_twin()
    twin.announce("http://127.0.0.1:8123")
    with pytest.raises(StoreError) as caught:
        open_twin()
    assert caught.value.code == "STORE_LOCKED"
    assert "http://127.0.0.1:8123" in str(caught.value)
    twin.close()
    assert open_twin().snapshot().revision == 0


def test_the_lock_of_a_killed_process_is_free(tmp_path, schema):
    folder = tmp_path / "sites" / "campus"
    code = f"""
import os, signal
from pathlib import Path
from graph.twin import Twin
from ontology.schema import load_schema
twin = Twin.open(Path({str(folder)!r}), load_schema(), site="campus")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    with Twin.open(folder, schema, site="campus") as twin:
        assert not twin.read_only


# The header


def test_the_base_is_fixed_by_the_first_commit(open_twin, ahu):
    twin = open_twin(base="https://one.example/")
    twin.close()
    twin = open_twin(base="https://two.example/")
    assert twin.base == "https://two.example/"
    twin.apply(Change(put_twins=(TwinRecord("https://two.example/a", (ahu,)),)))
    twin.close()
    with pytest.raises(ConflictError) as caught:
        open_twin(base="https://one.example/")
    assert caught.value.code == "SITE_BASE_FIXED"
    assert open_twin().base == "https://two.example/"
    assert open_twin(read_only=True).verify() == []


def test_a_folder_is_of_one_site(journal, schema):
    with pytest.raises(StoreError) as caught:
        Twin.open(journal.parent, schema, site="plant")
    assert caught.value.code == "STORE_SITE"


def test_a_site_needs_a_name_that_can_be_a_folder(tmp_path, schema):
    with pytest.raises(UsageError):
        Twin.open(tmp_path / "x", schema, site="../x")
    assert not (tmp_path / "x").exists()


def test_a_revision_that_never_was_is_not_shown(journal, open_twin):
    twin = open_twin()
    for revision in (-1, COMMITS + 1):
        with pytest.raises(NotFoundError) as caught:
            twin.snapshot_at(revision=revision)
        assert caught.value.code == "REVISION_UNKNOWN"
    assert int(twin.snapshot_at(revision=3).alive.sum()) == 3
