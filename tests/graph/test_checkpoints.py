"""A site with checkpoints: when they are taken, what it opens from, what it does where they are damaged."""

from __future__ import annotations

import os
import shutil
import threading

import numpy as np
import pytest

from graph.checkpoint_file import verify_checkpoint
from graph.checkpoints import KEPT, NEVER, CheckpointPolicy, Duty
from graph.content import content_of
from graph.csr import TAIL_ROWS_MIN
from graph.values import Change, Readings, RelationshipRecord, TwinRecord, Value, Way
from ontology.errors import StoreError

OFTEN = CheckpointPolicy(commits=1, closing_commits=1)
AT_CLOSE = CheckpointPolicy(1 << 60, 1 << 60, 1e9, closing_commits=1)


def write(twin, number):
    kind = twin.schema.kind("AHU").iri
    record = TwinRecord(f"{twin.base}t{number % 7}", (kind,), f"Name {number}", None, {"x:n": Value(number)})
    other = TwinRecord(f"{twin.base}u{number}", (kind,))
    link = RelationshipRecord(record.id, twin.schema.relation("brick:feeds").iri, other.id, f"g{number % 3}")
    twin.apply(Change(put_twins=(record, other), put_relationships=(link,)))


def fill(twin, first, last):
    for number in range(first, last):
        write(twin, number)


def files(tmp_path, site="campus"):
    return sorted((tmp_path / "sites" / site / "checkpoints").glob("*"))


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


@pytest.fixture
def three(open_twin, tmp_path):
    """The contents of a closed site by revision, with checkpoints at 10, 20, 30 and a tail to 35."""
    twin = open_twin(checkpoints=NEVER)
    contents = {}
    for first in (0, 10, 20):
        fill(twin, first, first + 10)
        twin.checkpoint()
    fill(twin, 30, 35)
    for revision in range(36):
        contents[revision] = content_of(twin.snapshot_at(revision=revision))
    twin.close()
    assert [path.name for path in files(tmp_path)] == [f"{sequence:016d}.tmc" for sequence in (10, 20, 30)]
    return contents


def test_a_site_opens_from_its_newest_checkpoint_and_the_tail(open_twin, three, monkeypatch):
    replayed = []
    monkeypatch.setattr("graph.writer.follows", _noting(replayed))
    twin = open_twin()
    assert replayed == list(range(31, 36))
    assert content_of(twin.snapshot()) == three[35]
    assert twin.checkpoint_problems == []
    assert twin.verify() == []
    fill(twin, 35, 40)
    twin.close()
    assert open_twin().snapshot().revision == 40


def _noting(replayed):
    from graph.stores.chain import follows

    def noting(entry, digest, sequence):
        replayed.append(entry.sequence)
        return follows(entry, digest, sequence)

    return noting


def test_every_revision_is_as_a_full_replay_has_it(open_twin, three, tmp_path, monkeypatch):
    replayed = []
    monkeypatch.setattr("graph.writer.follows", _noting(replayed))
    twin = open_twin()
    for revision in range(35, -1, -1):
        replayed.clear()
        assert content_of(twin.snapshot_at(revision=revision)) == three[revision]
        nearest = max(known for known in (0, 10, 20, 30) if known <= revision)
        assert replayed == list(range(nearest + 1, revision + 1))
    twin.close()
    shutil.rmtree(files(tmp_path)[0].parent)
    twin = open_twin()
    for revision in range(36):
        assert content_of(twin.snapshot_at(revision=revision)) == three[revision]


@pytest.mark.parametrize("place", [3, 10, 70, 130, 5000, -200, -3])
def test_a_damaged_checkpoint_is_passed_over_and_told(open_twin, three, tmp_path, place, caplog):
    newest = files(tmp_path)[-1]
    flip(newest, place)
    twin = open_twin(checkpoints=NEVER)
    assert content_of(twin.snapshot()) == three[35]
    (problem,) = twin.checkpoint_problems
    assert problem.code == "CHECKPOINT_CORRUPT"
    assert problem.place.path == str(newest)
    assert str(newest) in caplog.text
    assert [found.place.path for found in twin.verify()] == [str(newest)]
    # The next one that is taken makes room.
    twin.checkpoint()
    assert newest not in files(tmp_path)
    assert twin.verify() == []


