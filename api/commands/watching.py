"""`watch`: commits and readings as they come, from a folder that another process writes or from a server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from graph.values import Quality

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from graph.mesh import Mesh
    from graph.snapshot import Snapshot
    from graph.twin import Twin
    from graph.values import Commit

POLL_S = 0.2
TOUCHED_SHOWN = 5


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
        "quality": Quality(int(snapshot.point_quality[row])).name,
    }


def line_of(event: dict[str, Any]) -> str:
    """One event for a reader."""
    if event["type"] == "reading":
        value = f"{event['value']} {event['unit'] or ''}".rstrip()
        return f"{event['time']}  {event['site']}  {event['localId']} = {value}  {event['quality']}"
    touched = ", ".join(event["touched"][:TOUCHED_SHOWN])
    more = len(event["touched"]) - TOUCHED_SHOWN
    tail = f" and {more} more" if more > 0 else ""
    what = f"revision {event['revision']} by {event['author']}: {touched}{tail}"
    return f"{event['time']}  {event['site']}  {what}"


def _iso(time_ns: int) -> str:
    stamp = datetime.fromtimestamp(time_ns // 1_000 / 1e6, UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
