"""`routes list` and `routes replay`: how far routes came, and what their targets refused."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from api.commands.console import say, say_json
from api.route_store import ROUTES_FILE, RouteStore
from graph.times import time_text
from ontology.errors import NotFoundError, Place

if TYPE_CHECKING:
    from pathlib import Path

DEAD_SHOWN_MAX = 1_000


def run_list(data: Path, route: str | None, *, as_json: bool) -> None:
    """Cursors and dead letters; works beside a server. NotFoundError ROUTES_NONE."""
    with _opened(data) as store:
        cursors = [each for each in store.cursors() if route in (None, each[0])]
        dead = store.dead(route, DEAD_SHOWN_MAX)
        counts = {name: store.count_dead(name) for name in sorted({each[0] for each in cursors})}
    if as_json:
        positions = [
            {"route": name, "site": site, "events": kind, "position": position}
            for name, site, kind, position in cursors
        ]
        letters = [
            {**asdict(each), "time_ns": time_text(each.time_ns), "content": each.content.decode()}
            for each in dead
        ]
        say_json({"cursors": positions, "deadLetters": letters})
        return
    for name, site, kind, position in cursors:
        say(f"{name:20} {site:16} {kind:10} delivered to {position}, {counts[name]} dead letters in all")
    for each in dead:
        again = "  to be tried again" if each.again else ""
        say(f"dead {each.number:6} {each.route} {each.event} {time_text(each.time_ns)}: {each.reason}{again}")


def run_replay(data: Path, route: str | None, number: int | None, *, as_json: bool) -> None:
    """Have dead letters tried once more by whoever serves the folder. NotFoundError ROUTES_NONE."""
    with _opened(data) as store:
        count = store.ask_again(route, number)
    if as_json:
        say_json({"asked": count})
    else:
        say(f"{count} dead letters will be tried again by the server of this folder")


def _opened(data: Path) -> RouteStore:
    if not (data / ROUTES_FILE).exists():
        place = Place(str(data))
        raise NotFoundError("no route was ever at work here", code="ROUTES_NONE", place=place)
    return RouteStore.open(data)
