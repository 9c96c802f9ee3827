"""Backup while it is written, restore, and everything that may be wrong with either."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from graph import backup as backup_module
from graph.backup import make_backup
from graph.content import content_of, readings_of
from graph.manifest import MANIFEST, read_manifest
from graph.mesh import Mesh
from graph.restore import UNFINISHED, restore_backup
from graph.stores import copying
from graph.values import Change, RelationshipRecord, TwinRecord, Value
from graph.verifying import verify_folder
from ontology.errors import StoreError

Usage = namedtuple("Usage", "total used free")


def change_of(base, schema, name):
    ids = [f"{base}{name}-{part}" for part in "ab"]
    twins = tuple(TwinRecord(iri, (schema.kind("AHU").iri,), attributes={"x1": Value(name)}) for iri in ids)
    link = RelationshipRecord(ids[0], schema.relation("brick:feeds").iri, ids[1])
    return Change(put_twins=twins, put_relationships=(link,), idempotency_key=name)


@pytest.fixture
def data(tmp_path, schema, units):
    """A data folder with two sites, closed."""
    folder = tmp_path / "data"
    with Mesh.open(folder, schema, units=units) as mesh:
        for site in ("campus", "plant"):
            twin = mesh.create_site(site)
            for number in range(5):
                twin.apply(change_of(twin.base, schema, f"{site}{number}"))
    (folder / "tokens.json").write_text("{}")
    (folder / "tokens.json").chmod(0o600)
    return folder


def code_of(function, *arguments, **options):
    with pytest.raises(StoreError) as caught:
        function(*arguments, **options)
    return caught.value


def tree(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")} if folder.exists() else None


def test_it_comes_back_equal(data, tmp_path, schema, units):
    manifest = make_backup(data, tmp_path / "kept", schema)
    assert [(mark.site, mark.revision) for mark in manifest.sites] == [("campus", 5), ("plant", 5)]
    assert read_manifest(tmp_path / "kept") == manifest
    restore_backup(tmp_path / "kept", tmp_path / "new", schema, verify=True)
    with Mesh.open(data, schema, units=units) as old, Mesh.open(tmp_path / "new", schema, units=units) as new:
        for site in old.sites:
            before, after = old.twin(site).snapshot(), new.twin(site).snapshot()
            assert content_of(before) == content_of(after)
            assert readings_of(before) == readings_of(after)
            again = change_of(old.twin(site).base, schema, f"{site}4")
            assert new.twin(site).apply(again).replayed, "answers come back too"
    assert (tmp_path / "new" / "tokens.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "kept").stat().st_mode & 0o077 == 0, "a backup is for its owner alone"


def test_a_restored_folder_is_sealed(data, tmp_path, schema):
    make_backup(data, tmp_path / "kept", schema)
    restore_backup(tmp_path / "kept", tmp_path / "new", schema)
    for folder in ("kept", "new"):
        report = verify_folder(tmp_path / folder, schema)
        assert report.sound
        assert [site.gaps for site in report.sites] == [[], []]


# Under load

CHILD = """
import os, sys, threading
from pathlib import Path
from graph.mesh import Mesh
from ontology.schema import load_schema

sys.path.append(sys.argv[2])
from test_backup import change_of

schema = load_schema()
with Mesh.open(Path(sys.argv[1]), schema) as mesh:
    twin = mesh.twin("campus")
    stopped = threading.Event()
    def work(worker):
        for step in range(1_000_000):
            if stopped.is_set():
                return
            revision = twin.apply(change_of(twin.base, schema, f"load-{worker}-{step}")).revision
            os.write(1, b"%d\\n" % revision)
    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    sys.stdin.read()
    stopped.set()
    for worker in workers:
        worker.join()
