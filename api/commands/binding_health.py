"""What `twinmesh doctor` says of bindings.

With --data as files, graph and last values stand, with --url as the server sees them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from adapters.amqp.config import parse_amqp
from adapters.binding import load_bindings
from adapters.binding_state import Condition, state_of
from adapters.kafka.config import parse_kafka
from adapters.mqtt.config import parse_mqtt
from adapters.opcua.bindings import load_opcua_bindings
from adapters.opcua.config import parse_opcua
from adapters.routing import Router
from adapters.tables import read_toml
from api.commands.client import Client
from api.commands.finding import Finding
from api.commands.folders import open_to_read
from ontology.errors import TwinmeshError
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from adapters.binding import Binding
    from graph.mesh import Mesh
    from graph.snapshot import Snapshot
    from ontology.units import Units

QUERY: Final = """{ bindings { source name address point state message } }"""
_PROBLEMS: Final = frozenset(
    {Condition.POINT_UNKNOWN, Condition.TYPE_MISMATCH, Condition.UNIT_MISMATCH, Condition.REFUSED}
)


@dataclass(frozen=True, slots=True)
class _Configured:
    """The bindings of one source, as its files say."""

    name: str
    site: str
    bindings: tuple[Binding, ...]


def binding_findings(folder: Path) -> list[Finding]:
    """One for each binding: what the graph says of it, and what its points show. No errors: findings."""
    path = folder / "twinmesh.toml"
    try:
        units = load_units()
        sources = list(_configured(path, units))
        if not sources:
            return [Finding("bindings", "absent", "no live source is configured")]
        with open_to_read(folder) as mesh:
            return [finding for source in sources for finding in _of_source(mesh, source, units)]
    except TwinmeshError as error:
        return [Finding("bindings", "problem", str(error), error.hint)]


def served(url: str, token: str | None) -> list[Finding]:
    """One for each binding of a server, as it is now. No errors: findings."""
    try:
        rows: list[dict[str, Any]] = Client(url.rstrip("/"), token).data(QUERY)["bindings"]
    except TwinmeshError as error:
        return [Finding("bindings", "problem", str(error), error.hint)]
    if not rows:
        return [Finding("bindings", "absent", "the server has no bindings")]
    return [
        _finding(row["source"], _way(row["address"], row["point"]), Condition(row["state"]), row["message"])
        for row in rows
    ]


def _configured(path: Path, units: Units) -> Iterator[_Configured]:
    """In the order and by the names that `serve` gives them."""
    if not path.exists():
        return
    document = read_toml(path)
    for number, mqtt in enumerate(parse_mqtt(document, path), 1):
        yield _Configured(f"mqtt {number} {mqtt.site}", mqtt.site, load_bindings(mqtt.bindings, units))
    for number, amqp in enumerate(parse_amqp(document, path), 1):
        yield _Configured(f"amqp {number} {amqp.site}", amqp.site, load_bindings(amqp.bindings, units))
    for number, kafka in enumerate(parse_kafka(document, path), 1):
        yield _Configured(f"kafka {number} {kafka.site}", kafka.site, load_bindings(kafka.bindings, units))
    for number, opcua in enumerate(parse_opcua(document, path), 1):
        yield _Configured(
            f"opcua {number} {opcua.site}", opcua.site, load_opcua_bindings(opcua.bindings, units)
        )


def _of_source(mesh: Mesh, source: _Configured, units: Units) -> Iterator[Finding]:
    if source.site not in mesh.sites:
        yield Finding(source.name, "problem", f"no site {source.site!r}")
        return
    snapshot = mesh.twin(source.site).snapshot()
    router = Router(source.bindings, snapshot, units)
    now_ns = time.time_ns()
    for health, binding, rows in zip(router.health(now_ns), source.bindings, router.expected, strict=True):
        seen, stale = _shown(snapshot, sorted(rows), binding.stale_after_s, now_ns)
        state, message = state_of(len(rows), seen, 0 if health.problem else seen, stale, {}, health.problem)
        yield _finding(source.name, _way(health.address, health.point), state, message)


def _shown(
    snapshot: Snapshot, rows: Sequence[int], stale_after_s: float | None, now_ns: int
) -> tuple[int, int]:
    """(points with a value, those of them that are older than they should be)."""
    times = snapshot.point_time_ns[list(rows)]
    seen = times > 0
    stale = seen & (times < now_ns - int(stale_after_s * 1e9)) if stale_after_s else seen & False
    return int(seen.sum()), int(stale.sum())


def _way(address: str, point: str) -> str:
    return f"{address} -> {point}"


def _finding(source: str, way: str, state: Condition, message: str | None) -> Finding:
    told = f"{state}: {way}" + (f": {message}" if message else "")
    if state is Condition.BOUND:
        return Finding(source, "ok", told)
    return Finding(source, "problem" if state in _PROBLEMS else "warning", told)
