"""kill -9 at any moment of a load: what was acknowledged is there afterwards."""

from __future__ import annotations

import os
import random
import threading
import time

import httpx
import pytest

CHANGE = """mutation M($id: ID!) {
  applyChange(input: {site: "campus", putTwins: [{id: $id, kinds: ["brick:AHU"]}]}) { applied revision } }"""
WRITERS = 3


def load(server, prefix, acknowledged, stop):
    """Apply changes one after the other and note each that was acknowledged."""
    with httpx.Client(timeout=30) as http:
        number = 0
        while not stop.is_set():
            name = f"{prefix}-{number}"
            body = {"query": CHANGE, "variables": {"id": name}}
            try:
                answer = http.post(f"{server.url}/graphql", json=body).json()
            except httpx.HTTPError:
                return
            assert answer["data"]["applyChange"]["applied"], answer
            acknowledged.append(name)
            number += 1


def crash_once(serve, data, attempt, rng, acknowledged):
    server = serve(data)
    stop = threading.Event()
    writers = [
        threading.Thread(target=load, args=(server, f"A{attempt}-{k}", acknowledged, stop))
        for k in range(WRITERS)
    ]
    before = len(acknowledged)
    for writer in writers:
        writer.start()
    until = time.monotonic() + 30
    while len(acknowledged) < before + 5 and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(rng.uniform(0.0, 0.3))
    server.kill()
    stop.set()
    for writer in writers:
        writer.join(60)


def check(cli, data, acknowledged):
    """The chain is whole and every acknowledged twin exists, read without the server."""
    verified = cli("verify", "--data", data, "--json")
    assert verified.code == 0, verified.out
    text = cli("export", "--data", data, "--format", "csv").out
    there = {line.split(",", 1)[0] for line in text.splitlines()}
    lost = [name for name in acknowledged if name not in there]
    assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged changes are lost: {lost[:5]}"


@pytest.mark.parametrize("attempts", [3])
def test_nothing_acknowledged_is_lost_by_kill_9(serve, cli, spine_data, attempts):
    run_attempts(serve, cli, spine_data, attempts, None)


@pytest.mark.long
def test_nothing_acknowledged_is_lost_by_kill_9_a_hundred_times(serve, cli, spine_data):
    run_attempts(serve, cli, spine_data, 100, float(os.environ.get("TWINMESH_LONG_S", "600")))


def run_attempts(serve, cli, data, attempts, budget_s):
    seed = int(os.environ.get("TWINMESH_SEED", time.time_ns() % 1_000_000))
    rng, acknowledged = random.Random(seed), []
    began, done = time.monotonic(), 0
    while done < attempts and (budget_s is None or time.monotonic() - began < budget_s):
        crash_once(serve, data, done, rng, acknowledged)
        done += 1
        check(cli, data, acknowledged)
    print(f"kill -9: {done} of {attempts} tries, {len(acknowledged)} acknowledged changes, seed {seed}")
    assert len(acknowledged) >= 5 * done