"""


def test_under_load_it_holds_all_that_was_acknowledged_and_comes_back_equal(data, tmp_path, schema, units):
    """Another process writes as fast as it can; each backup is of one moment after it was asked for."""
    command = [sys.executable, "-c", CHILD, str(data), str(Path(__file__).parent)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    acknowledged = [0]

    def listen():
        for line in child.stdout:
            acknowledged[0] = max(acknowledged[0], int(line))

    child_reader = threading.Thread(target=listen)
    try:
        acknowledged[0] = int(child.stdout.readline())
        child_reader.start()
        kept = []
        for number in range(4):
            before = acknowledged[0]
            manifest = make_backup(data, tmp_path / f"kept{number}", schema)
            assert manifest.sites[0].revision >= before
            kept.append(manifest.sites[0])
            # On a busy machine the writer may not have been given its turn meanwhile.
            until_s = time.monotonic() + 120
            while acknowledged[0] <= manifest.sites[0].revision and child.poll() is None:
                assert time.monotonic() < until_s, "the writer writes no more"
                time.sleep(0.01)
        assert verify_folder(data, schema).sound, "verify beside a writer"
    finally:
        child.stdin.close()
        child.wait()
        child_reader.join()
        child.stdout.close()
    revisions = [mark.revision for mark in kept]
    assert revisions == sorted(set(revisions)), "it was written meanwhile"
    with Mesh.open(data, schema, units=units) as mesh:
        twin = mesh.twin("campus")
        assert twin.snapshot().revision > revisions[-1], "the writer ended early"
        for number, mark in enumerate(kept):
            restore_backup(tmp_path / f"kept{number}", tmp_path / f"new{number}", schema, verify=True)
            with Mesh.open(tmp_path / f"new{number}", schema, units=units) as new:
                restored = content_of(new.twin("campus").snapshot())
            assert restored == content_of(twin.snapshot_at(revision=mark.revision))
            assert restored.hash == mark.hash
    print(f"backup under load: {len(kept)} backups at revisions {revisions}, all equal")


# What may be wrong with the target


def test_a_target_that_holds_something_is_left_alone(data, tmp_path, schema):
    target = tmp_path / "kept"
    make_backup(data, target, schema)
    before = (target / MANIFEST).read_bytes()
    assert code_of(make_backup, data, target, schema).code == "BACKUP_TARGET"
    assert (target / MANIFEST).read_bytes() == before
    file = tmp_path / "file"
    file.write_text("mine")
    assert code_of(make_backup, data, file, schema).code == "BACKUP_TARGET"
    assert code_of(make_backup, data, data / "sites" / "kept", schema).code == "BACKUP_TARGET"
    assert code_of(restore_backup, target, data, schema).code == "RESTORE_TARGET"
    assert file.read_text() == "mine"
    assert tree(data / "sites") >= {"campus", "plant"}


def test_a_folder_that_is_none(tmp_path, schema):
    assert code_of(make_backup, tmp_path, tmp_path / "kept", schema).code == "STORE_MISSING"
    assert not (tmp_path / "kept").exists()
    assert code_of(restore_backup, tmp_path, tmp_path / "new", schema).code == "BACKUP_INCOMPLETE"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("existed", [True, False])
def test_a_disk_without_room_is_told_first(data, tmp_path, schema, monkeypatch, existed):
    target = tmp_path / "kept"
    if existed:
        target.mkdir()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1000))
    error = code_of(make_backup, data, target, schema)
    assert error.code == "BACKUP_SPACE"
    assert "1,000" in error.message
    assert tree(target) == (set() if existed else None)


@pytest.mark.parametrize("existed", [True, False])
def test_a_disk_that_fills_up_meanwhile_leaves_nothing_behind(data, tmp_path, schema, monkeypatch, existed):
    target = tmp_path / "kept"
    if existed:
        target.mkdir()
    calls = []

    def full(path, *_):
        calls.append(path)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(copying, "sync_file", full)
    error = code_of(make_backup, data, target, schema)
    assert error.code == "BACKUP_FAILED"
    assert "full" in error.hint
    assert tree(target) == (set() if existed else None)


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or os.geteuid() != 0, reason="needs root to mount a small disk"
)
def test_a_disk_that_is_really_full(data, tmp_path, schema, monkeypatch):
    """SQLite's own message for it, and the plain one of the system."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mount is not allowed here")
    try:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 10**12))
        for number in range(4):
            (disk / f"filler{number}").write_bytes(b"x" * 4096 * number)
            error = code_of(make_backup, data, disk / f"kept{number}", schema)
            assert error.code == "BACKUP_FAILED"
            assert not (disk / f"kept{number}").exists()
        make_backup(data, tmp_path / "kept", schema)
        error = code_of(restore_backup, tmp_path / "kept", disk / "new", schema)
        assert error.code == "RESTORE_FAILED"
        assert not (disk / "new").exists()
    finally:
        subprocess.run(["umount", disk], check=True)


# What may be wrong with the source


