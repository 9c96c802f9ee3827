"""The live sources of a data folder: what `[[mqtt]]`, `[[opcua]]`, `[[replay]]` of its settings ask for."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeAlias

from adapters.binding import load_bindings
from adapters.csv.source import read_csv
from adapters.model import ImportRequest
from adapters.mqtt.config import parse_mqtt
from adapters.mqtt.source import MqttSource
from adapters.opcua.bindings import load_opcua_bindings
from adapters.opcua.config import parse_opcua
from adapters.replay.config import parse_replay
from adapters.replay.source import ReplaySource
from adapters.tables import read_toml
from ontology.errors import InputError, Place, suggestion
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

    from adapters.binding import Binding
    from adapters.model import ReadingRows
    from adapters.opcua.config import OpcuaConfig
    from adapters.opcua.source import OpcuaSource
    from adapters.replay.config import ReplayConfig
    from graph.mesh import Mesh
    from graph.twin import Twin
    from ontology.units import Units

# Parts of twinmesh.toml that are no settings of the server.
SECTIONS = ("mqtt", "opcua", "replay", "commands", "alarms", "routes", "format")
Source: TypeAlias = "MqttSource | OpcuaSource | ReplaySource"


class Sources:
    """All live sources of one server."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = dict(sources)

    def __len__(self) -> int:
        return len(self._sources)

    def health(self) -> dict[str, dict[str, object]]:
        """State of each source by its name, as plain values."""
        return {name: asdict(source.health()) for name, source in self._sources.items()}


@contextlib.contextmanager
def started(mesh: Mesh, config: Path | None) -> Generator[Sources]:
    """Start the sources of a settings file; they drain and stop at the end. InputError before any starts."""
    path = config or mesh.folder / "twinmesh.toml"
    document = read_toml(path)
    units = load_units()
    mqtt = [(item, load_bindings(item.bindings, units)) for item in parse_mqtt(document, path)]
    opcua = [(item, load_opcua_bindings(item.bindings, units)) for item in parse_opcua(document, path)]
    replays = [(item, _rows(mesh, item, path, units)) for item in parse_replay(document, path)]
    with contextlib.ExitStack() as stack:
        sources: dict[str, Source] = {}
        for number, (settings, bindings) in enumerate(mqtt, 1):
            source = MqttSource.start(twin_of(mesh, settings.site, path), settings, bindings, units)
            stack.callback(source.stop)
            sources[f"mqtt {number} {settings.site}"] = source
        for number, (settings, bindings) in enumerate(opcua, 1):
            source = _opcua(twin_of(mesh, settings.site, path), settings, bindings, units)
            stack.callback(source.stop)
            sources[f"opcua {number} {settings.site}"] = source
        for number, (settings, rows) in enumerate(replays, 1):
            source = ReplaySource.start(twin_of(mesh, settings.site, path), settings, rows)
            stack.callback(source.stop)
            sources[f"replay {number} {settings.site}"] = source
        yield Sources(sources)


def _opcua(twin: Twin, config: OpcuaConfig, bindings: Sequence[Binding], units: Units) -> OpcuaSource:
    # asyncua takes a second to import: only who uses it waits.
    from adapters.opcua.source import OpcuaSource  # noqa: PLC0415

    return OpcuaSource.start(twin, config, bindings, units)


def _rows(mesh: Mesh, config: ReplayConfig, path: Path, units: Units) -> ReadingRows:
    twin = twin_of(mesh, config.site, path)
    request = ImportRequest(twin.site, twin.base, config.readings.stem)
    rows = read_csv(config.readings, request, twin.schema, units).readings
    if rows is None:
        place = Place(str(config.readings), 1)
        raise InputError("holds no readings", code="READINGS_MISSING", place=place, hint="point,time,value")
    return rows


def twin_of(mesh: Mesh, site: str, path: Path) -> Twin:
    """The sub-twin that a settings file names. InputError SITE_UNKNOWN."""
    if site not in mesh.sites:
        place = Place(path.name)
        raise InputError(
            f"no site {site!r}", code="SITE_UNKNOWN", place=place, hint=suggestion(site, mesh.sites)
        )
    return mesh.twin(site)
