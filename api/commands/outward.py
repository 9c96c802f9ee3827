"""What a server sends out: commands to devices, as `[[commands]]` of its settings asks for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from adapters.command_config import HttpWay, MqttWay, OpcuaWay, parse_commands
from adapters.command_desk import CommandDesk
from adapters.command_rules import load_rules
from adapters.mqtt.command_sender import MqttCommandSender
from adapters.tables import read_toml
from api.commanding import Commands
from api.commands.sources import twin_of
from api.http_sender import HttpCommandSender
from graph.stores.site_files import COMMANDS
from graph.stores.state_log import StateLog
from ontology.errors import UsageError
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from adapters.command_config import CommandsConfig
    from adapters.command_rules import CommandRule
    from adapters.commands import CommandSender
    from api.config import Settings
    from graph.mesh import Mesh
    from ontology.units import Units

COMMANDS_FILE = "commands.sqlite"
Route = tuple[tuple["CommandRule", ...], "CommandSender"]


@contextlib.contextmanager
def commanding(mesh: Mesh, config: Path | None, settings: Settings) -> Generator[Commands]:
    """The desks of the sites that a settings file binds. InputError before anything is opened."""
    path = config or mesh.folder / "twinmesh.toml"
    units = load_units()
    configs = parse_commands(read_toml(path), path)
    rules = [load_rules(item.rules, units) for item in configs]
    with contextlib.ExitStack() as stack:
        routes: dict[str, list[Route]] = {}
        for item, each in zip(configs, rules, strict=True):
            twin_of(mesh, item.site, path)
            sender = _sender(item, settings)
            stack.callback(sender.close)
            routes.setdefault(item.site, []).append((each, sender))
        yield Commands(_desks(mesh, routes, units, stack))


def _desks(
    mesh: Mesh, routes: Mapping[str, list[Route]], units: Units, stack: contextlib.ExitStack
) -> dict[str, CommandDesk]:
    """A desk for each site with ways to devices, and for each that has a log of commands."""
    desks: dict[str, CommandDesk] = {}
    for site in mesh.sites:
        path = mesh.folder / "sites" / site / COMMANDS_FILE
        if site in routes or path.exists():
            log = stack.enter_context(StateLog.open(path, COMMANDS))
            desk = CommandDesk(mesh.twin(site), log, tuple(routes.get(site, ())), units)
            desks[site] = stack.enter_context(desk)
    return desks


def _sender(config: CommandsConfig, settings: Settings) -> CommandSender:
    way = config.way
    if isinstance(way, MqttWay):
        return MqttCommandSender(way.link, responses=way.responses)
    if isinstance(way, HttpWay):
        return HttpCommandSender(way, frozenset(settings.federation.plain_hosts))
    if isinstance(way, OpcuaWay):
        # asyncua takes a second to import: only who uses it waits.
        from adapters.opcua.command_sender import OpcuaCommandSender  # noqa: PLC0415

        return OpcuaCommandSender(way.line)
    raise UsageError("commands by AMQP are not available yet", code="NOT_AVAILABLE")
