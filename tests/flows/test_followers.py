"""Followers as users run them: a server that writes, processes that only read beside it, kill -9 of each."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

LEVEL, TWINS = 100, 20
FOLLOW = ("--dev", "--follow")
ADD = """mutation M($id: ID!) {
  applyChange(input: {site: "campus", putTwins: [{id: $id, kinds: ["brick:AHU"]}]}) { revision } }"""
MOVE = """mutation M($twins: [TwinInput!]!) {
  applyChange(input: {site: "campus", mergeTwins: $twins}) { revision } }"""
LOOK = "query Q($id: ID!, $min: Revision) { node(id: $id, minRevision: $min) { localId revision } }"
LEVELS = """{ twins(filter: {localId: {startsWith: "L"}}, first: 100) {
  nodes { localId revision attribute(name: "level1") { value } } } }"""
REVISIONS = "{ sites { name revision twins } }"
CHANGES = 'subscription { changes(site: "campus", resumeFrom: "0") { revision } }'


def ask(http, url, text, **variables):
    return http.post(f"{url}/graphql", json={"query": text, "variables": variables}).json()


@pytest.fixture
def levels_data(cli, tmp_path):
    """Site campus with 20 twins whose levels sum up to 2000, whatever is moved."""
    table = tmp_path / "levels.csv"
    table.write_text("id,kind,level1\n" + "".join(f"L{n},brick:AHU,{LEVEL}\n" for n in range(TWINS)))
    data = tmp_path / "data"
    assert cli("import", table, "--data", data, "--site", "campus").code == 0
    return data


@dataclass
class Load:
    """What writers and readers saw, shared by their threads."""

    writer: str
    followers: list[str]
    seed: int
    stop: threading.Event = field(default_factory=threading.Event)
    acknowledged: list[tuple[str, int]] = field(default_factory=list)
    moved: int = 0
    looked: int = 0
    wrong: list[object] = field(default_factory=list)

    def levels(self, http):
        """As they are now: the last move before a kill may have been applied or not."""
        nodes = ask(http, self.writer, LEVELS)["data"]["twins"]["nodes"]
        return {node["localId"]: node["attribute"]["value"] for node in nodes}

    def add(self, name):
        """Add a twin at the writer, then read it at every follower by the revision of the answer."""
        with httpx.Client(timeout=30) as http:
            for number in range(1_000_000):
                if self.stop.is_set():
                    return
                twin = f"{name}-{number}"
                try:
                    revision = ask(http, self.writer, ADD, id=twin)["data"]["applyChange"]["revision"]
                except httpx.HTTPError:
                    return
                self.acknowledged.append((twin, int(revision)))
                for url in self.followers:
                    self.expect(http, url, twin, revision)

    def expect(self, http, url, twin, revision):
        with suppress(httpx.HTTPError):  # a follower that is killed on purpose
            answer = ask(http, url, LOOK, id=f"campus:{twin}", min=revision)
            if (answer.get("data") or {}).get("node") != {"localId": twin, "revision": revision}:
                self.wrong.append((url, twin, revision, answer))
            self.looked += 1

    def move(self):
        """Move amounts between two twins: their sum is the same in every revision."""
        rng = random.Random(self.seed)
        with httpx.Client(timeout=30) as http:
            levels = self.levels(http)
            while not self.stop.is_set():
                giver, taker = rng.sample(sorted(levels), 2)
                amount = rng.randint(1, 50)
                after = {giver: levels[giver] - amount, taker: levels[taker] + amount}
                twins = [{"id": name, "attributes": {"level1": level}} for name, level in after.items()]
                try:
                    ask(http, self.writer, MOVE, twins=twins)["data"]["applyChange"]["revision"]
                except httpx.HTTPError:
                    return  # it may or may not have been applied; sums hold either way
                levels |= after
                self.moved += 1

    def read(self, url):
        """No look is torn, none goes back in time."""
        newest = (0, 0)  # of the levels alone, and of the site, which other changes move on as well
        with httpx.Client(timeout=30) as http:
            while not self.stop.is_set():
                try:
                    nodes = ask(http, url, LEVELS)["data"]["twins"]["nodes"]
                    (site,) = ask(http, url, REVISIONS)["data"]["sites"]
                except httpx.HTTPError:
                    return
                total = sum(node["attribute"]["value"] for node in nodes)
                if (total, len(nodes)) != (LEVEL * TWINS, TWINS):
                    self.wrong.append((url, "torn", total, len(nodes)))
                seen = (max(int(node["revision"]) for node in nodes), int(site["revision"]))
                if seen[0] < newest[0] or seen[1] < newest[1] or seen[1] < seen[0]:
                    self.wrong.append((url, "back in time", newest, seen))
                newest = seen
                self.looked += 1

    @contextmanager
    def running(self):
        works = [threading.Thread(target=self.move)]
        works += [threading.Thread(target=self.add, args=(f"{self.seed}-{n}",)) for n in range(2)]
        works += [threading.Thread(target=self.read, args=(url,)) for url in self.followers]
        for work in works:
            work.start()
        try:
            yield
        finally:
            self.stop.set()
            for work in works:
                work.join(60)


def content(url):
    with httpx.Client(timeout=60) as http:
        answer = http.get(f"{url}/export", params={"format": "nq"})
        assert answer.status_code == 200, answer.text
        return sorted(answer.text.splitlines())


def caught_up(url, revision, timeout_s=20):
    until = time.monotonic() + timeout_s
    with httpx.Client(timeout=30) as http:
        while time.monotonic() < until:
            (site,) = ask(http, url, REVISIONS)["data"]["sites"]
            if int(site["revision"]) >= revision:
                return
            time.sleep(0.02)
    pytest.fail(f"{url} never came to revision {revision}")


def revision_of(url):
    with httpx.Client(timeout=30) as http:
        (site,) = ask(http, url, REVISIONS)["data"]["sites"]
        return int(site["revision"])


def events(url, query, found, ready, stop):
    """Events of a subscription by SSE, until told to stop or the server is gone."""
    with suppress(httpx.HTTPError), httpx.Client(timeout=httpx.Timeout(30, read=60)) as http:
        headers = {"Accept": "text/event-stream"}
        with http.stream("POST", f"{url}/graphql", json={"query": query}, headers=headers) as answer:
            ready.set()
            for line in answer.iter_lines():
                if line.startswith("data:") and len(line) > 6:
                    found.append(json.loads(line[5:]))
                if stop.is_set():
                    return


@contextmanager
def subscribed(url, query):
    found, ready, stop = [], threading.Event(), threading.Event()
    work = threading.Thread(target=events, args=(url, query, found, ready, stop), daemon=True)
    work.start()
    assert ready.wait(30)
    yield found
    stop.set()


def wait_for(condition, timeout_s=120):
    until = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    assert condition()


def run_round(serve, data, writer, followers, seed, load_s):
    """Load on the writer, looks at the followers, kill -9 of the writer in the middle; the next writer."""
    load = Load(writer.url, [each.url for each in followers], seed)
    with load.running():
        time.sleep(load_s)
        wait_for(lambda: load.moved and load.acknowledged, 60)  # on a busy machine it takes longer
        if seed % 2:
            writer.kill()
    if seed % 2:
        writer = serve(data)
    newest = revision_of(writer.url)
    for follower in followers:
        caught_up(follower.url, newest)
    assert load.wrong == []
    assert load.moved > 0
    assert load.looked > 0
    assert max((revision for _, revision in load.acknowledged), default=0) <= newest
    there = {each.url: content(each.url) for each in (writer, *followers)}
    for follower in followers:
        assert there[follower.url] == there[writer.url]
    return writer, load


def test_followers_read_what_was_written_whole_and_in_order(serve, levels_data):
    rounds(serve, levels_data, [1, 2], 1.5)


@pytest.mark.long
def test_followers_read_what_was_written_for_long(serve, levels_data):
    until = time.monotonic() + float(os.environ.get("TWINMESH_LONG_S", "600"))
    first = int.from_bytes(os.urandom(3))
    rounds(serve, levels_data, iter(lambda: first + int(time.monotonic() * 10), None), 3.0, until)


def rounds(serve, data, seeds, load_s, until=float("inf")):
    """Every second round ends with kill -9 of the writer, every third with kill -9 of a follower."""
    writer, followers = serve(data), [serve(data, *FOLLOW) for _ in range(2)]
    done = acknowledged = looked = 0
    with subscribed(followers[0].url, CHANGES) as found:
        for seed in seeds:
            if time.monotonic() > until:
                break
            writer, load = run_round(serve, data, writer, followers, seed, load_s)
            done, acknowledged, looked = done + 1, acknowledged + len(load.acknowledged), looked + load.looked
            if done % 3 != 0:
                followers[1].kill()
                followers[1] = serve(data, *FOLLOW)
        newest = revision_of(writer.url)
        wait_for(lambda: len(found) >= newest)
    told = [int(event["data"]["changes"]["revision"]) for event in found]
    assert told == list(range(1, newest + 1)), "every commit once, in order, over all restarts of the writer"
    print(f"followers: {done} rounds, {newest} revisions, {acknowledged} read back, {looked} looks, 0 wrong")
    assert content(followers[1].url) == content(writer.url), "a follower that was killed begins again"


def test_workers_see_what_appears_later_refuse_to_write_and_are_started_again(
    serve, cli, levels_data, tmp_path
):
    follower = serve(levels_data, *FOLLOW, "--workers", "2")
    without_a_writer(follower)
    writer = serve(levels_data)
    with_a_writer(writer, follower, cli, levels_data, tmp_path)
    workers = children(follower.process.pid)
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    wait_for(lambda: len(set(children(follower.process.pid)) - {workers[0]}) == 2, 60)
    assert content(follower.url) == content(writer.url)
    left = children(follower.process.pid)
    follower.kill()
    wait_for(lambda: not any(is_alive(pid) for pid in left), 60)


def without_a_writer(follower):
    """It serves what is there."""
    assert revision_of(follower.url) == 1
    with httpx.Client(timeout=30) as http:
        refused = ask(http, follower.url, ADD, id="no")["errors"][0]["extensions"]
        assert refused["code"] == "STORE_LOCKED"
        late = ask(http, follower.url, LOOK, id="campus:L1", min="99")["errors"][0]["extensions"]
        assert late["code"] == "REVISION_NOT_REACHED"


def with_a_writer(writer, follower, cli, data, tmp_path):
    with (
        httpx.Client(timeout=30) as http,
        subscribed(follower.url, "subscription { changes { site } }") as told,
    ):
        refused = ask(http, follower.url, ADD, id="no")["errors"][0]["extensions"]
        assert refused["code"] == "STORE_LOCKED"
        assert writer.url in refused["hint"]
        line = {"point": "SAT", "time": "2026-01-01T00:00:00Z", "value": 4.5}
        answer = http.post(f"{follower.url}/ingest", content=json.dumps(line))
        assert (answer.status_code, answer.json()["code"]) == (421, "STORE_LOCKED")
        done = cli("import", data / "twinmesh.toml", "--url", follower.url, "--site", "plant")
        assert (done.code, "STORE_LOCKED" in done.err) == (1, True)
        later = {
            "model.ttl": "@prefix : <https://x.example/> .\n"
            "@prefix brick: <https://brickschema.org/schema/Brick#> .\n"
            ":press a :Oddity ; brick:feeds :fan . :fan a brick:Fan .\n",
            "points.csv": "id,kind\nSAT,brick:Supply_Air_Temperature_Sensor\n",
        }
        for name, text in later.items():
            (tmp_path / name).write_text(text)
            done = cli("import", tmp_path / name, "--url", writer.url, "--site", "plant")
            assert done.code == 0, done.err
        assert http.post(f"{writer.url}/ingest", content=json.dumps(line)).json()["accepted"] == 1
        for _ in range(8):  # several connections, so that every worker is asked
            with httpx.Client(timeout=30) as other:
                found = ask(other, follower.url, '{ twins(kind: "Oddity") { nodes { id kind } } }')
                assert found["data"]["twins"]["nodes"] == [
                    {"id": "https://x.example/press", "kind": "example:Oddity"}
                ], found
                value = ask(other, follower.url, '{ node(id: "SAT") { ... on Point { value } } }')
                assert value["data"]["node"] == {"value": 4.5}
                figures = other.get(f"{follower.url}/metrics").text
                assert 'twinmesh_follower_lag_commits{site="plant",worker="' in figures
                assert other.get(f"{follower.url}/readyz").status_code == 200
        wait_for(lambda: {"plant"} <= {event["data"]["changes"]["site"] for event in told})


def children(pid):
    """Worker processes of a process: its children but for the resource tracker of multiprocessing."""
    found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return [child for child in found if b"spawn_main" in command(child)]


def command(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def is_alive(pid):
    return b"spawn_main" in command(pid)
