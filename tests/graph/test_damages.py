"""Random damages to a site: `verify` finds every one, and says where.

A site that was closed carries a seal over every byte. One that was killed has none: there a damage is found,
or it fell on bytes that hold nothing, which is proved row by row.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from graph.checkpoints import CheckpointPolicy
from graph.twin import Twin
from graph.values import Change, Readings, RelationshipRecord, TwinRecord, Value
from graph.verifying import verify_folder

sys.path.append(str(Path(__file__).parent))
from damages import BYTES, HISTORY, JOURNAL, by_sql, cut, flip, remove

SHARE = 80
LONG = 1_000
COMMITS = 40
# A checkpoint at each closing, however little there is to save.
EAGER = CheckpointPolicy(closing_commits=1)


def write_site(twin, schema, numbers):
    """Commits of all sizes, some with answers, some that free pages again, and readings."""
    ahu, feeds = schema.kind("AHU").iri, schema.relation("brick:feeds").iri
    rng = random.Random(7)
    for number in numbers:
        twins = tuple(
            TwinRecord(
                f"{twin.base}t{number}-{part}",
                (ahu,),
                name=f"name {number}",
                attributes={"x1": Value("v" * rng.randrange(400)), "x2": Value(rng.random(), "kW")},
            )
            for part in range(rng.randrange(1, 12))
        )
        links = tuple(RelationshipRecord(twins[0].id, feeds, record.id) for record in twins[1:])
        removed = (f"{twin.base}t{number - 3}-0",) if number % 5 == 4 else ()
        key = f"key {number}" if number % 4 == 0 else None
        change = Change(twins, (), links, removed, author=f"a{number}", message="m", idempotency_key=key)
        twin.apply(change)
    rows = np.flatnonzero(twin.snapshot().alive)[:20].astype(np.int32)
    for step in range(10):
        times = np.full(len(rows), 10**18 + step * 10**9)
        words = np.random.default_rng(step).random(len(rows)).view(np.uint64)
        twin.record(Readings(rows, times, words, np.zeros(len(rows), np.uint8)))


@pytest.fixture(scope="module")
def closed(tmp_path_factory, schema):
    """A data folder whose one site was closed cleanly."""
    data = tmp_path_factory.mktemp("closed") / "data"
    for numbers in (range(COMMITS // 2), range(COMMITS // 2, COMMITS)):
        with Twin.open(data / "sites" / "campus", schema, site="campus", checkpoints=EAGER) as twin:
            write_site(twin, schema, numbers)
    assert len(list(data.glob("sites/campus/checkpoints/*.tmc"))) == 2
    (data / "twinmesh.toml").write_text("format = 1\n", encoding="utf-8")
    return data


@pytest.fixture(scope="module")
def killed(tmp_path_factory, schema):
    """The same as `kill -9` leaves it: the newer commits only in the write-ahead log, and no seal."""
    folder = tmp_path_factory.mktemp("killed")
    live, data = folder / "live", folder / "data"
    for numbers in (range(COMMITS // 2), range(COMMITS // 2, COMMITS)):
        twin = Twin.open(live / "sites" / "campus", schema, site="campus", checkpoints=EAGER)
        write_site(twin, schema, numbers)
        if numbers.start == 0:
            twin.close()
    with closing(twin):
        shutil.copytree(live, data, ignore=shutil.ignore_patterns("*-shm"))
    (data / "twinmesh.toml").write_text("format = 1\n", encoding="utf-8")
    return data


@pytest.fixture
def copy_of(tmp_path):
    def copy(data):
        target = tmp_path / "copy"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(data, target)
        return target

    return copy


def files_of(site):
    """What counts: journal, checkpoints and the seal, the history; and what a log holds."""
    names = [path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()]
    return sorted(name for name in names if name != "lock" and (site / name).stat().st_size)


def damage_one(site, rng):
    if rng.random() < 0.25:
        return by_sql(site, rng)
    file = rng.choice(files_of(site))
    # A seal that is gone looks as after a kill: `verify` tells that as a gap, see below.
    ways = [way for way in BYTES if way is not remove or file != "seal.json"]
    return rng.choice(ways)(site, rng, file)


def test_what_nobody_touched_is_sound(closed, killed, copy_of, schema):
    for data in (closed, killed):
        report = verify_folder(copy_of(data), schema)
        assert report.sound, report
        assert report.sites[0].revision == COMMITS
    assert verify_folder(copy_of(closed), schema).sites[0].gaps == []
    assert "seal" in verify_folder(copy_of(killed), schema).sites[0].gaps[0]


def damage_many(closed, copy_of, schema, count, budget_s=float("inf")):
    seed = int.from_bytes(os.urandom(4))
    rng = random.Random(seed)
    kinds, end = Counter(), time.monotonic() + budget_s
    for number in range(count):
        if time.monotonic() > end:
            break
        data = copy_of(closed)
        damage = damage_one(data / "sites" / "campus", rng)
        report = verify_folder(data, schema)
        told = f"seed {seed}, number {number}: {damage}"
        problems = [problem for site in report.sites for problem in site.problems]
        assert problems, f"not found: {told}"
        assert not report.sound
        assert all(problem.place.path and problem.hint for problem in problems), told
        if damage.file != "seal.json":
            assert any(problem.place.path.endswith(damage.file) for problem in problems), (
                f"{told}: {problems}"
            )
        _check_place(damage, problems, told)
        kinds[damage.kind] += 1
    found = sum(kinds.values())
    print(f"damages: {found} of {count}, all found, seed {seed}: {dict(kinds.most_common())}")
    assert found


def _check_place(damage, problems, told):
    """One flipped byte of a sealed file lies within the bytes that are named."""
    sealed = [p for p in problems if p.code == "SEAL_BROKEN" and p.place.path.endswith(damage.file)]
    if damage.kind == "flip" and damage.file in (JOURNAL, HISTORY):
        start, end = (int(number) for number in sealed[0].place.item.split()[1::2])
        assert start <= damage.byte < end, told


def test_every_damage_to_a_closed_site_is_found(closed, copy_of, schema):
    damage_many(closed, copy_of, schema, SHARE)


@pytest.mark.long
def test_a_thousand_damages_to_a_closed_site_are_found(closed, copy_of, schema):
    damage_many(closed, copy_of, schema, LONG, float(os.environ.get("TWINMESH_LONG_S", "600")))


def rows_of(site):
    """Every row that SQLite reads from journal and history, or why it cannot."""
    found = []
    for name in (JOURNAL, HISTORY):
        try:
            with closing(sqlite3.connect(site / name)) as connection:
                query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
                tables = [table for (table,) in connection.execute(query)]
                found += [
                    connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables
                ]
                found.append(connection.execute("PRAGMA user_version").fetchone())
        except sqlite3.Error as error:
            found.append(str(error))
    return found


def damage_killed(killed, copy_of, schema, count, budget_s=float("inf")):
    """Bits of journal, log and checkpoint: found, or not a row changed. Readings need a seal."""
    seed = int.from_bytes(os.urandom(4))
    rng = random.Random(seed)
    whole = rows_of(copy_of(killed) / "sites" / "campus")
    found = harmless = 0
    end = time.monotonic() + budget_s
    for number in range(count):
        if time.monotonic() > end:
            break
        data = copy_of(killed)
        site = data / "sites" / "campus"
        file = rng.choice([name for name in files_of(site) if not name.startswith("history")])
        damage = flip(site, rng, file)
        if verify_folder(data, schema).sound:
            assert rows_of(site) == whole, f"not found: seed {seed}, number {number}: {damage}"
            harmless += 1
        else:
            found += 1
    print(f"damages after a kill: {found} found, {harmless} on bytes that hold nothing, seed {seed}")
    assert found


def test_every_flip_after_a_kill_is_found_or_changes_nothing(killed, copy_of, schema):
    damage_killed(killed, copy_of, schema, SHARE)


@pytest.mark.long
def test_a_thousand_flips_after_a_kill(killed, copy_of, schema):
    damage_killed(killed, copy_of, schema, LONG, float(os.environ.get("TWINMESH_LONG_S", "600")))


def test_records_changed_by_sql_after_a_kill_are_found_without_a_seal(killed, copy_of, schema):
    rng = random.Random(os.urandom(4))
    for _ in range(40):
        data = copy_of(killed)
        damage = by_sql(data / "sites" / "campus", rng)
        problems = verify_folder(data, schema).sites[0].problems
        assert problems, damage
        assert all(problem.place.path for problem in problems)


def test_a_log_cut_anywhere_but_between_two_commits_is_found(killed, copy_of, schema):
    rng = random.Random(os.urandom(4))
    for _ in range(20):
        data = copy_of(killed)
        site = data / "sites" / "campus"
        whole = verify_folder(data, schema).sites[0].revision
        _drop_reserve(site / f"{JOURNAL}-wal")
        damage = cut(site, rng, f"{JOURNAL}-wal")
        report = verify_folder(data, schema)
        assert not report.sound or _ends_a_commit(killed, damage.byte), (damage, whole)


def _drop_reserve(log):
    """Take the room for later commits off a log: a cut in there would be none."""
    raw = log.read_bytes()
    frame = 24 + int.from_bytes(raw[8:12], "big")
    used = len(raw.rstrip(b"\0")) - 32
    log.write_bytes(raw[: 32 + -(-used // frame) * frame])


def _ends_a_commit(data, length):
    raw = (data / "sites" / "campus" / f"{JOURNAL}-wal").read_bytes()
    frame = 24 + int.from_bytes(raw[8:12], "big")
    ends = {start + frame for start in range(32, len(raw), frame) if any(raw[start + 4 : start + 8])}
    return length in ends or length == 0


def test_the_seal_is_broken_by_the_next_writer_and_made_again(closed, copy_of, schema):
    data = copy_of(closed)
    site = data / "sites" / "campus"
    with Twin.open(site, schema, site="campus") as twin:
        assert not (site / "seal.json").exists()
        report = verify_folder(data, schema)
        assert report.sound
        assert "is being written" in report.sites[0].gaps[0]
        twin.apply(Change(remove_twins=(f"{twin.base}t0-0",)))
    assert (site / "seal.json").exists()
    report = verify_folder(data, schema)
    assert report.sound
    assert report.sites[0].gaps == []
    with Twin.open(site, schema, site="campus", read_only=True) as follower:
        follower.snapshot()
    assert verify_folder(data, schema).sound, "a follower changes nothing"


def test_verify_changes_not_a_byte(killed, copy_of, schema):
    data = copy_of(killed)
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    assert verify_folder(data, schema).sound
    after = {path: path.read_bytes() for path in before}
    assert after == before
    left = {path.name for path in data.rglob("*") if path.is_file()} - {path.name for path in before}
    assert left <= {f"{JOURNAL}-shm", f"{HISTORY}-shm"}
