"""`watch`: commits and readings as they come, from a folder that another process writes or from a server."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from api.commands.console import say
from api.commands.folders import open_to_read
from api.commands.service import engine_of
from api.commands.socket import subscribe
from api.engine import Request
from api.policy import LOCAL
from graph.quality import reason_of, severity_of
from ontology.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from api.commands.place import Place
    from api.engine import Engine
    from graph.mesh import Mesh
    from graph.snapshot import Snapshot
    from graph.twin import Twin
    from graph.values import Commit

POLL_S = 0.2
TOUCHED_SHOWN = 5
PAGE = 1_000
MATCH = """query Match($filter: TwinFilter!, $first: Int!) {
  twins(filter: $filter, first: $first) { nodes { id } } }"""


def run_watch(place: Place, filter_text: str | None, *, as_json: bool) -> None:
    """Print events until interrupted. UsageError where the filter is no JSON object."""
    filter_ = _filter(filter_text)
    if place.server is not None:
        for event in subscribe(place.server, filter_):
            _tell(event, as_json)
        return
    with open_to_read(place.data_folder) as mesh, engine_of(mesh) as engine:
        for event in chosen(follow(mesh), engine, filter_):
            _tell(event, as_json)


def chosen(
    events: Iterable[dict[str, Any]], engine: Engine, filter_: dict[str, Any] | None
) -> Iterator[dict[str, Any]]:
    """Events that touch a twin which the filter takes; of a commit, those twins alone."""
    for event in events:
        if filter_ is None:
            yield event
            continue
        if event["type"] == "reading":
            if _matching(engine, filter_, [event["id"]]):
                yield event
            continue
        touched = _matching(engine, filter_, event["touched"])
        # Of a commit that touches more twins than it names, the others may fit.
        if touched or event["touchesMore"]:
            yield {**event, "touched": touched}


def _matching(engine: Engine, filter_: dict[str, Any], ids: list[str]) -> list[str]:
    """Those of some ids whose twins the filter takes, in their order. InputError FILTER_INVALID."""
    found: set[str] = set()
    for start in range(0, len(ids), PAGE):
        both = {"and": [{"id": {"in": ids[start : start + PAGE]}}, filter_]}
        answer = asyncio.run(engine.run(Request(MATCH, {"filter": both, "first": PAGE}), LOCAL)).plain
        if answer.get("errors"):
            raise InputError(str(answer["errors"][0]["message"]), code="FILTER_INVALID")
        found |= {node["id"] for node in answer["data"]["twins"]["nodes"]}
    return [iri for iri in ids if iri in found]


def _filter(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"--filter is not JSON: {error}", code="FILTER_INVALID") from error
    if not isinstance(value, dict):
        raise UsageError("--filter must be a JSON object, a TwinFilter", code="FILTER_INVALID")
    return cast("dict[str, Any]", value)


def _tell(event: dict[str, Any], as_json: bool) -> None:
    say(json.dumps(event, ensure_ascii=False) if as_json else line_of(event))


@dataclass(slots=True)
class _Seen:
    """How far one site was told."""

    twin: Twin
    revision: int
    times_ns: npt.NDArray[np.int64]

    @classmethod
    def now(cls, twin: Twin) -> _Seen:
        snapshot = twin.snapshot()
        return cls(twin, snapshot.revision, np.array(snapshot.point_time_ns))


def follow(mesh: Mesh) -> Iterator[dict[str, Any]]:
    """Events of all sites from now on, without end; asks the files five times a second."""
    seen = [_Seen.now(mesh.twin(site)) for site in mesh.sites]
    while True:
        for site in seen:
            yield from _news(site)
        time.sleep(POLL_S)


def _news(seen: _Seen) -> Iterator[dict[str, Any]]:
    snapshot = seen.twin.snapshot()
    while seen.revision < snapshot.revision:
        for commit in seen.twin.commits(after=seen.revision):
            seen.revision = commit.sequence
            yield _of_commit(seen.twin.site, commit)
    times_ns = np.array(snapshot.point_time_ns)
    before = np.zeros_like(times_ns)
    before[: len(seen.times_ns)] = seen.times_ns
    for row in np.flatnonzero(times_ns > before).tolist():
        yield _of_reading(seen.twin.site, snapshot, row)
    seen.times_ns = times_ns


def _of_commit(site: str, commit: Commit) -> dict[str, Any]:
    return {
        "type": "commit",
        "site": site,
        "revision": str(commit.sequence),
        "time": _iso(commit.time_ns),
        "author": commit.author,
        "message": commit.message,
        "touched": list(commit.touched),
        "touchesMore": commit.touches_more,
    }


def _of_reading(site: str, snapshot: Snapshot, row: int) -> dict[str, Any]:
    column = snapshot.attribute("unit")
    unit = column.value(row) if column else None
    return {
        "type": "reading",
        "site": site,
        "id": snapshot.id(row),
        "localId": snapshot.local_id(row),
        "value": snapshot.point_value(row),
        "unit": unit.value if unit else None,
        "time": _iso(int(snapshot.point_time_ns[row])),
        "quality": severity_of(int(snapshot.point_quality[row])).name,
        "qualityReason": reason_of(int(snapshot.point_quality[row])),
    }


def line_of(event: dict[str, Any]) -> str:
    """One event for a reader."""
    if event["type"] == "reading":
        value = f"{event['value']} {event['unit'] or ''}".rstrip()
        return f"{event['time']}  {event['site']}  {event['localId']} = {value}  {event['quality']}"
    touched = ", ".join(event["touched"][:TOUCHED_SHOWN])
    more = len(event["touched"]) - TOUCHED_SHOWN
    tail = f" and {more} more" if more > 0 else ""
    tail += " and others" if event["touchesMore"] else ""
    what = f"revision {event['revision']} by {event['author']}: {touched}{tail}"
    return f"{event['time']}  {event['site']}  {what}"


def _iso(time_ns: int) -> str:
    stamp = datetime.fromtimestamp(time_ns // 1_000 / 1e6, UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
