"""Bindings: which address carries which point, and how a value there becomes a reading.

A bindings file is TOML, one `[[binding]]` table for each pattern of addresses:

    [[binding]]
    topic = "campus/{ahu}/supply_temp"     # a placeholder stands for text within one level
    point = "{ahu}-SAT"                    # local id or IRI of the point
    pointer = "/value"                     # JSON pointer (RFC 6901) into the payload; "" is the whole payload
    time_pointer = "/time"                 # absent: the time of arrival
    unit = "[degF]"                        # converted to the unit of the point
    minimum = -20
    maximum = 60

The rest of a table is `name payload time_unit quality_pointer type scale offset states stale_after_s qos keep
series quality`; `quality` is a table with any of RULES.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from adapters.quality.rules import PointRules
from adapters.tables import Table, read_toml
from graph.values import ValueType
from ontology.errors import InputError, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ontology.units import Units

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
BINDINGS_MAX = 10_000
TIME_UNITS = ("iso8601", "s", "ms", "us", "ns")
RULES = (
    "rate_per_s", "spike", "resolution", "drift", "drift_s", "stuck_after_s", "gap_after_s", "late_after_s",
)  # fmt: skip
TYPES = ("", *(kind.value for kind in ValueType))

Pointer = tuple[str, ...]
TimeUnit = Literal["iso8601", "s", "ms", "us", "ns"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text with placeholders; each stands for one or more characters other than the separator `/`."""

    text: str
    regex: re.Pattern[str]
    names: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Pattern:
        pieces = PLACEHOLDER.split(text)
        names = tuple(pieces[1::2])
        parts = [f"(?P<{piece}>[^/]+)" if i % 2 else re.escape(piece) for i, piece in enumerate(pieces)]
        return cls(text, re.compile("".join(parts)), names)

    def match(self, text: str) -> dict[str, str] | None:
        found = self.regex.fullmatch(text)
        return found.groupdict() if found else None

    def fill(self, values: Mapping[str, str]) -> str:
        return PLACEHOLDER.sub(lambda found: values[found[1]], self.text)


@dataclass(frozen=True, slots=True)
class Binding:
    """One rule of the file. `scale` and `offset` apply before the unit is converted; limits are in `unit`."""

    name: str
    topic: Pattern
    point: Pattern
    pointer: Pointer
    time_pointer: Pointer | None
    quality_pointer: Pointer | None
    payload: Literal["json", "text"]
    time_unit: TimeUnit
    unit: str | None
    type: ValueType | None
    scale: float
    offset: float
    minimum: float | None
    maximum: float | None
    states: Mapping[str, str]
    stale_after_s: float | None
    qos: int
    rules: PointRules | None  # what else is looked for, in `unit`
    keep: bool  # alarms and the like: not shed as long as any memory for them is left
    series: bool  # the pointers lead to lists of equal length: many readings of one point in one message
    place: Place

    @property
    def topic_filter(self) -> str:
        """The MQTT subscription filter: a level that holds a placeholder becomes `+`."""
        return "/".join("+" if PLACEHOLDER.search(level) else level for level in self.topic.text.split("/"))


def load_bindings(path: Path, units: Units) -> tuple[Binding, ...]:
    """The bindings of a TOML file. Raises InputError with every problem of the file."""
    return parse_bindings(read_toml(path), path.name, units)


def parse_bindings(document: Mapping[str, object], path: str, units: Units) -> tuple[Binding, ...]:
    """The bindings of a document that was read from `path`. Raises InputError with every problem."""
    top = Table(document, Place(path=path))
    tables = top.tables("binding")
    if not 1 <= len(tables) <= BINDINGS_MAX:
        top.note(
            "CONFIG_RANGE", f"a bindings file holds 1 to {BINDINGS_MAX} [[binding]] tables, not {len(tables)}"
        )
    bindings = top.each(
        tables,
        lambda number, values: f"binding {number}, topic {values.get('topic', 'missing')!r}",
        lambda table, number: _binding(table, number, units),
    )
    top.finish()
    return bindings


