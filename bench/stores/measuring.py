"""The questions: each is asked of all engines in turn, round after round: all meet the same machine."""

from __future__ import annotations

import random
import shutil
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.stores.engine import digest
from bench.stores.machine import synced_appends_s
from bench.stores.oracle import downstream, looked_up, nested, twin_row
from bench.stores.process import Child, ChildError
from bench.stores.table import OURS, Figures

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bench.campus_data import Graph, Spec

SEED = 4
KEEPING = ("twinmesh", "sqlite", "ladybug")  # those that have anything on disk
IN_MEMORY = "networkx"
BARE = "sqlite without indexes"  # only loaded
YARDSTICK = "append and fdatasync"
ANSWER_S_MAX = 120.0
LOAD_S_MAX = 300.0
THREADS = 8
# Tried on the campus: 4 ms instead of 42, and 43 ms instead of 0.05.
LADYBUG_LAYOUT = "with a node table per kind a tenth of this, and look-ups by id 800 times as long"


@dataclass(slots=True)
class Site:
    """A graph, and the children that hold it."""

    name: str
    spec: Spec
    graph: Graph
    folder: Path
    children: dict[str, Child] = field(default_factory=dict[str, Child])

    def place(self, engine: str) -> Path:
        """Where an engine keeps it; the last part names the site."""
        return self.folder / engine / self.graph.site

    @property
    def probe(self) -> int:
        """A twin with an attribute, to be looked up first."""
        return self.graph.start


