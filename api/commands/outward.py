"""What a server does towards the field: commands and alarms, as `[[commands]]` and `[[alarms]]` ask for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from adapters.alarm_desk import AlarmDesk
from adapters.alarm_rules import parse_alarms
from adapters.amqp_command_sender import AmqpCommandSender
from adapters.command_config import AmqpWay, HttpWay, MqttWay, SparkplugWay, parse_commands
from adapters.command_desk import CommandDesk
from adapters.command_rules import load_rules
from adapters.mqtt.command_sender import MqttCommandSender
from adapters.sparkplug.command_sender import SparkplugCommandSender, parse_target
from adapters.tables import read_toml
from api.alarming import Alarms
from api.commanding import Commands
from api.commands.sources import twin_of
from api.http_sender import HttpCommandSender
from api.route_config import parse_routes
from api.route_store import RouteStore
from api.route_targets import open_target
from api.routes import Route, Routes, sources_of
from graph.stores.site_files import ALARMS, COMMANDS
from graph.stores.state_log import StateLog
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from adapters.command_config import CommandsConfig
    from adapters.command_rules import CommandRule
    from adapters.commands import CommandSender
    from api.config import Settings
    from api.routes import Logs
    from graph.mesh import Mesh
    from ontology.units import Units

COMMANDS_FILE, ALARMS_FILE = "commands.sqlite", "alarms.sqlite"
Way = tuple[tuple["CommandRule", ...], "CommandSender"]


@contextlib.contextmanager
def commanding(mesh: Mesh, config: Path | None, settings: Settings) -> Generator[Commands]:
    """The desks of the sites that a settings file binds. InputError before anything is opened."""
    path = config or mesh.folder / "twinmesh.toml"
    units = load_units()
    configs = parse_commands(read_toml(path), path)
    rules = [load_rules(item.rules, units) for item in configs]
    for item, each in zip(configs, rules, strict=True):
        for rule in each if isinstance(item.way, SparkplugWay) else ():
            parse_target(rule.address.text)
    with contextlib.ExitStack() as stack:
        routes: dict[str, list[Way]] = {}
        for item, each in zip(configs, rules, strict=True):
            twin_of(mesh, item.site, path)
            sender = _sender(item, settings)
            stack.callback(sender.close)
            routes.setdefault(item.site, []).append((each, sender))
        yield Commands(_desks(mesh, routes, units, stack))


@contextlib.contextmanager
def alarming(mesh: Mesh, config: Path | None) -> Generator[Alarms]:
    """The alarm desks of the sites that a settings file has rules for, and of those that have a log."""
    path = config or mesh.folder / "twinmesh.toml"
    rules = parse_alarms(read_toml(path), path)
    for rule in rules:
        if rule.site is not None:
            twin_of(mesh, rule.site, path)
    with contextlib.ExitStack() as stack:
        desks: dict[str, AlarmDesk] = {}
        for site in mesh.sites:
            mine = [rule for rule in rules if rule.site in (None, site)]
            file = mesh.folder / "sites" / site / ALARMS_FILE
            if mine or file.exists():
                log = stack.enter_context(StateLog.open(file, ALARMS))
                desks[site] = stack.enter_context(AlarmDesk(mesh.twin(site), log, mine))
        yield Alarms(desks)


@contextlib.contextmanager
def routing(mesh: Mesh, config: Path | None, settings: Settings, logs: Logs) -> Generator[Routes]:
    """The routes that a settings file asks for, at work until the end. InputError before any begins."""
    path = config or mesh.folder / "twinmesh.toml"
    configs = parse_routes(read_toml(path), path)
    plain_hosts = frozenset(settings.federation.plain_hosts)
    for item in configs:
        for site in item.sites:
            twin_of(mesh, site, path)
    with contextlib.ExitStack() as stack:
        if not configs:
            yield Routes()
            return
        store = stack.enter_context(RouteStore.open(mesh.folder))
        routes = [stack.enter_context(Route(item, store, open_target(item, plain_hosts))) for item in configs]
        for route in routes:
            route.start(sources_of(route, mesh, logs))
        yield Routes(routes)


def _desks(
    mesh: Mesh, routes: Mapping[str, list[Way]], units: Units, stack: contextlib.ExitStack
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
    if isinstance(way, SparkplugWay):
        return SparkplugCommandSender(way.link)
    if isinstance(way, HttpWay):
        return HttpCommandSender(way, frozenset(settings.federation.plain_hosts))
    if isinstance(way, AmqpWay):
        return AmqpCommandSender(way.url_env, way.exchange)
    # asyncua takes a second to import: only who uses it waits.
    from adapters.opcua.command_sender import OpcuaCommandSender  # noqa: PLC0415

    return OpcuaCommandSender(way)