def _binding(table: Table, number: int, units: Units) -> Binding:
    topic, point = _patterns(table)
    unit = _unit(table, units)
    kind = table.choice("type", TYPES, "")
    binding = Binding(
        name=table.text("name", f"binding {number}"),
        topic=topic,
        point=point,
        pointer=_pointer(table, "pointer") or (),
        time_pointer=_pointer(table, "time_pointer"),
        quality_pointer=_pointer(table, "quality_pointer"),
        payload=table.choice("payload", ("json", "text"), "json"),
        time_unit=table.choice("time_unit", TIME_UNITS, "iso8601"),
        unit=unit,
        type=ValueType(kind) if kind else None,
        scale=table.number("scale", 1.0),
        offset=table.number("offset", 0.0),
        minimum=table.optional_number("minimum"),
        maximum=table.optional_number("maximum"),
        states=_states(table),
        stale_after_s=table.optional_number("stale_after_s", minimum=0.001),
        qos=table.integer("qos", 1, minimum=0, maximum=2),
        rules=_rules(table),
        keep=table.boolean("keep", False),
        series=table.boolean("series", False),
        place=table.place,
    )
    _check_together(table, binding)
    table.finish()
    return binding


def _patterns(table: Table) -> tuple[Pattern, Pattern]:
    topic, point = table.text("topic"), table.text("point")
    names: list[str] = PLACEHOLDER.findall(topic)
    for problem in _topic_problems(topic, names):
        table.note("BINDING_TOPIC", problem, 'such as "plant/{line}/rate"')
    unknown = sorted(set(PLACEHOLDER.findall(point)) - set(names))
    if unknown:
        table.note("BINDING_POINT", f"point uses {{{unknown[0]}}}, which the topic does not have")
    if PLACEHOLDER.sub("", point).strip("{}") != PLACEHOLDER.sub("", point) or not point:
        table.note("BINDING_POINT", f"point {point!r} is empty or has a brace that closes no placeholder")
    unique = len(set(names)) == len(names)
    return Pattern.of(topic if unique else ""), Pattern.of(point)


def _topic_problems(topic: str, names: list[str]) -> Iterator[str]:
    if not topic or len(topic.encode()) > 65_535 or "\0" in topic:
        yield "topic is empty, too long or holds a NUL"
    if "+" in topic or "#" in topic:
        yield "topic holds an MQTT wildcard; name the level with a {placeholder}"
    if len(set(names)) != len(names):
        yield "topic uses one placeholder twice"
    if re.search(r"[{}]", PLACEHOLDER.sub("", topic)):
        yield "topic has a brace that belongs to no placeholder"
    if "}{" in topic:
        yield "topic has two placeholders with nothing between them"


def _rules(table: Table) -> PointRules | None:
    """The table `quality`: see `adapters.quality.rules.PointRules`."""
    values = table.mapping("quality")
    if not values:
        return None
    inner = Table(values, table.place)
    rules = PointRules(**{key: inner.optional_number(key, minimum=0.0) for key in RULES})
    try:
        inner.finish()
    except InputError as error:
        table.problems.extend(error.problems)
    if rules.drift is not None and not rules.drift_s:
        table.note("CONFIG_KEY_MISSING", "quality.drift needs drift_s, the time that the mean stands for")
    return rules


def _unit(table: Table, units: Units) -> str | None:
    unit = table.optional_text("unit")
    try:
        return unit if unit is None else units.unit(unit).code
    except InputError as error:
        table.note(error.code, error.message, error.hint)
        return None


def _pointer(table: Table, key: str) -> Pointer | None:
    text = table.optional_text(key)
    if text is None:
        return None
    if (text and not text.startswith("/")) or re.search(r"~(?![01])", text):
        table.note("BINDING_POINTER", f"{key} {text!r} is no JSON pointer", 'such as "/value" or "" for all')
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def _states(table: Table) -> dict[str, str]:
    states = table.mapping("states")
    wrong = [key for key, state in states.items() if not isinstance(state, str)]
    if wrong:
        table.note("CONFIG_WRONG_TYPE", f"states.{wrong[0]} must be a text")
    return {key: str(state) for key, state in states.items()}


def _check_together(table: Table, binding: Binding) -> None:
    if binding.minimum is not None and binding.maximum is not None and binding.minimum > binding.maximum:
        table.note("CONFIG_RANGE", "minimum is above maximum")
    if binding.scale == 0:
        table.note("CONFIG_RANGE", "scale 0 would make every value the same")
    if binding.payload == "text" and (binding.pointer or binding.time_pointer or binding.quality_pointer):
        table.note("BINDING_POINTER", 'payload = "text" has nothing to point into')
    if binding.series and binding.payload == "text":
        table.note("BINDING_POINTER", 'payload = "text" holds no lists')
