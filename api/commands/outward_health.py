"""What `twinmesh doctor --data DIR` says of commands, alarms and routes."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from adapters.alarm_rules import parse_alarms
from adapters.command_config import parse_commands
from adapters.command_rules import load_rules
from adapters.tables import read_toml
from api.commands.finding import Finding
from api.route_config import parse_routes
from api.route_store import ROUTES_FILE, RouteStore
from graph.stores.faults import SQLITE_FAULTS
from graph.stores.reading import connect_unchanged
from graph.stores.site_files import IMPACTS_FILE, SIDE_FILES
from ontology.errors import TwinmeshError
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def outward_findings(folder: Path) -> list[Finding]:
    """No error: what is wrong is a finding."""
    settings = folder / "twinmesh.toml"
    if not settings.exists():
        return []
    return [*_settings(settings), *_waiting(folder), *_routes(folder)]


def _settings(path: Path) -> Iterator[Finding]:
    """Whether the tables can be read as they stand."""
    try:
        document = read_toml(path)
        units = load_units()
        ways = parse_commands(document, path)
        rules = sum(len(load_rules(way.rules, units)) for way in ways)
        alarms, routes = len(parse_alarms(document, path)), len(parse_routes(document, path))
    except TwinmeshError as error:
        yield Finding("commands and routes", "problem", f"{error.code}: {error.message}", error.hint)
        return
    detail = f"{len(ways)} ways to devices with {rules} rules, {alarms} alarm rules, {routes} routes"
    yield Finding("commands and routes", "ok", detail)


def _waiting(folder: Path) -> Iterator[Finding]:
    for path in sorted((folder / "sites").glob("*/*.sqlite")):
        format = SIDE_FILES.get(path.name)
        if format is None:
            continue
        name = f"{format.label} of {path.parent.name}"
        try:
            count = _figure(path, "SELECT count(*) FROM subjects WHERE is_open = 1")
        except SQLITE_FAULTS as error:
            yield Finding(name, "problem", f"{format.corrupt}: {error}", "twinmesh verify")
            continue
        what = "under way" if format.label == "commands" else "open"
        yield Finding(name, "ok", f"{count} {what}")


def _routes(folder: Path) -> Iterator[Finding]:
    if not (folder / ROUTES_FILE).exists():
        return
    try:
        with RouteStore.open(folder) as store:
            names = sorted({name for name, *_ in store.cursors()})
            dead = {name: store.count_dead(name) for name in names}
            behind = {name: _behind(folder, store, name) for name in names}
    except (TwinmeshError, *SQLITE_FAULTS) as error:
        yield Finding("routes", "problem", str(error), "twinmesh verify")
        return
    for name in names:
        state = "warning" if dead[name] else "ok"
        hint = "twinmesh routes list, then twinmesh routes replay" if dead[name] else None
        detail = f"{behind[name]} events of logs behind, {dead[name]} dead letters"
        yield Finding(f"route {name}", state, detail, hint)


def _behind(folder: Path, store: RouteStore, route: str) -> int:
    """Commands, alarms and impacts that were not delivered yet."""
    found = 0
    for name, site, kind, position in store.cursors():
        path = (folder if kind == "impacts" else folder / "sites" / site) / f"{kind}.sqlite"
        if name == route and path.name in (*SIDE_FILES, IMPACTS_FILE) and path.exists():
            found += max(0, _figure(path, "SELECT number FROM head") - position)
    return found


def _figure(path: Path, query: str) -> int:
    """One number of a log, whose bytes stay as they are. SQLITE_FAULTS."""
    with closing(connect_unchanged(path)) as connection:
        row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
