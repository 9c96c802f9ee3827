"""`routes list` and `routes replay`: how far routes came, and what their targets refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from api.commands.console import say, say_json
from api.route_store import ROUTES_FILE, RouteStore
from graph.times import time_text
from ontology.errors import NotFoundError, Place, UsageError

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


@dataclass(frozen=True, slots=True)
class ReplayCommand:
    """start: number of the first event that is to come again; None: dead letters alone, all or `letter`."""

    route: str | None
    letter: int | None = None
    start: int | None = None
    site: str | None = None
    events: str | None = None


def run_replay(data: Path, command: ReplayCommand, *, as_json: bool) -> None:
    """Have the server of the folder send again: dead letters, or a route's events from a number on.

    NotFoundError ROUTES_NONE, UsageError ROUTE_REPLAY.
    """
    again = command.start is not None
    narrowed = command.site is not None or command.events is not None
    unclear = again and (command.route is None or command.letter is not None)
    if unclear or (narrowed and not again):
        raise UsageError(
            "--from goes with --route, not with --number; --site and --events go with --from",
            code="ROUTE_REPLAY",
        )
    with _opened(data) as store:
        if command.start is None:
            count = store.ask_again(command.route, command.letter)
        else:
            count = store.ask_from(command.route or "", command.start, command.site, command.events)
    if as_json:
        say_json({"asked": count})
    elif again:
        say(f"{count} logs will be sent again from {command.start} on by the server of this folder")
    else:
        say(f"{count} dead letters will be tried again by the server of this folder")


def _opened(data: Path) -> RouteStore:
    if not (data / ROUTES_FILE).exists():
        place = Place(str(data))
        raise NotFoundError("no route was ever at work here", code="ROUTES_NONE", place=place)
    return RouteStore.open(data)
