"""Two servers on one Neo4j as users run them: GraphQL on both, Neo4j killed and started again in between."""

from __future__ import annotations

import hashlib
import threading
from contextlib import ExitStack

import httpx
import pytest
from neo4j_waiting import wait_until

from bench.two_servers import PUT, Serving, subscribed
from graph.content import content_of

pytestmark = pytest.mark.timeout(1200)  # programs are started, and the machine may be busy
COUNTS = "{ twins(first: 1) { totalCount } sites { name revision } }"


@pytest.fixture
def serving(neo4j, open_mesh, tmp_path):
    """Starts servers on the one Neo4j, which has a site `campus`; stops them at the end."""
    maker = open_mesh("maker")
    maker.create_site("campus")
    maker.close()
    with ExitStack() as stack:

        def start(name, *words):
            server = Serving(tmp_path / name, neo4j, *words)
            stack.callback(server.stop)
            return server

        yield start


class Writing:
    """Writes twins one after the other, each until it is acknowledged, with its idempotency key."""

    def __init__(self, server):
        self.server = server
        self.revisions = []
        self.refused = []
        self.problem = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def more(self, count):
        wanted = len(self.revisions) + count
        wait_until(lambda: self.problem or len(self.revisions) >= wanted, "writing")
        assert self.problem is None, self.problem

    def _run(self):
        try:
            while not self._stop.is_set():
                self._write(f"t{len(self.revisions)}")
        except (httpx.HTTPError, RuntimeError, AssertionError) as error:
            self.problem = repr(error)

    def _write(self, name):
        answer = self.server.ask(PUT, id=name, note={"x:note": name}, key=f"key of {name}")
        done = (answer.get("data") or {}).get("applyChange")
        if done is not None:
            self.revisions.append(int(done["revision"]))
            self._stop.wait(0.01)
            return
        codes = {error["extensions"]["code"] for error in answer["errors"]}
        assert codes <= {"STORE_UNREACHABLE", "STORE_READ_ONLY", "STORE_FAILED"}, answer
        self.refused.append(codes)
        self._stop.wait(0.1)


def digest(server):
    """Of everything that a server shows."""
    answer = httpx.get(f"{server.url}/export", params={"format": "nq"}, timeout=120)
    assert answer.status_code == 200, answer.text
    return hashlib.sha256("\n".join(sorted(answer.text.splitlines())).encode()).hexdigest()


def test_each_change_is_told_once_although_neo4j_was_killed(serving, neo4j, open_mesh):
    writer, follower = serving("writer"), serving("follower", "--follow")
    with subscribed(follower, 0) as seen:
        with Writing(writer) as writing:
            writing.more(10)
            neo4j.kill()
            wait_until(lambda: writing.problem or writing.refused, "a refusal")
            neo4j.start()
            writing.more(10)
        last = max(writing.revisions)
        seen.wait_for(last)
        told = seen.revisions
    assert told == list(range(1, last + 1)), "each once, in order"
    assert writing.revisions == told, "every change that was acknowledged, and no other"
    counts = [server.ask(COUNTS)["data"] for server in (writer, follower)]
    assert (
        counts[0]
        == counts[1]
        == {
            "twins": {"totalCount": last},
            "sites": [{"name": "campus", "revision": str(last)}],
        }
    )
    assert digest(writer) == digest(follower)
    replayed = open_mesh("replayed", read_only=True).twin("campus")
    assert replayed.verify() == []
    again = open_mesh("again", read_only=True).twin("campus")
    assert content_of(replayed.snapshot()).hash == content_of(again.snapshot()).hash
    assert len(replayed.snapshot().living_rows) == last
    print(f"{last} changes told once each, {len(writing.refused)} refusals while Neo4j was away")
