"""The disk of Neo4j is full: a typed error, nothing that was acknowledged is lost, nothing is doubled."""

from __future__ import annotations

import os
import subprocess

import pytest
from graph_reading import of_neo4j, of_snapshot
from neo4j_waiting import wait_shown, wait_until

from bench.neo4j_server import Server
from graph.content import content_of
from graph.values import Change, TwinRecord, Value
from ontology.errors import StoreError

BASE = "https://twinmesh.invalid/campus/"
NOTE = 40_000  # characters of each twin: a few of them fill what is left
LEFT_BYTES = 400_000
TRIES_MAX = 60
# What the last, unacknowledged transaction left in the log is cut off when Neo4j starts again.
TOLERANT = "internal.dbms.tx_log.fail_on_corrupted_log_files=false\n"

pytestmark = pytest.mark.timeout(1200)  # a Neo4j is started, and the machine may be busy


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 96 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small disk")
    mounting = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(disk)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        pytest.skip("mount is not allowed here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def neo4j(small_disk, neo4j_server_started):
    """A Neo4j of its own on that disk; the one of the suite says whether there is any."""
    server = Server.make(small_disk / "home")
    try:
        server.start()
        yield server
    finally:
        server.stop()


def put(schema, number):
    note = {"note": Value(f"{number:06d}" * (NOTE // 6))}
    record = TwinRecord(f"{BASE}{number}", (schema.kind("brick:AHU").iri,), attributes=note)
    return Change(put_twins=(record,), idempotency_key=f"k{number}")


def test_a_full_disk_is_told_and_what_was_acknowledged_is_kept(open_mesh, neo4j, small_disk, schema):
    mesh = open_mesh()
    twin = mesh.create_site("campus")
    for number in range(3):
        twin.apply(put(schema, number))
    wait_shown(mesh)
    ballast = small_disk / "ballast"
    size = os.statvfs(small_disk)
    ballast.write_bytes(bytes(size.f_bavail * size.f_frsize - LEFT_BYTES))
    number, refusal = 3, None
    while refusal is None and number < TRIES_MAX:
        try:
            twin.apply(put(schema, number))
            number += 1
        except StoreError as error:
            refusal = error
    assert refusal is not None, "the disk was not filled"
    wait_until(lambda: {"STORE_HALTED"} == {trouble.code for trouble in twin.troubles}, "the code")
    assert refusal.code in ("STORE_HALTED", "STORE_READ_ONLY"), refusal
    with pytest.raises(StoreError) as caught:
        twin.apply(put(schema, number))
    assert caught.value.code == "STORE_READ_ONLY"
    assert len(twin.snapshot().living_rows) == number  # which can be read all the while

    ballast.unlink()
    neo4j.stop()
    neo4j.settings = TOLERANT
    neo4j.start()
    wait_until(lambda: not twin.troubles, "healing")
    applied = [twin.apply(put(schema, again)).revision for again in range(number + 1)]
    assert applied == list(range(1, number + 2))
    wait_shown(mesh)
    assert of_neo4j(neo4j, "campus") == of_snapshot(twin.snapshot())
    replayed = open_mesh("replayed", read_only=True).twin("campus")
    assert replayed.verify() == []
    assert content_of(replayed.snapshot()).hash == content_of(twin.snapshot()).hash
    print(f"{number} changes acknowledged before the disk was full, all kept: {refusal}")
