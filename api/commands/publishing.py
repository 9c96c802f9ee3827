"""What a server tells others by MQTT: the `[[publish]]` tables of its settings."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING

from adapters.mqtt.publish_config import parse_publish
from adapters.mqtt.sink import MqttSink
from adapters.tables import read_toml
from api.commands.sources import twin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    from graph.mesh import Mesh

    Healths = Callable[[], Mapping[str, dict[str, object]]]


@contextlib.contextmanager
def publishing(mesh: Mesh, config: Path | None) -> Generator[Healths]:
    """Publish until the end; yields what tells the health of each by its name. InputError before any."""
    path = config or mesh.folder / "twinmesh.toml"
    configs = parse_publish(read_toml(path), path)
    twins = [twin_of(mesh, item.site, path) for item in configs]
    with contextlib.ExitStack() as stack:
        sinks: dict[str, MqttSink] = {}
        for number, (item, twin) in enumerate(zip(configs, twins, strict=True), 1):
            sink = sinks[f"publish {number} {item.site}"] = MqttSink.start(item, twin)
            stack.callback(sink.stop)
        yield lambda: {name: asdict(sink.health()) for name, sink in sinks.items()}
