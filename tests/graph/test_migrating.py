"""An older journal becomes one of this format: copied, compared, a backup left, and safe to interrupt."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import pytest

from graph import migrating
from graph.migrating import migrate_folder, migrate_site, plan_migration
from graph.rebuild import rebuild
from graph.sealing import check_seal
from graph.stores.layout import FORMAT_VERSION
from graph.stores.reading import open_unchanged
from graph.stores.sqlite import SqliteStore
from graph.twin import Twin
from graph.values import Change
from graph.verifying import verify_folder
from ontology.errors import StoreError

GOLDEN = Path(__file__).parents[1] / "conformance" / "golden" / "format-1" / "data"
KEPT = f"before-format-{FORMAT_VERSION}"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def data(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def campus(data):
    return data / "sites" / "campus"


def heads(folder):
    with closing(open_unchanged(folder / "journal.sqlite")) as store:
        return store.version, store.header, store.head()


def failing_code(function, *arguments):
    with pytest.raises(StoreError) as caught:
        function(*arguments)
    return caught.value.code


def test_the_copy_says_the_same_and_the_old_one_stays(data, schema):
    before = {site: heads(data / "sites" / site) for site in ("campus", "plant")}
    done = migrate_folder(data, schema)
    assert [(step.site, step.format, step.revision) for step in done] == [("campus", 1, 18), ("plant", 1, 3)]
    for site, (version, header, head) in before.items():
        folder = data / "sites" / site
        assert heads(folder) == (FORMAT_VERSION, header, head), "the chain is the same, link by link"
        assert heads(folder / KEPT) == (version, header, head)
        assert check_seal(folder / KEPT) == []
        assert {path.name for path in (folder / KEPT).iterdir()} >= {"journal.sqlite", "seal.json"}
    report = verify_folder(data, schema)
    assert report.sound
    assert [site.format for site in report.sites] == [FORMAT_VERSION] * 2
    assert migrate_folder(data, schema) == []
    kept = data / "sites" / "campus" / KEPT / "journal.sqlite"
    kept.write_bytes(kept.read_bytes()[:-1])
    assert [problem.place.path for problem in verify_folder(data, schema).sites[0].problems] == [str(kept)]


def test_looking_ahead_changes_nothing(campus, schema):
    before = {path: path.read_bytes() for path in campus.rglob("*") if path.is_file()}
    step = plan_migration(campus, schema)
    assert step.due
    assert step.problems == ()
    assert step.bytes_needed > (campus / "journal.sqlite").stat().st_size
    assert {path: path.read_bytes() for path in before} == before
    assert not (campus / KEPT).exists()


def test_a_writer_migrates_when_it_opens_and_a_follower_does_not(campus, schema):
    with Twin.open(campus, schema, site="campus", read_only=True) as follower:
        assert follower.snapshot().revision == 18
    assert heads(campus)[0] == 1
    with Twin.open(campus, schema, site="campus") as twin:
        assert twin.epoch >= 1
        assert twin.apply(Change(remove_twins=(f"{twin.base}spare",))).revision == 19
    assert heads(campus)[0] == FORMAT_VERSION
    assert heads(campus / KEPT)[2].sequence == 18


def test_a_newer_format_is_refused_untouched(campus, schema):
    with closing(sqlite3.connect(campus / "journal.sqlite")) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    before = (campus / "journal.sqlite").read_bytes()
    assert failing_code(migrate_site, campus, schema) == "STORE_VERSION"
    assert (campus / "journal.sqlite").read_bytes() == before
    assert not (campus / KEPT).exists()


def test_a_damaged_journal_is_not_migrated(campus, schema):
    with closing(sqlite3.connect(campus / "journal.sqlite")) as connection, connection:
        connection.execute("UPDATE commits SET author = 'eve' WHERE sequence = 7")
    assert failing_code(migrate_site, campus, schema) == "JOURNAL_CORRUPT"
    assert heads(campus)[0] == 1
    assert [problem.place.item for problem in plan_migration(campus, schema).problems] == ["commit 7"]


def test_a_disk_without_room_is_told_first(campus, schema, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1000))
    assert failing_code(migrate_site, campus, schema) == "MIGRATION_SPACE"
    assert heads(campus)[0] == 1


def test_a_served_site_is_left_alone(data, schema):
    """The lock tells; a reader that holds the journal is told too, and nothing is lost either way."""
    with closing(sqlite3.connect(data / "sites" / "campus" / "journal.sqlite")) as reader:
        reader.execute("PRAGMA journal_mode = WAL")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM commits").fetchone()
        assert failing_code(migrate_folder, data, schema) == "MIGRATION_BUSY"
        assert heads(data / "sites" / "campus")[0] == 1
    code = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print(flush=True); input()"
    command = [sys.executable, "-c", code, str(data / "sites" / "campus" / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        assert failing_code(migrate_folder, data, schema) == "STORE_LOCKED"
        holder.communicate(b"\n")
    assert [step.site for step in migrate_folder(data, schema)] == ["campus", "plant"]
    with Twin.open(data / "sites" / "campus", schema, site="campus"):
        assert migrate_folder(data, schema) == [], "nothing is due, so nothing is in the way"


STEPS = ("_keep", "_rewrite", "_compare", "sync_file", "_put_out_of_use", "sync_folder")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_disk_that_fails_at_any_step_loses_nothing(campus, schema, monkeypatch, step, when):
    whole = getattr(migrating, step)
    before = rebuild(campus / "journal.sqlite", schema).head

    def failing(*arguments):
        if when == "after":
            whole(*arguments)
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(campus))

    monkeypatch.setattr(migrating, step, failing)
    assert failing_code(migrate_site, campus, schema) == "MIGRATION_FAILED"
    monkeypatch.setattr(migrating, step, whole)
    assert rebuild(campus / "journal.sqlite", schema).head == before
    assert [path.name for path in campus.glob("*.migrating*")] == []
    with Twin.open(campus, schema, site="campus") as twin:
        assert twin.snapshot().revision == 18
    assert heads(campus)[0] == FORMAT_VERSION


CRASH = """
import os, signal, sys
from pathlib import Path
from graph import migrating
from ontology.schema import load_schema

