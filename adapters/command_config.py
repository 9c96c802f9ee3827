"""Ways to devices: `[[commands]]` tables of `twinmesh.toml`.

    [[commands]]
    site = "campus"
    via = "mqtt"                          # mqtt, sparkplug, http, amqp or opcua
    host = "broker.example"
    rules = "campus-commands.toml"        # beside twinmesh.toml; see `adapters.command_rules`
    responses = true                      # mqtt: devices answer on the response topic of MQTT 5

mqtt: `port tls ca_file username password_env client_id protocol keepalive_s responses`; sparkplug: the same
without `responses`. http: `url method token_env`. amqp: `url_env exchange`. opcua: the keys of the line as in
`[[opcua]]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from adapters.mqtt.publisher import MqttLink, read_link
from adapters.opcua.config import Line, read_line
from adapters.tables import Table, read_tables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROUTES_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class MqttWay:
    link: MqttLink
    responses: bool


@dataclass(frozen=True, slots=True)
class SparkplugWay:
    link: MqttLink


@dataclass(frozen=True, slots=True)
class HttpWay:
    """url: scheme, host and port; addresses of rules are paths on it."""

    url: str
    method: Literal["POST", "PUT"]
    token_env: str | None


@dataclass(frozen=True, slots=True)
class AmqpWay:
    """url_env: the environment variable that holds the URL with its password. Addresses are routing keys."""

    url_env: str
    exchange: str


@dataclass(frozen=True, slots=True)
class CommandsConfig:
    """One table: a site, the rules of its points, and how its devices are reached."""

    site: str
    rules: Path
    way: MqttWay | SparkplugWay | HttpWay | AmqpWay | Line  # a line is one to an OPC UA server


def parse_commands(document: Mapping[str, object], path: Path) -> tuple[CommandsConfig, ...]:
    """The `[[commands]]` tables of a document that was read from `path`. InputError with every problem."""
    return read_tables(
        document,
        "commands",
        path.name,
        lambda table, number: _config(table, path.parent, number),
        count_max=ROUTES_MAX,
    )


def _via(table: Table) -> Literal["mqtt", "sparkplug", "http", "amqp", "opcua"]:
    return table.choice("via", ("mqtt", "sparkplug", "http", "amqp", "opcua"), "mqtt")


def _config(table: Table, folder: Path, number: int) -> CommandsConfig:
    site = table.text("site")
    via = _via(table)
    rules = folder.absolute() / table.text("rules")
    match via:
        case "mqtt":
            link = read_link(table, folder, f"twinmesh-{site}-commands-{number}")
            way = MqttWay(link, table.boolean("responses", False))
            if way.responses and link.protocol != "5":
                table.note("CONFIG_RANGE", "responses need protocol 5")
        case "sparkplug":
            way = SparkplugWay(
                read_link(table, folder, f"twinmesh-{site}-commands-{number}", protocol="3.1.1")
            )
        case "http":
            method: Literal["POST", "PUT"] = table.choice("method", ("POST", "PUT"), "POST")
            way = HttpWay(table.text("url"), method, table.optional_text("token_env"))
        case "opcua":
            way = read_line(table, folder.absolute())
        case "amqp":
            way = AmqpWay(table.text("url_env"), table.text("exchange", ""))
    table.finish()
    return CommandsConfig(site, rules, way)