def test_where_all_are_damaged_the_journal_is_read(open_twin, three, tmp_path):
    for number, path in enumerate(files(tmp_path)):
        if number % 2:
            path.write_bytes(path.read_bytes()[:-100])
        else:
            flip(path, 200)
    twin = open_twin(checkpoints=NEVER)
    assert content_of(twin.snapshot()) == three[35]
    assert len(twin.checkpoint_problems) == 3


def test_a_checkpoint_of_another_site_is_not_used(open_twin, three, tmp_path):
    other = open_twin("plant", checkpoints=NEVER)
    fill(other, 0, 33)
    other.checkpoint()
    foreign = shutil.copy(files(tmp_path, "plant")[0], files(tmp_path)[0].parent)
    twin = open_twin(checkpoints=NEVER)
    assert content_of(twin.snapshot()) == three[35]
    assert [problem.code for problem in twin.checkpoint_problems] == ["CHECKPOINT_FOREIGN"]
    assert [found.place.path for found in twin.verify()] == [str(foreign)]


def test_a_checkpoint_under_a_wrong_name_is_not_used(open_twin, three, tmp_path):
    newest = files(tmp_path)[-1]
    newest.rename(newest.with_name(f"{12:016d}.tmc"))
    twin = open_twin(checkpoints=NEVER)
    assert content_of(twin.snapshot_at(revision=15)) == three[15]
    assert [problem.code for problem in twin.checkpoint_problems] == ["CHECKPOINT_FOREIGN"]
    assert [problem.code for problem in twin.verify()] == ["CHECKPOINT_FOREIGN"]


def test_a_checkpoint_that_is_ahead_of_its_journal_is_not_used(open_twin, tmp_path):
    """As after an older journal was put back by hand."""
    folder = tmp_path / "sites" / "campus"
    twin = open_twin(checkpoints=NEVER)
    fill(twin, 0, 5)
    twin.close()
    kept = (folder / "journal.sqlite").read_bytes()
    twin = open_twin(checkpoints=NEVER)
    fill(twin, 5, 9)
    twin.checkpoint()
    twin.close()
    (folder / "journal.sqlite").write_bytes(kept)
    twin = open_twin(checkpoints=NEVER)
    assert twin.snapshot().revision == 5
    assert [problem.code for problem in twin.checkpoint_problems] == ["CHECKPOINT_FOREIGN"]


def test_a_crash_between_writing_and_naming_leaves_a_file_that_nobody_reads(open_twin, three, tmp_path):
    newest = files(tmp_path)[-1]
    left = newest.with_name(f"{35:016d}.tmc.tmp")
    left.write_bytes(newest.read_bytes()[:1000])
    twin = open_twin(checkpoints=NEVER)
    assert content_of(twin.snapshot()) == three[35]
    assert twin.checkpoint_problems == []
    twin.checkpoint()
    assert left not in files(tmp_path)
    assert len(files(tmp_path)) == KEPT


