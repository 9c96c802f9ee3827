"""Contracts as TOML: read whole, every problem with its line and a hint, unknown names with suggestions."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, cast

from federation.coarse import HOUR_US, LEVELS_MAX, STEP_HOURS_MAX, Coarse
from federation.contract import (
    EVENT_TYPES,
    GROUP_MAX,
    GROUP_MIN,
    NAMING_FIELDS,
    OWN_FIELDS,
    Contract,
    Naming,
    Purpose,
    Release,
)
from federation.privacy.question import BOUND_MAX, EPSILON_MIN, WIDTH_MIN, WINDOW_DAYS_MAX
from federation.private_terms import MICRO, WINDOW_DAYS_DEFAULT, PrivateBound, PrivateTerms
from graph.plan import POINT_VALUE
from ontology.errors import InputError, NotFoundError, Place, Problem, suggestion
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ontology.schema import Schema

CONTRACT_BYTES_MAX: Final = 1 << 18
NAMES_MAX: Final = 10_000
_COUNT_MAX: Final = 1_000_000
_TOP: Final = (
    "partner", "sites", "kinds", "attributes", "relations", "release", "purposes", "events", "starts",
    "expires", "window", "limits", "privacy", "signal", "ids",
)  # fmt: skip
_WINDOW: Final = ("from", "until")
_LIMITS: Final = ("per_minute", "scenarios_per_day", "rows_per_answer", "group_min")
_PRIVACY: Final = ("epsilon", "window_days", "bounds")
_SIGNAL: Final = ("levels", "step_hours")
_BOUND: Final = ("from", "to", "unit")
_EPSILON_MAX: Final = 100.0  # in a window; a single answer takes at most a tenth of that
_NEEDED: Final = ("partner", "sites", "kinds", "release", "purposes", "expires")
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Known:
    """The names that a contract may use. partners: fingerprint by name and by fingerprint."""

    schema: Schema
    attributes: frozenset[str]
    sites: tuple[str, ...]
    partners: Mapping[str, str]


@dataclass(slots=True)
class _Reader:
    """One file that is read; problems are collected, so that all of them are told at once."""

    text: str
    path: str | None
    known: Known
    problems: list[Problem] = field(default_factory=list[Problem])

    def wrong(
        self, code: str, message: str, key: str, item: str | None = None, hint: str | None = None
    ) -> None:
        place = Place(self.path, line_of(self.text, key, item), item=key)
        self.problems.append(Problem(code, message, place, hint))

    def names(self, table: Mapping[str, Any], key: str, check: Callable[[str], str | None]) -> frozenset[str]:
        """A list of names as `check` spells them; it returns None where it has told a problem."""
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(x, str) for x in cast("list[object]", value)):
            self.wrong("CONTRACT_TYPE", f"{key} must be a list of names", key, hint=f'{key} = ["..."]')
            return frozenset()
        items = cast("list[str]", value)
        if len(items) > NAMES_MAX:
            self.wrong("CONTRACT_TYPE", f"{key} holds more than {NAMES_MAX:,} names", key)
            return frozenset()
        return frozenset(found for item in items if (found := check(item)) is not None)

    def one_of(self, key: str, known: Iterable[str]) -> Callable[[str], str | None]:
        """A check against a list of names."""
        names = sorted(known)

        def check(item: str) -> str | None:
            if item in names:
                return item
            hint = suggestion(item, names) or (f"one of {', '.join(names)}" if len(names) < 12 else None)
            self.wrong(
                "CONTRACT_UNKNOWN_NAME", f"unknown name {item!r} in {key}", key, item, _no_star(item, hint)
            )
            return None

        return check

    def time(self, table: Mapping[str, Any], key: str) -> int | None:
        """Unix nanoseconds of a TOML time; None where it is absent or wrong."""
        value = table.get(key)
        if value is None:
            return None
        if isinstance(value, datetime) and value.tzinfo is not None:
            return int(value.astimezone(UTC).timestamp()) * _NS + value.microsecond * 1_000
        if isinstance(value, date) and not isinstance(value, datetime):
            return int(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()) * _NS
        hint = f"{key} = 2027-01-01T00:00:00Z, without quotes, with its zone"
        self.wrong("CONTRACT_TYPE", f"{key} must be a time with a zone", key, hint=hint)
        return None

    def count(self, table: Mapping[str, Any], key: str, default: int, least: int = 0) -> int:
        value = table.get(key, default)
        most = GROUP_MAX if key == "group_min" else _COUNT_MAX
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.wrong("CONTRACT_TYPE", f"{key} must be a whole number from {least} to {most:,}", key)
        return default


def parse_contract(text: str, known: Known, path: str | None = None) -> Contract:
    """A contract, validated whole. InputError with every problem: CONTRACT_SYNTAX, CONTRACT_UNKNOWN_KEY,
    CONTRACT_UNKNOWN_NAME, CONTRACT_TYPE, CONTRACT_MISSING, CONTRACT_TIMES, CONTRACT_OPAQUE_SYNC,
    CONTRACT_OPAQUE_NAMES.
    """
    if len(text.encode()) > CONTRACT_BYTES_MAX:
        message = f"a contract has at most {CONTRACT_BYTES_MAX:,} bytes"
        raise InputError(message, code="CONTRACT_SYNTAX", place=Place(path))
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        place = Place(path, int(found.group(1)) if found else None)
        raise InputError(f"is not TOML: {error}", code="CONTRACT_SYNTAX", place=place) from error
    reader = _Reader(text, path, known)
    contract = _read(reader, document)
    if reader.problems:
        raise InputError.of(sorted(reader.problems, key=lambda problem: problem.place.line or 0))
    return contract


def line_of(text: str, key: str, item: str | None = None) -> int | None:
    """The line of a key, or of an item in the list behind it; None where neither stands."""
    lines = text.splitlines()
    bare = key.rpartition(".")[2]
    stated = re.compile(rf"""\s*(["']?){re.escape(bare)}\1\s*=|\s*\[\s*{re.escape(bare)}\s*\]""")
    first = next((number for number, line in enumerate(lines) if stated.match(line)), None)
    if first is None or item is None:
        return None if first is None else first + 1
    quoted = (f'"{item}"', f"'{item}'")
    for number in range(first, len(lines)):
        if any(each in lines[number] for each in quoted):
            return number + 1
    return first + 1


def _read(reader: _Reader, document: dict[str, Any]) -> Contract:
    for key in document:
        if key not in _TOP:
            reader.wrong("CONTRACT_UNKNOWN_KEY", f"unknown key {key}", key, hint=suggestion(key, _TOP))
    for key in _NEEDED:
        if key not in document:
            reader.wrong("CONTRACT_MISSING", f"{key} is missing", key, hint="nothing is assumed")
    window, limits = (_table(reader, document, name, keys) for name, keys in _TABLES)
    release = _release(reader, document)
    contract = Contract(
        partner=_partner(reader, document),
        sites=reader.names(document, "sites", reader.one_of("sites", reader.known.sites)),
        kinds=reader.names(document, "kinds", _term(reader, "kinds")),
        attributes=reader.names(document, "attributes", reader.one_of("attributes", _attributes(reader))),
        relations=reader.names(document, "relations", _term(reader, "relations")),
        release=release,
        purposes=frozenset(
            Purpose(name)
            for name in reader.names(document, "purposes", reader.one_of("purposes", tuple(Purpose)))
        ),
        events=reader.names(document, "events", reader.one_of("events", EVENT_TYPES)),
        starts_ns=reader.time(document, "starts") or 0,
        expires_ns=reader.time(document, "expires") or 0,
        window_from_ns=reader.time(window, "from"),
        window_until_ns=reader.time(window, "until"),
        per_minute=reader.count(limits, "per_minute", 60),
        scenarios_per_day=reader.count(limits, "scenarios_per_day", 0),
        rows_per_answer=reader.count(limits, "rows_per_answer", 1_000),
        group_min=reader.count(limits, "group_min", GROUP_MIN, least=GROUP_MIN),
        private=_private(reader, document),
        signal=_signal(reader, document),
        ids=_naming(reader, document),
    )
    _check_whole(reader, contract)
    return contract


_TABLES: Final = (("window", _WINDOW), ("limits", _LIMITS))


def _table(
    reader: _Reader, document: Mapping[str, Any], name: str, keys: tuple[str, ...]
) -> Mapping[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, dict):
        reader.wrong("CONTRACT_TYPE", f"{name} must be a table", name, hint=f"[{name}]")
        return {}
    table = cast("dict[str, Any]", value)
    for key in table:
        if key not in keys:
            hint = suggestion(key, keys) or f"one of {', '.join(keys)}"
            reader.wrong("CONTRACT_UNKNOWN_KEY", f"unknown key {name}.{key}", key, hint=hint)
    return table


def _private(reader: _Reader, document: Mapping[str, Any]) -> PrivateTerms | None:
    """The table `privacy`; without it no private figure leaves."""
    if "privacy" not in document:
        return None
    table = _table(reader, document, "privacy", _PRIVACY)
    epsilon = _number(table.get("epsilon"))
    if epsilon is None or not EPSILON_MIN <= epsilon <= _EPSILON_MAX:
        message = f"privacy.epsilon must be a number from {EPSILON_MIN} to {_EPSILON_MAX:g}"
        reader.wrong("CONTRACT_TYPE", message, "epsilon", hint="1 for a window of 30 days is usual")
        epsilon = EPSILON_MIN
    days = table.get("window_days", WINDOW_DAYS_DEFAULT)
    if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= WINDOW_DAYS_MAX:
        message = f"privacy.window_days must be a whole number from 1 to {WINDOW_DAYS_MAX:,}"
        reader.wrong("CONTRACT_TYPE", message, "window_days")
        days = WINDOW_DAYS_DEFAULT
    stated = table.get("bounds", {})
    if not isinstance(stated, dict):
        reader.wrong("CONTRACT_TYPE", "privacy.bounds must be a table", "bounds", hint="[privacy.bounds]")
        stated = {}
    read = (_bound(reader, name, value) for name, value in sorted(cast("dict[str, Any]", stated).items()))
    bounds = tuple(bound for bound in read if bound is not None)
    return PrivateTerms(int(Fraction(repr(epsilon)) * MICRO), days, bounds)


def _signal(reader: _Reader, document: Mapping[str, Any]) -> Coarse | None:
    """The table `signal`; without it levels leave as they are."""
    if "signal" not in document:
        return None
    table = _table(reader, document, "signal", _SIGNAL)
    levels, step = table.get("levels", 0), _number(table.get("step_hours", 0))
    if not isinstance(levels, int) or isinstance(levels, bool) or not 0 <= levels <= LEVELS_MAX:
        message = f"signal.levels must be a whole number from 1 to {LEVELS_MAX:,}"
        reader.wrong("CONTRACT_TYPE", message, "levels")
        levels = 0
    if step is None or not 0 <= step <= STEP_HOURS_MAX:
        message = f"signal.step_hours must be a number of hours up to {STEP_HOURS_MAX:g}"
        reader.wrong("CONTRACT_TYPE", message, "step_hours")
        step = 0.0
    if not table:
        reader.wrong("CONTRACT_MISSING", "signal says nothing", "signal", hint="levels, step_hours or both")
    return Coarse(levels, round(step * HOUR_US))


def _bound(reader: _Reader, name: str, value: object) -> PrivateBound | None:
    """One line of `privacy.bounds`; None where a problem was told."""
    if reader.one_of("bounds", _attributes(reader) - OWN_FIELDS)(name) is None:
        return None
    table = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    lower, upper = _number(table.get("from")), _number(table.get("to"))
    unit = table.get("unit")
    fits = lower is not None and upper is not None and max(abs(lower), abs(upper)) <= BOUND_MAX
    if not fits or lower is None or upper is None or upper - lower < WIDTH_MIN or set(table) - set(_BOUND):
        hint = f'{name} = {{ from = 0, to = 500, unit = "kW" }}: what is physically possible'
        reader.wrong("CONTRACT_TYPE", f"the bounds of {name} are no range", name, hint=hint)
        return None
    if unit is not None and (not isinstance(unit, str) or load_units().find(unit) is None):
        reader.wrong("CONTRACT_UNKNOWN_NAME", f"unknown unit {unit!r}", name, hint="a UCUM code, e.g. kW")
        return None
    declared = reader.known.schema.attribute(name)
    unit = unit or (declared.unit if declared else None)
    return PrivateBound(name, lower, upper, unit)


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(cast("float", value)) if is_number else None


def _partner(reader: _Reader, document: Mapping[str, Any]) -> str:
    value = document.get("partner")
    if value is None:
        return ""
    found = reader.known.partners.get(value) if isinstance(value, str) else None
    if found is None:
        hint = suggestion(str(value), reader.known.partners) or "`twinmesh peers list` names the partners"
        message = f"no peer is called {value!r}"
        reader.wrong("CONTRACT_UNKNOWN_NAME", message, "partner", hint=hint)
    return found or ""


def _release(reader: _Reader, document: Mapping[str, Any]) -> Release:
    value = document.get("release", Release.AGGREGATES)
    if value in tuple(Release):
        return Release(value)
    reader.wrong("CONTRACT_TYPE", f"release is {value!r}", "release", hint='"rows" or "aggregates"')
    return Release.AGGREGATES


def _naming(reader: _Reader, document: Mapping[str, Any]) -> Naming:
    value = document.get("ids", Naming.PLAIN)
    if value in tuple(Naming):
        return Naming(value)
    # What is not understood hides more, not less.
    reader.wrong("CONTRACT_TYPE", f"ids is {value!r}", "ids", hint='"plain" or "opaque"')
    return Naming.OPAQUE


def _term(reader: _Reader, key: str) -> Callable[[str], str | None]:
    """A check of kinds or relations: any name the schema knows, as its IRI."""
    schema = reader.known.schema
    hidden = {shadow.bare: shadow for shadow in schema.shadowed()} if key == "kinds" else {}

    def check(item: str) -> str | None:
        if item in hidden:
            names = " or ".join((hidden[item].winner, *hidden[item].hidden))
            message = f"{item!r} means more than one kind"
            reader.wrong("CONTRACT_UNKNOWN_NAME", message, key, item, f"write {names}")
            return None
        try:
            return schema.kind(item).iri if key == "kinds" else _canonical(schema, item)
        except NotFoundError as error:
            near = error.hint or suggestion(item, [kind.name for kind in schema.kinds])
            reader.wrong("CONTRACT_UNKNOWN_NAME", error.message, key, item, _no_star(item, near))
            return None

    return check


def _canonical(schema: Schema, name: str) -> str:
    """The relation that is stored: an inverse name shares the relation it turns round."""
    relation = schema.relation(name)
    return relation.iri if relation.inverse_of is None else schema.relations[relation.inverse_of].iri


def _attributes(reader: _Reader) -> frozenset[str]:
    return reader.known.attributes | OWN_FIELDS | frozenset(reader.known.schema.attributes)


def _no_star(item: str, hint: str | None) -> str | None:
    """There is no name for all: what is added tomorrow must not leave because of what was agreed today."""
    return "name each one; nothing stands for all of them" if item in ("*", "all") else hint


def _check_whole(reader: _Reader, contract: Contract) -> None:
    if contract.expires_ns and contract.starts_ns >= contract.expires_ns:
        reader.wrong("CONTRACT_TIMES", "the contract ends before it begins", "expires")
    begins, ends = contract.window_from_ns, contract.window_until_ns
    if begins is not None and ends is not None and begins >= ends:
        reader.wrong("CONTRACT_TIMES", "the window ends before it begins", "until")
    if (contract.private is None) is (Purpose.PRIVATE in contract.purposes):
        message = "private figures need both: the purpose and a table that says how much"
        hint = 'purposes = [..., "private"] and [privacy] epsilon = ...'
        reader.wrong("CONTRACT_MISSING", message, "privacy" if contract.private else "purposes", hint=hint)
    _check_naming(reader, contract)
    if "history" in contract.attributes and POINT_VALUE not in contract.attributes:
        message = "readings over time leave only where the last ones do"
        reader.wrong("CONTRACT_MISSING", message, "attributes", "history", hint="name `value` too")
    if contract.signal is not None and Purpose.CASCADE not in contract.purposes:
        message = "a signal is for cascades, which the purposes do not name"
        reader.wrong("CONTRACT_TYPE", message, "signal", hint='purposes = [..., "cascade"]')
    if contract.events and Purpose.CASCADE not in contract.purposes:
        message = "events are for cascades, which the purposes do not name"
        reader.wrong("CONTRACT_TYPE", message, "events", hint='purposes = [..., "cascade"]')


def _check_naming(reader: _Reader, contract: Contract) -> None:
    """Opaque ids and what would tell whose they are."""
    if contract.ids is Naming.PLAIN:
        return
    if Purpose.SYNC in contract.purposes:
        message = "replicas hold twins by their own ids; a contract with opaque ids cannot be for them"
        hint = 'leave "sync" out of purposes, or write ids = "plain"'
        reader.wrong("CONTRACT_OPAQUE_SYNC", message, "purposes", "sync", hint)
    for name in sorted(contract.attributes & NAMING_FIELDS):
        message = f"{name} says which twin it is; opaque ids are to hide that"
        hint = 'leave it out of attributes, or write ids = "plain"'
        reader.wrong("CONTRACT_OPAQUE_NAMES", message, "attributes", name, hint)
