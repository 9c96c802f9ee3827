"""Which points may be commanded, how far, and by what address: `[[command]]` tables of a rules file.

    [[command]]
    point = "{ahu}-SAT-SP"                  # local id or IRI; a placeholder stands for text within one level
    address = "campus/{ahu}/sat-sp/set"     # topic, path, routing key or node id, by the kind of sender
    unit = "[degF]"                         # what the device takes; converted from the unit of the point
    minimum = 12                            # limits are in the point's own unit
    maximum = 22
    step_max = 3                            # furthest from what the point says now
    interlocks = ['point("{ahu}-RUN") == 1', 'abs(value - point("{ahu}-SAT")) < 10']
    approvals = 1                           # 1: a second person has to agree
    roles = ["operator", "admin"]

The rest: `name payload datatype scale offset rate_max interval_s_min values readback tolerance confirm
readback_skew_s`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from adapters.binding import Pattern
from adapters.sparkplug.decode import DATATYPES
from adapters.tables import Table, read_toml
from graph.expressions import Expression
from ontology.errors import InputError, Place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from graph.snapshot import Snapshot
    from ontology.units import Units

RULES_MAX: Final = 1_000
ROLES: Final = ("operator", "analyst", "admin")
INTERLOCKS_MAX: Final = 20
INTERLOCK_NAMES: Final = ("value", "reported")


@dataclass(frozen=True, slots=True)
class CommandRule:
    """One table. Numbers are in the point's unit; `scale` and `offset` give the device's value back."""

    name: str
    point: Pattern
    address: Pattern
    payload: str
    datatype: str | None  # of Sparkplug; None: as the value comes
    unit: str | None
    scale: float
    offset: float
    minimum: float | None
    maximum: float | None
    step_max: float | None
    rate_max: float | None  # units of the point a second, since the last command that left
    interval_s_min: float
    values: tuple[object, ...]  # what codes and texts may be; empty: anything
    interlocks: tuple[Expression, ...]
    approvals: int
    roles: tuple[str, ...]
    readback: Pattern
    tolerance: float
    confirm: bool
    readback_skew_s: float
    place: Place


@dataclass(frozen=True, slots=True)
class Match:
    """A rule and the text that its placeholders stand for."""

    rule: CommandRule
    values: Mapping[str, str]

    def point(self, text: str) -> str:
        """An id of the rule with its placeholders filled."""
        return Pattern.of(text).fill(self.values)


def find_rule(rules: tuple[CommandRule, ...], snapshot: Snapshot, row: int) -> Match | None:
    """The first rule whose pattern a point's local id or IRI fits."""
    names = (snapshot.local_id(row), snapshot.id(row))
    for rule in rules:
        for name in names:
            values = rule.point.match(name)
            if values is not None:
                return Match(rule, values)
    return None


def load_rules(path: Path, units: Units) -> tuple[CommandRule, ...]:
    """The rules of a TOML file. InputError with every problem."""
    top = Table(read_toml(path), Place(path=path.name))
    tables = top.tables("command")
    if not 1 <= len(tables) <= RULES_MAX:
        top.note("CONFIG_RANGE", f"a rules file holds 1 to {RULES_MAX} [[command]] tables, not {len(tables)}")
    rules = top.each(
        tables,
        lambda number, values: f"command {number}, point {values.get('point', 'missing')!r}",
        lambda table, number: _rule(table, number, units),
    )
    top.finish()
    return rules


def _rule(table: Table, number: int, units: Units) -> CommandRule:
    point, address = table.text("point"), table.text("address")
    readback = table.text("readback", point)
    rule = CommandRule(
        name=table.text("name", f"command {number}"),
        point=Pattern.of(point),
        address=Pattern.of(address),
        payload=table.choice("payload", ("json", "text"), "json"),
        datatype=_datatype(table),
        unit=_unit(table, units),
        scale=table.number("scale", 1.0),
        offset=table.number("offset", 0.0),
        minimum=table.optional_number("minimum"),
        maximum=table.optional_number("maximum"),
        step_max=table.optional_number("step_max", minimum=0),
        rate_max=table.optional_number("rate_max", minimum=0),
        interval_s_min=table.number("interval_s_min", 0.0, minimum=0, maximum=86_400),
        values=_plain_values(table),
        interlocks=_interlocks(table),
        approvals=table.integer("approvals", 0, minimum=0, maximum=1),
        roles=_roles(table),
        readback=Pattern.of(readback),
        tolerance=table.number("tolerance", 1e-6, minimum=0),
        confirm=table.boolean("confirm", True),
        readback_skew_s=table.number("readback_skew_s", 5.0, minimum=0, maximum=3_600),
        place=table.place,
    )
    _check_together(table, rule)
    table.finish()
    return rule


def _check_together(table: Table, rule: CommandRule) -> None:
    known = set(rule.point.names)
    for text, names in (("address", rule.address.names), ("readback", rule.readback.names)):
        for name in names:
            if name not in known:
                table.note("COMMAND_RULE", f"{text} uses {{{name}}}, which the point does not have")
    for interlock in rule.interlocks:
        for point in interlock.points:
            if not set(Pattern.of(point).names) <= known:
                table.note("COMMAND_RULE", f"an interlock's {point!r} uses what the point does not have")
    if len(set(rule.point.names)) != len(rule.point.names):
        table.note("COMMAND_RULE", "point uses one placeholder twice")
    if rule.minimum is not None and rule.maximum is not None and rule.minimum > rule.maximum:
        table.note("CONFIG_RANGE", "minimum is above maximum")
    if rule.scale == 0:
        table.note("CONFIG_RANGE", "scale 0 would make every value the same")


def _unit(table: Table, units: Units) -> str | None:
    unit = table.optional_text("unit")
    try:
        return unit if unit is None else units.unit(unit).code
    except InputError as error:
        table.note(error.code, error.message, error.hint)
        return None


def _datatype(table: Table) -> str | None:
    name = table.optional_text("datatype")
    if name is not None and name not in DATATYPES:
        table.note("CONFIG_RANGE", f"there is no datatype {name!r}", f"of {', '.join(DATATYPES)}")
    return name


def _interlocks(table: Table) -> tuple[Expression, ...]:
    found: list[Expression] = []
    for text in _texts(table, "interlocks"):
        try:
            found.append(Expression.parse(text, INTERLOCK_NAMES, table.place))
        except InputError as error:
            table.note(error.code, error.message, error.hint)
    if len(found) > INTERLOCKS_MAX:
        table.note("CONFIG_RANGE", f"at most {INTERLOCKS_MAX} interlocks")
    return tuple(found)


def _roles(table: Table) -> tuple[str, ...]:
    roles = _texts(table, "roles") or ("operator", "admin")
    for role in roles:
        if role not in ROLES:
            table.note("CONFIG_RANGE", f"there is no role {role!r}", f"of {', '.join(ROLES)}")
    return roles


def _texts(table: Table, key: str) -> tuple[str, ...]:
    items = table.items(key)
    if not all(isinstance(item, str) for item in items):
        table.note("CONFIG_WRONG_TYPE", f"{key!r} is a list of texts")
        return ()
    return tuple(str(item) for item in items)


def _plain_values(table: Table) -> tuple[object, ...]:
    items = table.items("values")
    if not all(isinstance(item, str | int | float | bool) for item in items):
        table.note("CONFIG_WRONG_TYPE", "'values' is a list of texts or numbers")
    return tuple(items)