def test_a_disk_that_refuses_costs_no_change(open_twin, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    twin = open_twin(checkpoints=OFTEN)
    monkeypatch.setattr("graph.checkpoint_file._write_all", refuse)
    fill(twin, 0, 5)
    with pytest.raises(StoreError):
        twin.checkpoint()
    assert twin.troubles == ()
    twin.close()
    assert files(tmp_path) == []
    assert open_twin().snapshot().revision == 5


def test_checkpoints_are_taken_while_changes_go_on(open_twin, tmp_path, monkeypatch):
    monkeypatch.setattr("graph.checkpoints._PAUSE_RATIO", 0)
    twin = open_twin(checkpoints=CheckpointPolicy(commits=3))
    fill(twin, 0, 60)
    expected = content_of(twin.snapshot())
    twin.close()
    found = files(tmp_path)
    assert 1 <= len(found) <= KEPT
    assert all(verify_checkpoint(path) == [] for path in found)
    assert content_of(open_twin().snapshot()) == expected


@pytest.mark.parametrize(("commits", "taken"), [(63, False), (64, True)])
def test_closing_takes_one_where_it_is_worth_it(open_twin, tmp_path, commits, taken):
    twin = open_twin()
    fill(twin, 0, commits)
    twin.close()
    assert bool(files(tmp_path)) == taken


def test_duty_counts_commits_bytes_and_the_time_of_replay():
    duty = Duty(CheckpointPolicy(commits=10, payload_bytes=100, replay_s=1.0))
    duty.opened(5, 0.1)
    assert [duty.is_due(5), duty.is_due(14), duty.is_due(15)] == [False, False, True]
    duty.written(100)
    assert duty.is_due(6)
    duty.began(6)
    assert not duty.is_due(7)
    duty.opened(6, 1.5)
    assert [duty.is_due(6), duty.is_due(7)] == [False, True]
    duty.ended(1.0, failed=True)
    assert not duty.is_due(1000)


def test_a_follower_opens_from_a_checkpoint_and_follows(open_twin, three, schema, monkeypatch):
    replayed = []
    monkeypatch.setattr("graph.writer.follows", _noting(replayed))
    writer = open_twin(checkpoints=NEVER)
    replayed.clear()
    follower = open_twin(read_only=True)
    assert replayed == list(range(31, 36))
    assert content_of(follower.snapshot()) == three[35]
    fill(writer, 35, 50)
    writer.checkpoint()
    assert content_of(follower.snapshot()) == content_of(writer.snapshot())
    with pytest.raises(StoreError) as raised:
        follower.checkpoint()
    assert raised.value.code == "STORE_LOCKED"


def test_last_readings_are_there_after_opening_from_a_checkpoint(open_twin, schema):
    twin = open_twin(checkpoints=AT_CLOSE)
    kind = schema.kind("tm:Point").iri
    twin.apply(Change(put_twins=(TwinRecord(twin.base + "p", (kind,)),)))
    row = twin.snapshot().row(twin.base + "p")
    words = np.array([21.5]).view(np.uint64)
    twin.record(Readings(np.array([row], np.int32), np.array([7], np.int64), words, np.zeros(1, np.uint8)))
    twin.close()
    snapshot = open_twin().snapshot()
    assert snapshot.point_value(snapshot.row(twin.base + "p")) == 21.5


def test_a_large_site_is_warmed_for_changes(open_twin, three, monkeypatch):
    monkeypatch.setattr("graph.housekeeping.WARM_TWINS_MIN", 10)
    twin = open_twin(checkpoints=NEVER)
    fill(twin, 35, 37)
    twin._keeper.close()
    assert twin.pools.texts.table.freeze().strings.data.flags.writeable
    assert twin.snapshot().row(twin.base + "u36") >= 0
    assert content_of(twin.snapshot_at(revision=35)) == three[35]


def test_readers_see_the_same_while_relationships_are_merged(open_twin, schema):
    """Walks of old and new snapshots during merges, against what the columns say."""
    twin = open_twin(checkpoints=NEVER)
    feeds, kind = schema.relation("tm:connectedTo").iri, schema.kind("AHU").iri
    ids = [f"{twin.base}n{number}" for number in range(300)]
    twin.apply(Change(put_twins=tuple(TwinRecord(iri, (kind,)) for iri in ids)))
    wrong, done = [], threading.Event()

    def read():
        rows = np.arange(300)
        while not done.is_set():
            snapshot = twin.snapshot()
            edges, owner = snapshot.expand(rows, Way.OUT)
            if not np.array_equal(owner, snapshot.edge_source[edges]) or len(edges) != snapshot.edge_count:
                wrong.append(snapshot.revision)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    links = [(ids[n % 300], ids[(n * 7 + n // 300) % 300], f"g{n}") for n in range(3 * TAIL_ROWS_MIN)]
    for first in range(0, len(links), 3000):
        part = [
            RelationshipRecord(a, feeds, b, group) for a, b, group in links[first : first + 3000] if a != b
        ]
        twin.apply(Change(put_relationships=tuple(part)))
    twin._keeper.wait()
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert twin._writer.state.edges.base.count > TAIL_ROWS_MIN


def test_a_killed_writer_leaves_whole_checkpoints(open_twin, tmp_path, schema):
    """A child that takes checkpoints all the time is killed; whatever has a name is whole."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        twin = open_twin(checkpoints=OFTEN)
        number = 0
        while True:
            write(twin, number)
            number += 1
            if number % 5 == 0:
                twin.checkpoint()
    threading.Event().wait(1.5)
    os.kill(child, 9)
    os.waitpid(child, 0)
    named = [path for path in files(tmp_path) if path.suffix == ".tmc"]
    assert named
    assert all(verify_checkpoint(path) == [] for path in named)
    twin = open_twin(checkpoints=NEVER)
    assert twin.checkpoint_problems == []
    through = content_of(twin.snapshot())
    twin.close()
    shutil.rmtree(named[0].parent)
    assert content_of(open_twin(checkpoints=NEVER).snapshot()) == through