class Measuring:
    """Collects figures. `children` end with the stack that is passed in."""

    def __init__(self, stack: ExitStack) -> None:
        self.figures: list[Figures] = []
        self._stack = stack
        self._order = random.Random(SEED)

    # Loading

    def load(self, site: Site, engines: dict[str, int]) -> None:
        """engines: how many rounds each takes part in. The one in memory stays, the others are on disk."""
        speed = self._figures("bulk load", site, "rows/s", more_is_better=True)
        size = self._figures("on disk after the load", site, "bytes/row")
        for turn in range(max(engines.values())):
            for engine in self._shuffled(one for one, rounds in engines.items() if turn < rounds):
                try:
                    found = self._load_once(site, engine)
                except ChildError as error:
                    speed.fail(engine, str(error))
                    continue
                speed.add(engine, found["rows"] / found["seconds"])
                if engine != IN_MEMORY:
                    size.add(engine, found["disk_bytes"] / found["rows"])
        if IN_MEMORY in speed.values:
            speed.notes[IN_MEMORY] = "memory only: nothing is durable"

    def _load_once(self, site: Site, engine: str) -> dict[str, Any]:
        place = site.place(engine)
        shutil.rmtree(place, ignore_errors=True)
        child = self._spawn(site, engine)
        found = child.ask("load", LOAD_S_MAX, folder=str(place), shape=site.spec.shape, size=site.spec.size)
        if engine != IN_MEMORY:
            site.children.pop(engine).kill()
        return found

    # Opening

    def open(
        self,
        site: Site,
        engines: Iterable[str],
        rounds: int,
        question: str = "ready again",
        commits: int = 0,
    ) -> None:
        """A fresh process each time, from its start to its first answer; those of the last round stay.

        commits: so many are written before, and the process is killed instead of closed.
        """
        ready = self._figures(question, site, "s")
        expected = digest(twin_row(site.graph, site.probe))
        for _ in range(rounds):
            for engine in self._shuffled(engines):
                try:
                    self._end(site, engine, commits)
                    self._open_once(site, engine, ready, expected)
                except ChildError as error:
                    ready.fail(engine, str(error))
                    site.children.pop(engine, None)

    def _open_once(self, site: Site, engine: str, ready: Figures, expected: str) -> None:
        child = self._spawn(site, engine)
        place, twin = str(site.place(engine)), site.graph.ids[site.probe]
        found = child.ask("open", ANSWER_S_MAX, folder=place, twin=twin)
        ready.add(engine, time.perf_counter() - child.started_s, found["digest"] == expected)
        ready.notes[engine] = f"{found['seconds']:.3g} s of it in the store"

    def _end(self, site: Site, engine: str, commits: int) -> None:
        child = site.children.pop(engine, None)
        if child is None:
            return
        if commits:
            # Not to the twin that is looked up: its answer is known.
            twins = [site.graph.ids[row] for row in range(site.probe + 1, site.probe + 1 + commits)]
            powers = [self._order.uniform(1, 1e6) for _ in twins]
            child.ask("write", ANSWER_S_MAX, twins=twins, powers=powers)
            child.kill()
        else:
            self._close(child)

    # Reading

    def memory(self, site: Site, when: str) -> Figures:
        """Resident memory of each engine's process."""
        resident = self._figures(f"memory {when}", site, "MB")
        for engine, child in list(site.children.items()):
            found = self._ask(site, resident, engine, child, "memory")
            if found:
                resident.add(engine, found["rss_bytes"] / 1e6)
                resident.notes[engine] = f"{found['anonymous_bytes'] / 1e6:.0f} MB of it anonymous"
        return resident

    def look_up(self, site: Site, rounds: int, count: int) -> None:
        p50 = self._figures("point look-up, p50", site, "us")
        p99 = self._figures("point look-up, p99", site, "us")
        graph = site.graph
        chosen = [self._order.sample(range(graph.twins), min(count, graph.twins)) for _ in range(rounds)]
        for rows in chosen:
            expected = looked_up(graph, rows)
            twins = [graph.ids[row] for row in rows]
            for engine, found in self._ask_all(site, p50, "look_up", twins=twins):
                p50.add(engine, 1e6 * found["seconds"], found["digest"] == expected)
                p99.add(engine, 1e6 * found["p99_s"])

    def nested(self, site: Site, rounds: int) -> None:
        graph, relations = site.graph, (0, 1, 2)
        count, expected = nested(graph, relations)
        figures = self._figures(f"nested {count:,} rows as JSON", site, "ms")
        if "ladybug" in site.children:
            figures.notes["ladybug"] = LADYBUG_LAYOUT
        floors = [graph.ids[floor] for floor in graph.floors]
        asked = {"floors": floors, "relations": [graph.relations[number] for number in relations]}
        self._timed(site, figures, rounds, expected, "nested", **asked)

    def downstream(self, site: Site, rounds: int) -> None:
        graph = site.graph
        count, expected = downstream(graph)
        figures = self._figures(f"all {count:,} downstream", site, "ms")
        asked = {"start": graph.ids[graph.start], "relation": graph.relations[graph.walked]}
        self._timed(site, figures, rounds, expected, "downstream", **asked)

    def _timed(self, site: Site, figures: Figures, rounds: int, expected: str, do: str, **asked: Any) -> None:
        """The first round warms up and is checked, but not counted."""
        for turn in range(rounds + 1):
            for engine, found in self._ask_all(site, figures, do, **asked):
                right = found["digest"] == expected
                if turn:
                    figures.add(engine, 1e3 * found["seconds"], right)
                else:
                    figures.agree[engine] = right

    # Writing

    def write(self, site: Site, rounds: int, count: int) -> dict[int, float]:
        """Single durable writes, a new value each time; returns what each twin written has at last."""
        figures = self._figures("durable single writes", site, "writes/s", more_is_better=True)
        together = self._figures(f"the same from {THREADS} threads", site, "writes/s", more_is_better=True)
        powered = [row for row, power in enumerate(site.graph.power.tolist()) if power == power]
        self._write_together(site, together, powered, rounds, count)
        written: dict[int, float] = {}
        for turn in range(rounds + 1):
            rows = [self._order.choice(powered) for _ in range(count)]
            powers = [10_000 * (turn + 1) + number + 0.25 for number in range(count)]
            written.update(zip(rows, powers, strict=True))
            twins = [site.graph.ids[row] for row in rows]
            for engine, found in self._ask_all(site, figures, "write", twins=twins, powers=powers):
                if turn and engine in KEEPING:
                    figures.add(engine, count / found["seconds"])
            if turn:
                figures.add(YARDSTICK, count / synced_appends_s(site.folder / "appends", count))
        figures.notes[YARDSTICK] = "no store: the least that a durable write costs here"
        return written

    def _write_together(
        self, site: Site, figures: Figures, powered: list[int], rounds: int, count: int
    ) -> None:
        """Ours alone takes writes from several threads; every thread waits until its own are durable."""
        child = site.children.get(OURS)
        if child is None:
            return
        for turn in range(rounds):
            rows = self._order.sample(powered, min(count, len(powered)))
            powers = [1e6 * (turn + 1) + number + 0.75 for number in range(len(rows))]
            twins = [site.graph.ids[row] for row in rows]
            found = self._ask(
                site, figures, OURS, child, "write", twins=twins, powers=powers, threads=THREADS
            )
            if not found:
                return
            figures.add(OURS, len(rows) / found["seconds"])

    def written(self, site: Site, expected: dict[int, float]) -> None:
        """Every engine has the values written last, after all was closed and opened again."""
        figures = self._figures("values written, read by a fresh process", site, "twins")
        rows = [(*twin_row(site.graph, row)[:3], power) for row, power in expected.items()]
        twins = [row[0] for row in rows]
        for engine, found in self._ask_all(site, figures, "look_up", twins=twins):
            figures.add(engine, len(twins), found["digest"] == digest(rows))

    # Inside

    def _figures(self, question: str, site: Site, unit: str, *, more_is_better: bool = False) -> Figures:
        made = Figures(question, site.name, unit, more_is_better)
        self.figures.append(made)
        return made

    def _spawn(self, site: Site, engine: str) -> Child:
        child = site.children[engine] = self._stack.enter_context(Child(engine))
        return child

    def _shuffled(self, engines: Iterable[str]) -> list[str]:
        found = list(engines)
        self._order.shuffle(found)
        return found

    def _ask_all(
        self, site: Site, figures: Figures, do: str, **arguments: Any
    ) -> list[tuple[str, dict[str, Any]]]:
        asked = [
            (engine, self._ask(site, figures, engine, site.children[engine], do, **arguments))
            for engine in self._shuffled(site.children)
        ]
        return [(engine, found) for engine, found in asked if found is not None]

    def _ask(
        self, site: Site, figures: Figures, engine: str, child: Child, do: str, **arguments: Any
    ) -> dict[str, Any] | None:
        """None where the engine failed, which then is out."""
        try:
            return child.ask(do, ANSWER_S_MAX, **arguments)
        except ChildError as error:
            figures.fail(engine, str(error))
            del site.children[engine]
            return None

    def close(self, site: Site) -> None:
        """End all children of a site in peace."""
        for child in site.children.values():
            self._close(child)
        site.children.clear()

    def _close(self, child: Child) -> None:
        try:
            child.ask("close", ANSWER_S_MAX)
        except ChildError:
            return
        child.kill()