def test_a_damaged_journal_is_not_kept_as_if_it_were_whole(data, tmp_path, schema):
    journal = data / "sites" / "plant" / "journal.sqlite"
    raw = journal.read_bytes()
    place = raw.index(b"plant3-a")
    journal.write_bytes(raw[:place] + b"P" + raw[place + 1 :])
    error = code_of(make_backup, data, tmp_path / "kept", schema)
    assert error.code == "JOURNAL_CORRUPT"
    assert "commit 4" in str(error)
    assert not (tmp_path / "kept").exists()


def test_a_backup_that_was_never_finished_is_none(data, tmp_path, schema):
    target = tmp_path / "kept"
    make_backup(data, target, schema)
    (target / MANIFEST).unlink()
    error = code_of(restore_backup, target, tmp_path / "new", schema)
    assert (error.code, tree(tmp_path / "new")) == ("BACKUP_INCOMPLETE", None)


@pytest.mark.parametrize("verify", [True, False])
def test_any_byte_of_a_backup_that_changed_is_found(data, tmp_path, schema, verify):
    target, seed = tmp_path / "kept", int.from_bytes(os.urandom(4))
    make_backup(data, target, schema)
    rng = random.Random(seed)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    for _ in range(30):
        path = rng.choice(files)
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        assert not verify_folder(target, schema).sound, f"seed {seed}: {path}"
        error = code_of(restore_backup, target, tmp_path / "new", schema, verify=verify)
        assert error.code in ("BACKUP_DAMAGED", "STORE_VERSION"), f"seed {seed}: {path}"
        assert error.place.path, f"seed {seed}"
        assert tree(tmp_path / "new") is None
        path.write_bytes(whole)
    assert verify_folder(target, schema).sound


def test_a_file_that_is_gone_or_added_is_found(data, tmp_path, schema):
    target = tmp_path / "kept"
    make_backup(data, target, schema)
    (target / "sites" / "campus" / "more").write_text("x")
    assert [problem.code for problem in verify_folder(target, schema).problems] == ["BACKUP_DAMAGED"]
    (target / "sites" / "campus" / "more").unlink()
    (target / "sites" / "plant" / "history" / "catalog.json").unlink()
    assert not verify_folder(target, schema).sound
    error = code_of(restore_backup, target, tmp_path / "new", schema)
    assert error.code == "BACKUP_DAMAGED"
    assert error.place.path.endswith("catalog.json")


def test_a_manifest_of_a_later_format_is_refused(data, tmp_path, schema):
    target = tmp_path / "kept"
    make_backup(data, target, schema)
    signed = json.loads((target / MANIFEST).read_text())
    signed["manifest"]["format"] = 99
    (target / MANIFEST).write_text(json.dumps(signed))
    assert code_of(restore_backup, target, tmp_path / "new", schema).code == "STORE_VERSION"


def test_a_manifest_cannot_lead_out_of_the_backup(data, tmp_path, schema):
    target = tmp_path / "kept"
    manifest = make_backup(data, target, schema)
    for name in ("../evil", "/tmp/evil", "sites/../../evil"):
        mark = backup_module.mark_file(target, "twinmesh.toml")
        changed = replace(manifest, files=(replace(mark, path=name),))
        (target / MANIFEST).write_bytes(backup_module.manifest_bytes(changed))
        assert code_of(restore_backup, target, tmp_path / "new", schema).code == "BACKUP_DAMAGED"
    assert not (tmp_path / "evil").exists()


def test_another_content_under_right_marks_is_found_by_verify(data, tmp_path, schema):
    """Somebody made files and manifest fit: the site is then not what the manifest says of it."""
    target = tmp_path / "kept"
    manifest = make_backup(data, target, schema)
    campus = manifest.sites[0]
    wrong = type(campus)(
        *[getattr(campus, name) for name in campus.__slots__][:-3], "0" * 32, campus.content, 9
    )
    changed = replace(manifest, sites=(wrong, manifest.sites[1]))
    (target / MANIFEST).write_bytes(backup_module.manifest_bytes(changed))
    error = code_of(restore_backup, target, tmp_path / "new", schema, verify=True)
    assert error.code == "BACKUP_DAMAGED"
    assert "content" in error.message


def test_an_interrupted_restore_is_begun_again(data, tmp_path, schema):
    make_backup(data, tmp_path / "kept", schema)
    left = tmp_path / "new" / UNFINISHED / "sites"
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    restore_backup(tmp_path / "kept", tmp_path / "new", schema, verify=True)
    assert tree(tmp_path / "new") >= {"twinmesh.toml", "sites/campus/journal.sqlite"}
    assert not (tmp_path / "new" / UNFINISHED).exists()
