"""Servers whose clocks are hours apart and jump, and a Neo4j that does: one writer, nothing lost."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import pytest
import wrong_clocks
from neo4j_waiting import wait_until

from bench.two_servers import PUT, Serving

pytestmark = pytest.mark.timeout(1200)  # programs are started, and the machine may be busy
BASE = "https://twinmesh.invalid/campus/"


class Neo4jClock:
    """As if the clock of Neo4j jumped: of all that is stored there only leases know what it said."""

    def __init__(self, neo4j):
        self._neo4j, self._hours = neo4j, 0

    def jump(self, hours):
        ms = (hours - self._hours) * 3_600_000
        self._neo4j.run(
            "MATCH (j:_Journal) WHERE j.held_until <> 0 SET j.held_until = j.held_until - $a", a=ms
        )
        self._hours = hours


@dataclass
class Clocks:
    """Of Neo4j and of two servers."""

    neo4j: Neo4jClock
    first: wrong_clocks.Clock
    second: wrong_clocks.Clock


@pytest.fixture
def clocks(tmp_path, neo4j):
    servers = (wrong_clocks.Clock(tmp_path / f"clock{hours}", hours) for hours in (5, -3))
    return Clocks(Neo4jClock(neo4j), *servers)


class Writing:
    """Changes at one server, one after the other, until it says that it is fenced off or the block ends."""

    def __init__(self, server, name):
        self.acknowledged, self.fenced, self.problem = {}, False, None
        self._server, self._name = server, name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def more(self, count=5):
        wanted = len(self.acknowledged) + count
        wait_until(lambda: self.ended or len(self.acknowledged) >= wanted, "writing")
        assert not self.ended, (self.problem, self.fenced)

    @property
    def ended(self):
        return self.problem is not None or self.fenced

    def _run(self):
        try:
            while not self.ended and not self._stop.wait(0.02):
                self._write(f"{self._name}{len(self.acknowledged)}")
        except (httpx.HTTPError, RuntimeError) as error:
            self.problem = repr(error)

    def _write(self, name):
        try:
            answer = self._server.ask(PUT, id=name, note={"x:note": name}, key=name)
        except httpx.TimeoutException:
            return  # it is paused: the same once more
        done = (answer.get("data") or {}).get("applyChange")
        if done is not None:
            self.acknowledged[int(done["revision"])] = BASE + name
            return
        codes = {error["extensions"]["code"] for error in answer["errors"]}
        if codes == {"STORE_FENCED"}:
            self.fenced = True
        elif not codes <= {"STORE_READ_ONLY", "STORE_UNREACHABLE"}:
            self.problem = answer


def ready(server):
    answer = httpx.get(f"{server.url}/readyz", timeout=60)
    return answer.status_code, answer.json()["problem"]


def refused(folder, neo4j, clock, tmp_path):
    """What a second server says that would write, and may not."""
    with pytest.raises(RuntimeError) as caught:
        Serving(tmp_path / folder, neo4j, more=clock.environment)
    assert "STORE_LOCKED" in str(caught.value) and "first" in str(caught.value), caught.value


def test_clocks_that_are_wrong_and_jump_make_no_second_writer(open_mesh, neo4j, clocks, tmp_path):
    """Two programs and a Neo4j, hours apart, all of whose clocks jump; the first is paused, and wakes up."""
    maker = open_mesh("maker")
    maker.create_site("campus")
    maker.close()
    first = Serving(tmp_path / "first", neo4j, more=clocks.first.environment)
    with ExitStack() as stack:
        stack.callback(first.stop)
        writing = stack.enter_context(Writing(first, "a"))
        writing.more()
        for hours in (-9, 9000, 2):
            clocks.first.jump(hours)
            writing.more()
        for hours in (6, -20):
            clocks.neo4j.jump(hours)
            refused("second", neo4j, clocks.second, tmp_path)
            writing.more()
        assert ready(first) == (200, None)
        first.process.send_signal(signal.SIGSTOP)
        stack.callback(first.process.send_signal, signal.SIGCONT)
        clocks.neo4j.jump(30)
        second = Serving(tmp_path / "second", neo4j, more=clocks.second.environment)
        stack.callback(second.stop)
        also = stack.enter_context(Writing(second, "b"))
        also.more()
        first.process.send_signal(signal.SIGCONT)
        wait_until(lambda: writing.ended, "the first one's end")
        assert writing.problem is None, writing.problem
        wait_until(lambda: ready(first) == (503, "STORE_FENCED"), "the first one's word")
        for hours in (-100, 100):
            clocks.second.jump(hours)
            clocks.neo4j.jump(-hours)
            also.more()
        wait_until(lambda: ready(second) == (200, None), "the second one's word")
    assert not also.ended, (also.problem, also.fenced)
    replayed = open_mesh("replayed", read_only=True).twin("campus")
    assert replayed.verify() == []
    commits = {each.sequence: each for each in replayed.commits(0, 100_000)}
    assert not set(writing.acknowledged) & set(also.acknowledged), "no revision was given twice"
    for revision, iri in (writing.acknowledged | also.acknowledged).items():
        assert [record.id for record in commits[revision].change.put_twins] == [iri]
    known = [record.id for each in commits.values() for record in each.change.put_twins]
    assert len(known) == len(set(known)) == len(replayed.snapshot().living_rows), "each once"
    times = [commits[number].time_ns for number in sorted(commits)]
    assert times == sorted(set(times))
    assert times[-1] - times[0] > 8000 * 3600 * 10**9, "the clocks of the programs were right"
    told = f"{len(writing.acknowledged)} and {len(also.acknowledged)} changes acknowledged"
    print(f"{told}, {len(commits)} commits, stamped over {(times[-1] - times[0]) / 3.6e12:,.0f} h")