step, when = sys.argv[2:]
whole = getattr(migrating, step)

def dying(*arguments):
    if when == "after":
        whole(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(migrating, step, dying)
migrating.migrate_site(Path(sys.argv[1]), load_schema())
"""


@pytest.mark.parametrize("step", STEPS[:2] + STEPS[4:])
def test_a_kill_at_any_step_loses_nothing(campus, schema, step):
    before = rebuild(campus / "journal.sqlite", schema).head
    died = subprocess.run([sys.executable, "-c", CRASH, str(campus), step, "after"], capture_output=True)
    assert died.returncode == -9, died.stderr
    assert rebuild(campus / "journal.sqlite", schema).head == before
    with Twin.open(campus, schema, site="campus") as twin:
        assert twin.snapshot().revision == 18
        assert twin.verify() == []
    assert heads(campus)[0] == FORMAT_VERSION
    assert heads(campus / KEPT)[2] == before


def test_a_copy_that_says_something_else_is_not_taken(campus, schema, monkeypatch):
    def forgetful(entries):
        for batch in whole(entries):
            yield batch[:-1]

    whole = migrating.batches
    monkeypatch.setattr(migrating, "batches", forgetful)
    assert failing_code(migrate_site, campus, schema) == "MIGRATION_FAILED"
    assert heads(campus)[0] == 1


def test_only_the_newest_answers_are_taken_along(campus, schema, monkeypatch):
    monkeypatch.setattr(migrating, "ANSWERS_MAX", 1)
    migrate_site(campus, schema)
    with closing(SqliteStore.open(campus / "journal.sqlite", read_only=True)) as store:
        assert store.answer("key-1") is None
        assert store.answer("schlüssel \U0001f511") is not None
        assert store.verify() == []


# The history of before


def old_readings(site):
    with closing(sqlite3.connect(site / "history.sqlite")) as connection:
        query = """SELECT iri, readings.time_ns, readings.word, readings.quality, text FROM readings
            JOIN points USING (point) LEFT JOIN last USING (point)
            LEFT JOIN texts ON code = readings.word AND coded = 1"""
        return {
            (iri, time): (word, quality, text) for iri, time, word, quality, text in connection.execute(query)
        }


def readings_of(history, iris):
    found = {}
    for iri in iris:
        samples = history.range(iri, -(2**62), 2**62)
        for place, time in enumerate(samples.times_ns.tolist()):
            text = samples.texts[place] if samples.texts else None
            word = None if text is not None else int(samples.words.view("i8")[place])
            found[iri, time] = (word, int(samples.quality[place]), text)
    return found


def expected_readings(old):
    return {
        key: (word if text is None else None, quality, text) for key, (word, quality, text) in old.items()
    }


def last_of(history):
    values = history.last_values()[1]
    return {v.point: (v.time_ns, v.quality, v.word if v.text is None else v.text) for v in values}


def test_an_old_history_says_the_same_before_and_after(campus, schema):
    old = old_readings(campus)
    assert len(old) > 10
    iris = {iri for iri, _ in old}
    with Twin.open(campus, schema, site="campus", read_only=True) as follower:
        assert readings_of(follower.history, iris) == expected_readings(old)
        before = last_of(follower.history)
    with Twin.open(campus, schema, site="campus") as twin:
        assert readings_of(twin.history, iris) == expected_readings(old)
        assert last_of(twin.history) == before
    assert not (campus / "history.sqlite").exists()
    assert old_readings(campus / "before-history-2") == old
    report = verify_folder(campus.parent.parent, schema).sites[0]
    assert report.problems == []


@pytest.mark.parametrize("step", ["write_segment", "write_catalog", "sync_tree", "_keep", "write_seal"])
def test_an_interrupted_migration_of_a_history_goes_on(campus, schema, monkeypatch, step):
    from graph.readings import old as module

    old = old_readings(campus)

    def dying(*_, **__):
        raise OSError(errno.EIO, "gone")

    monkeypatch.setattr(module, step, dying)
    assert failing_code(lambda: Twin.open(campus, schema, site="campus")) == "MIGRATION_FAILED"
    monkeypatch.undo()
    with Twin.open(campus, schema, site="campus") as twin:
        assert readings_of(twin.history, {iri for iri, _ in old}) == expected_readings(old)
    assert old_readings(campus / "before-history-2") == old
    assert not (campus / "history.migrating").exists()
