"""The live sources of a data folder: what its settings ask for."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from adapters.amqp.config import parse_amqp
from adapters.amqp.source import AmqpSource
from adapters.binding import load_bindings
from adapters.csv.source import read_csv
from adapters.kafka.config import parse_kafka
from adapters.kafka.installed import demand_client
from adapters.model import ImportRequest
from adapters.mqtt.config import parse_mqtt
from adapters.mqtt.source import MqttSource
from adapters.opcua.bindings import load_opcua_bindings
from adapters.opcua.config import parse_opcua
from adapters.quality.judging import judging
from adapters.replay.config import parse_replay
from adapters.replay.source import ReplayHealth, ReplaySource
from adapters.sparkplug.config import parse_sparkplug
from adapters.sparkplug.source import SparkplugSource
from adapters.tables import read_toml
from ontology.errors import InputError, Place, suggestion
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from adapters.binding import Binding
    from adapters.kafka.config import KafkaConfig
    from adapters.kafka.source import KafkaSource
    from adapters.model import ReadingRows
    from adapters.opcua.config import OpcuaConfig
    from adapters.opcua.source import OpcuaHealth, OpcuaSource
    from adapters.pipeline import SourceHealth
    from adapters.replay.config import ReplayConfig
    from graph.mesh import Mesh
    from graph.twin import Twin
    from ontology.units import Units

# Parts of twinmesh.toml that are no settings of the server.
SECTIONS = (
    "mqtt", "sparkplug", "amqp", "kafka", "opcua", "opcua_server", "replay", "publish", "commands", "alarms",
    "routes", "format",
)  # fmt: skip
# Health is told again for so many times as long as it took to find out, and no longer than this.
TOLD_TIMES = 10
TOLD_S_MAX = 1.0
Source: TypeAlias = "MqttSource | AmqpSource | KafkaSource | SparkplugSource | OpcuaSource | ReplaySource"


class Sources:
    """All live sources of one server."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = dict(sources)
        self._told: dict[str, dict[str, object]] = {}
        self._told_until_s = 0.0

    def __len__(self) -> int:
        return len(self._sources)

    def health(self) -> dict[str, dict[str, object]]:
        """State of each source by its name, as plain values.

        Of thousands of bindings that takes a while: who asks again at once is told the same.
        """
        began_s = time.monotonic()
        if began_s >= self._told_until_s:
            self._told = {name: _plain(source.health()) for name, source in self._sources.items()}
            ended_s = time.monotonic()
            self._told_until_s = ended_s + min(TOLD_S_MAX, TOLD_TIMES * (ended_s - began_s))
        return self._told


def _plain(health: SourceHealth | OpcuaHealth | ReplayHealth) -> dict[str, object]:
    if isinstance(health, ReplayHealth):
        return asdict(health)
    bindings = tuple(each.plain() for each in health.bindings)
    return {**asdict(replace(health, bindings=())), "bindings": bindings}


@contextlib.contextmanager
def started(mesh: Mesh, config: Path | None) -> Generator[Sources]:
    """Start the sources of a settings file; they drain and stop at the end. InputError before any starts."""
    path = config or mesh.folder / "twinmesh.toml"
    planned = _planned(mesh, path)
    with contextlib.ExitStack() as stack:
        stack.enter_context(judging(mesh, load_units()))
        sources: dict[str, Source] = {}
        for name, start in planned:
            source = start()
            stack.callback(source.stop)
            sources[name] = source
        yield Sources(sources)


def _planned(mesh: Mesh, path: Path) -> list[tuple[str, Callable[[], Source]]]:
    """Name and start of each source, all settings and bindings read."""
    document, units = read_toml(path), load_units()
    mqtt = [(item, load_bindings(item.bindings, units)) for item in parse_mqtt(document, path)]
    opcua = [(item, load_opcua_bindings(item.bindings, units)) for item in parse_opcua(document, path)]
    amqp = [(item, load_bindings(item.bindings, units)) for item in parse_amqp(document, path)]
    kafka = [(item, load_bindings(item.bindings, units)) for item in parse_kafka(document, path)]
    if kafka:
        demand_client()
    replays = [(item, _rows(mesh, item, path, units)) for item in parse_replay(document, path)]
    starts: list[tuple[str, str, Callable[[Twin], Source]]] = [
        *(("mqtt", c.site, lambda t, c=c, b=b: MqttSource.start(t, c, b, units)) for c, b in mqtt),
        *(("opcua", c.site, lambda t, c=c, b=b: _opcua(t, c, b, units)) for c, b in opcua),
        *(("amqp", c.site, lambda t, c=c, b=b: AmqpSource.start(t, c, b, units)) for c, b in amqp),
        *(("kafka", c.site, lambda t, c=c, b=b: _kafka(t, c, b, units)) for c, b in kafka),
        *(
            ("sparkplug", c.site, lambda t, c=c: SparkplugSource.start(t, c, units))
            for c in parse_sparkplug(document, path)
        ),
        *(("replay", c.site, lambda t, c=c, r=r: ReplaySource.start(t, c, r)) for c, r in replays),
    ]
    numbers: Counter[str] = Counter()
    planned: list[tuple[str, Callable[[], Source]]] = []
    for protocol, site, start in starts:
        numbers[protocol] += 1
        name = f"{protocol} {numbers[protocol]} {site}"
        planned.append((name, partial(start, twin_of(mesh, site, path))))
    return planned


def _opcua(twin: Twin, config: OpcuaConfig, bindings: Sequence[Binding], units: Units) -> OpcuaSource:
    # asyncua takes a second to import: only who uses it waits.
    from adapters.opcua.source import OpcuaSource  # noqa: PLC0415

    return OpcuaSource.start(twin, config, bindings, units)


def _kafka(twin: Twin, config: KafkaConfig, bindings: Sequence[Binding], units: Units) -> KafkaSource:
    # The client is an extra: only who uses it has it.
    from adapters.kafka.source import KafkaSource  # noqa: PLC0415

    return KafkaSource.start(twin, config, bindings, units)


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
