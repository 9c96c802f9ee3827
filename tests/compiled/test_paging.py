"""Relay's rules of paging while others write: cursors stay valid, and whatever was there all the time is seen
once, in order, whichever way one turns the pages."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from api.config import Limits
from api.engine import Engine
from api.operation import Request
from api.policy import LOCAL
from api.schema.build import fixed_schema
from graph.mesh import Mesh
from graph.ordering import decode_cursor
from graph.twin import Twin
from graph.values import Change, RelationshipKey, RelationshipRecord, TwinRecord, Value
from graph.view import Hops, View
from ontology.schema import load_schema
from ontology.units import load_units
from tests.compiled.drawing import Draw, fresh_seed, run_examples, run_plain
from tests.compiled.world import services_of

BASE = "https://twinmesh.invalid/paged/"
EXAMPLES = 120
KEPT = 17
PASSING = 9
LEVELS = (None, 0.0, 1.0, 1.0, 2.5, -3.0, "text", True)
KINDS = ("put", "remove", "touch", "link", "unlink", "remove at cursor")
NAMES = (None, "a", "b", "b", "", "B")
ORDERS = (
    [],
    [{"by": "name"}],
    [{"by": "name", "direction": "DESC"}],
    [{"by": "x:level", "nulls": "FIRST"}],
    [{"by": "x:level", "direction": "DESC"}, {"by": "name"}],
    [{"by": "localId", "direction": "DESC"}],
    [{"by": "kind"}, {"by": "x:level"}],
)
LIST = """query q($o: [TwinOrder!], $f: Int, $a: String, $l: Int, $b: String) {
  ahuList(orderBy: $o, first: $f, after: $a, last: $l, before: $b) {
    edges { cursor node { localId } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
LINKS = """query q($f: Int, $a: String, $r: String) {
  node(id: "hub") { out(relation: $r, first: $f, after: $a) {
    edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"""


@dataclass(frozen=True)
class Step:
    """A write between two pages, on the twins that come and go."""

    kind: str
    number: int
    level: Any = None
    name: str | None = None


@dataclass(frozen=True)
class Walk:
    """A way through the pages. `steps[i]` are written before page i + 1; `turns` say where to go back."""

    order: list[dict[str, str]]
    size: int
    backward: bool
    before: tuple[Step, ...]  # written before the first page
    steps: tuple[tuple[Step, ...], ...]
    turns: frozenset[int]


@dataclass
class Paged:
    """The site, and a client of it."""

    twin: Twin
    engine: Engine
    loop: asyncio.AbstractEventLoop

    def ask(self, query: str, **variables: Any) -> Any:
        answer = self.loop.run_until_complete(self.engine.run(Request(query, variables), LOCAL))
        body = answer.formatted
        assert "errors" not in body, body
        return orjson.loads(orjson.dumps(body["data"]))


class CountingPages(Paged):
    """A server whose cursors are numbers of places."""

    def ask(self, query: str, **variables: Any) -> Any:
        whole = super().ask(query, **{**variables, "f": 1000, "a": None, "l": None, "b": None})
        if query is not LIST:
            return whole
        edges = [{**edge, "cursor": str(place)} for place, edge in enumerate(whole["ahuList"]["edges"])]
        low = int(variables["a"]) + 1 if variables.get("a") else 0
        high = int(variables["b"]) if variables.get("b") else len(edges)
        first, last = variables.get("f"), variables.get("l")
        low, high = (low, min(high, low + first)) if last is None else (max(low, high - last), high)
        page = edges[low:high]
        cursors = (page[0]["cursor"], page[-1]["cursor"]) if page else (None, None)
        info = {"startCursor": cursors[0], "endCursor": cursors[1]}
        info |= {"hasNextPage": high < len(edges), "hasPreviousPage": low > 0}
        return {"ahuList": {"edges": page, "pageInfo": info}}


@pytest.fixture(scope="module")
def paged(tmp_path_factory: pytest.TempPathFactory) -> Generator[Paged]:
    folder: Path = tmp_path_factory.mktemp("paged")
    with contextlib.ExitStack() as stack:
        mesh = stack.enter_context(Mesh.open(folder / "data", load_schema(), units=load_units()))
        twin = mesh.create_site("paged")
        twin.apply(
            Change(
                put_twins=(*(kept(n) for n in range(KEPT)), hub()), put_relationships=tuple(kept_links(twin))
            )
        )
        services = services_of(mesh, folder, Limits(wall_s=600.0))
        stack.callback(services.simulations.close)
        engine = Engine(services, fixed_schema(), threads=2)
        stack.callback(engine.close)
        loop = stack.enter_context(contextlib.closing(asyncio.new_event_loop()))
        yield Paged(twin, engine, loop)


def test_lists_under_writes(paged: Paged) -> None:
    run_examples(draw_walk, partial(check_list, paged), fresh_seed("paging"), EXAMPLES)


def test_links_under_writes(paged: Paged) -> None:
    run_examples(draw_link_walk, partial(check_links, paged), fresh_seed("paging of links"), EXAMPLES)


def test_cursors_that_count_are_found_out(paged: Paged) -> None:
    """Pages by offset, as many servers have them, lose and double what stays: the property tells."""
    counting = CountingPages(paged.twin, paged.engine, paged.loop)
    calm = Walk([], 3, False, (), (), frozenset())
    check_list(counting, calm)
    with pytest.raises(AssertionError):
        run_plain(draw_walk, partial(check_list, counting), fresh_seed("offsets"), EXAMPLES)


def test_cursors_that_need_what_they_stand_at_are_found_out(
    paged: Paged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cursor that means nothing once its own relationship is removed: the list begins anew."""
    monkeypatch.setattr("graph.execute._skipped", skipped_by_edge)
    with pytest.raises(AssertionError):
        run_plain(draw_link_walk, partial(check_links, paged), fresh_seed("lost places"), EXAMPLES)


def skipped_by_edge(view: View, hops: Hops, after: str | None) -> np.ndarray:
    """As `graph.execute._skipped`, from the relationship that the cursor names, if it is there."""
    edge = -1 if after is None else view.snapshot.edge_by_id(decode_cursor(after)[1])
    found = np.flatnonzero(hops.edges == edge)
    return np.arange(len(hops)) <= (found[0] if len(found) else -1)


def test_lists_beside_a_writer(paged: Paged) -> None:
    """As above with a writer that does not wait for the reader."""
    stop = threading.Event()
    writer = threading.Thread(target=write_on, args=(paged, stop), daemon=True)
    writer.start()
    try:
        for order in ORDERS * 2:
            for backward in (False, True):
                check_list(paged, Walk(order, 3, backward, (), (), frozenset()), clear=False)
    finally:
        stop.set()
        writer.join(20)
    assert not writer.is_alive()


def write_on(paged: Paged, stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        kind = ("put", "remove", "rename")[number % 3]
        write(
            paged, (Step(kind, number % PASSING, LEVELS[number % len(LEVELS)], NAMES[number % len(NAMES)]),)
        )


# The graph: twins and relationships that stay, and others that pass


def kept(number: int) -> TwinRecord:
    return record(f"k{number:02}", LEVELS[number % len(LEVELS)], NAMES[number % len(NAMES)])


def record(local_id: str, level: Any, name: str | None) -> TwinRecord:
    kind = "https://brickschema.org/schema/Brick#" + ("AHU" if len(local_id) % 2 else "RTU")
    values = {} if level is None else {"x:level": Value(level)}
    return TwinRecord(BASE + local_id, (kind,), name, attributes=values)


def hub() -> TwinRecord:
    return TwinRecord(BASE + "hub", ("https://twinmesh.dev/ns#Asset",), "hub")


def kept_links(twin: Twin) -> list[RelationshipRecord]:
    """Two of each group to every third twin, one to the others."""
    relation = twin.schema.relation("tm:supplies").iri
    return [
        RelationshipRecord(BASE + "hub", relation, f"{BASE}k{n:02}", group)
        for n in range(KEPT)
        for group in (("m", "n") if n % 3 == 0 else ("m",))
    ]


def write(paged: Paged, steps: tuple[Step, ...], at: str | None = None) -> None:
    """`at`: id of the twin or relationship that the cursor stands at."""
    for step in steps:
        paged.twin.apply(change_of(paged, step, at))


def change_of(paged: Paged, step: Step, at: str | None) -> Change:
    """Only what passes is changed so that its place changes; what stays is touched elsewhere."""
    if step.kind == "remove at cursor":
        return without(paged, at)
    local_id = f"{'pqk'[step.number % 3]}{step.number:02}x"
    there = paged.twin.snapshot().row(BASE + local_id) >= 0
    relation = paged.twin.schema.relation("tm:supplies").iri
    # Groups before, between and behind those that stay, to the same twins.
    ends = (BASE + "hub", relation, f"{BASE}k{step.number % KEPT:02}", ("a", "mm", "z")[step.number % 3])
    if step.kind == "remove" and there:
        return Change(remove_twins=(BASE + local_id,))
    if step.kind == "link":
        return Change(put_relationships=(RelationshipRecord(*ends),))
    if step.kind == "unlink" and any(key == ends for key in links_of(paged)):
        return Change(remove_relationships=(RelationshipKey(*ends),))
    if step.kind == "touch":
        touched = TwinRecord(f"{BASE}k{step.number % KEPT:02}", attributes={"x:other": Value(step.number)})
        return Change(merge_twins=(touched,))
    return Change(put_twins=(record(local_id, step.level, step.name),))


def without(paged: Paged, item: str | None) -> Change:
    """Removes a twin (by local id) or relationship (by id) that passes; nothing where it stays."""
    snapshot = paged.twin.snapshot()
    if item is None:
        return Change()
    if snapshot.row(BASE + item) >= 0:
        return Change() if stays(item) else Change(remove_twins=(BASE + item,))
    edge = snapshot.edge_by_id(item)
    return (
        Change() if edge < 0 or snapshot.group(edge) in ("m", "n") else Change(remove_relationships=(item,))
    )


def links_of(paged: Paged) -> list[tuple[str, str, str, str]]:
    snapshot = paged.twin.snapshot()
    records = [snapshot.relationship(int(edge)) for edge in snapshot.edge_alive.nonzero()[0]]
    return [(each.source, each.relation, each.target, each.group) for each in records]


def clear_passing(paged: Paged) -> None:
    """Back to what stays."""
    snapshot = paged.twin.snapshot()
    passing = [iri for iri in snapshot.ids(snapshot.alive.nonzero()[0]) if iri.endswith("x")]
    links = [key for key in links_of(paged) if key[3] not in ("m", "n")]
    if passing or links:
        change = Change(
            remove_twins=tuple(passing), remove_relationships=tuple(RelationshipKey(*key) for key in links)
        )
        paged.twin.apply(change)


# Walking


def draw_walk(draw: Draw) -> Walk:
    before = tuple(draw_step(draw) for _ in range(draw.integer(0, 6)))
    steps = [tuple(draw_step(draw) for _ in range(draw.integer(0, 4))) for _ in range(draw.integer(1, 6))]
    turns = frozenset(draw.some((1, 2, 3, 4), 2))
    return Walk(draw.choice(ORDERS), draw.integer(1, 6), draw.chance(50), before, tuple(steps), turns)


def draw_link_walk(draw: Draw) -> Walk:
    """Of relationships, many of which go to the same twins."""
    before = tuple(Step("link", draw.integer(0, 24)) for _ in range(draw.integer(0, 12)))
    kinds = ("remove at cursor", "link", "unlink", "remove at cursor", "touch")
    steps = [(draw_step(draw, kinds), draw_step(draw, kinds)) for _ in range(draw.integer(1, 8))]
    return Walk([], draw.integer(1, 5), draw.chance(50), before, tuple(steps), frozenset())


def draw_step(draw: Draw, kinds: tuple[str, ...] = KINDS) -> Step:
    return Step(draw.choice(kinds), draw.integer(0, 24), draw.choice(LEVELS), draw.choice(NAMES))


def check_list(paged: Paged, walk: Walk, *, clear: bool = True) -> None:
    """Every twin that stays is met once, in the order of a list without pages."""
    if clear:
        clear_passing(paged)
    whole = [each for each in local_ids(paged.ask(LIST, o=walk.order, f=1000)["ahuList"]) if stays(each)]
    write(paged, walk.before)
    met: list[list[str]] = []
    cursor: str | None = None
    for number in range(100):
        page = turn(paged, walk, cursor, forward=not walk.backward)
        nodes = local_ids(page)
        check_page(page, walk.size)
        met.append(nodes)
        if number in walk.turns and nodes:
            check_turned_back(paged, walk, page, met, whole)
        if not page["pageInfo"]["hasPreviousPage" if walk.backward else "hasNextPage"]:
            break
        cursor = page["pageInfo"]["startCursor" if walk.backward else "endCursor"]
        if number < len(walk.steps):
            edge = page["edges"][0 if walk.backward else -1] if nodes else None
            write(paged, walk.steps[number], edge and edge["node"]["localId"])
    else:
        raise AssertionError("the pages never end")
    pages = met[::-1] if walk.backward else met
    assert [each for nodes in pages for each in nodes if stays(each)] == whole


def check_turned_back(paged: Paged, walk: Walk, page: Any, met: list[list[str]], whole: list[str]) -> None:
    """The page before this one holds what lies just before it."""
    edge = page["edges"][-1 if walk.backward else 0]
    back = turn(paged, walk, edge["cursor"], forward=walk.backward)
    check_page(back, walk.size)
    nodes = local_ids(back)
    assert edge["node"]["localId"] not in nodes
    seen = [each for each in nodes if stays(each)]
    if not stays(edge["node"]["localId"]):
        return
    place = whole.index(edge["node"]["localId"])
    near = whole[place + 1 :][: len(seen)] if walk.backward else whole[:place][place - len(seen) :]
    assert seen == near


def check_links(paged: Paged, walk: Walk) -> None:
    """Every relationship that stays is met once, in the order of a list without pages."""
    clear_passing(paged)
    relation = "tm:supplies" if walk.backward else None
    whole = link_ids(paged.ask(LINKS, f=1000, r=relation)["node"]["out"])
    write(paged, walk.before)
    met: list[str] = []
    cursor: str | None = None
    for number in range(100):
        page = paged.ask(LINKS, f=walk.size, a=cursor, r=relation)["node"]["out"]
        check_page(page, walk.size)
        met += link_ids(page)
        if not page["pageInfo"]["hasNextPage"]:
            break
        cursor = page["pageInfo"]["endCursor"]
        if number < len(walk.steps):
            write(paged, walk.steps[number], page["edges"][-1]["node"]["id"] if page["edges"] else None)
    else:
        raise AssertionError("the pages never end")
    staying = set(whole)
    assert [each for each in met if each in staying] == whole


def check_page(page: Any, size: int) -> None:
    edges, info = page["edges"], page["pageInfo"]
    assert len(edges) <= size
    assert info["startCursor"] == (edges[0]["cursor"] if edges else None)
    assert info["endCursor"] == (edges[-1]["cursor"] if edges else None)
    # A page that is not full is the last one.
    assert len(edges) == size or not (info["hasNextPage"] and info["hasPreviousPage"])


def turn(paged: Paged, walk: Walk, cursor: str | None, *, forward: bool) -> Any:
    given = {"f": walk.size, "a": cursor} if forward else {"l": walk.size, "b": cursor}
    return paged.ask(LIST, o=walk.order, **given)["ahuList"]


def local_ids(page: Any) -> list[str]:
    return [edge["node"]["localId"] for edge in page["edges"]]


def link_ids(page: Any) -> list[str]:
    return [edge["node"]["id"] for edge in page["edges"]]


def stays(local_id: str) -> bool:
    return not local_id.endswith("x")
