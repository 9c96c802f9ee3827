"""The live sources of a data folder: what `[[mqtt]]` and `[[replay]]` of its settings ask for, started and stopped."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING

from adapters.binding import load_bindings
from adapters.mqtt.config import parse_mqtt
from adapters.mqtt.source import MqttSource
from adapters.replay.config import parse_replay
from adapters.replay.source import ReplaySource
from adapters.tables import read_toml
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from graph.world import Mesh


SECTIONS = ("mqtt", "replay")
Source = MqttSource | ReplaySource


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
def started(mesh: Mesh, config: Path | None) -> Iterator[Sources]:
    """Start the sources of a settings file; they stop, and drain, at the end. Raises InputError before any starts."""
    document = read_toml(config) if config else {}
    path = config or mesh.folder / "twinmesh.toml"
    units = load_units()
    mqtt = [(config, load_bindings(config.bindings, units)) for config in parse_mqtt(document, path)]
    replays = [(config, _rows(mesh, config, units)) for config in parse_replay(document, path)]
    with contextlib.ExitStack() as stack:
        sources: dict[str, Source] = {}
        for number, (settings, bindings) in enumerate(mqtt, 1):
            source = MqttSource.start(_site(mesh, settings, path), settings, bindings, units)
            stack.callback(source.stop)
            sources[f"mqtt {number} {settings.site}"] = source
        for number, (settings, rows) in enumerate(replays, 1):
            source = ReplaySource.start(_site(mesh, settings, path), settings, rows)
            stack.callback(source.stop)
            sources[f"replay {number} {settings.site}"] = source
        yield Sources(sources)
