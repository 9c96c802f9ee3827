"""What may happen in a scenario: the eight types of events of INTERFACE section 4, read and checked.

Names of twins and relations are kept as texts here; they meet a snapshot in `compile.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from ontology.errors import InputError, Place, suggestion
from simulation.attributes import OF_RELATIONSHIP, OF_TWIN, CascadeAttribute, fixed_down, fixed_up
from simulation.distributions import HOURS_MAX, Duration, Rounding, whole_us
from simulation.reading import Fields, is_list, is_number
from simulation.world import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FACTOR_MAX = 1000.0


@dataclass(frozen=True, slots=True)
class RelationRef:
    """A relationship named by its ends. Without a group it means the only one there is between them."""

    source: str
    relation: str
    target: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Fail:
    """Down from `at_us` until repaired. Without `repair`: the twin's timeToRepair, else to the horizon."""

    twin: str
    at_us: int = 0
    repair: Duration | None = None


@dataclass(frozen=True, slots=True)
class Degrade:
    """Health capped at `level` from `at_us` until `end_us`; CLOSE is level 0."""

    twin: str
    level: int
    at_us: int = 0
    end_us: int = NEVER


@dataclass(frozen=True, slots=True)
class Delay:
    """What comes along a relationship comes `extra_us` later, from `at_us` until `end_us`."""

    relation: RelationRef
    extra_us: int
    at_us: int = 0
    end_us: int = NEVER


@dataclass(frozen=True, slots=True)
class Surge:
    """The need of all groups of a twin is multiplied by `factor` (FULL = 1) from `at_us` until `end_us`."""

    twin: str
    factor: int
    at_us: int = 0
    end_us: int = NEVER


@dataclass(frozen=True, slots=True)
class SetAttribute:
    """A cascade attribute of a twin holds another value from `at_us` on."""

    twin: str
    attribute: str
    value: float | Duration
    at_us: int = 0


@dataclass(frozen=True, slots=True)
class RemoveTwin:
    """Level 0 from hour 0; what needed it still needs it."""

    twin: str


@dataclass(frozen=True, slots=True)
class RemoveRelation:
    relation: RelationRef


@dataclass(frozen=True, slots=True)
class AddTwin:
    """A twin that does not exist yet; there from hour 0."""

    id: str
    kinds: tuple[str, ...]
    name: str | None
    attributes: Mapping[str, float | Duration]


@dataclass(frozen=True, slots=True)
class AddRelation:
    """A relationship that does not exist yet; there from hour 0. `attributes` are cascade attributes."""

    source: str
    relation: str
    target: str
    group: str
    medium: str | None
    attributes: Mapping[str, float | Duration]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An event at another server. It keeps the place of its number, by which others' draws are told apart."""


Event: TypeAlias = (
    Fail
    | Degrade
    | Delay
    | Surge
    | SetAttribute
    | RemoveTwin
    | RemoveRelation
    | AddTwin
    | AddRelation
    | Elsewhere
)


def read_events(fields: Fields) -> tuple[Event, ...]:
    """The field `events` of a scenario document; problems are noted in `fields`."""
    read = [
        _event(fields.child(document, f"events[{i}]")) for i, document in enumerate(fields.items("events"))
    ]
    return tuple(event for event in read if event is not None)


def _event(fields: Fields) -> Event | None:
    name = fields.needed_text("type")
    reader = _READERS.get(name)
    if reader is None:
        if name:
            fields.note("type", f"unknown type {name!r}", suggestion(name.upper(), _READERS) or _TYPES)
        return None
    event = reader(fields)
    fields.close()
    return event


def _fail(fields: Fields) -> Event:
    return Fail(fields.needed_text("twin"), _at(fields), _repair(fields))


def _repair(fields: Fields) -> Duration | None:
    stated = fields.take("repairHours")
    if stated is None:
        return None
    value = _attribute(fields, "repairHours", OF_TWIN["timeToRepair"], stated)
    return value if isinstance(value, Duration) else None


def _degrade(fields: Fields) -> Event:
    twin, level = fields.needed_text("twin"), fields.needed_number("level", 0.0, 1.0)
    return Degrade(twin, fixed_down(level), *_window(fields))


def _close(fields: Fields) -> Event:
    return Degrade(fields.needed_text("twin"), 0, *_window(fields))


def _delay(fields: Fields) -> Event:
    relation = _reference(fields)
    hours = fields.needed_number("hours", 0.0, HOURS_MAX)
    return Delay(relation, whole_us(hours, Rounding.UP), *_window(fields))


def _surge(fields: Fields) -> Event:
    twin, factor = fields.needed_text("twin"), fields.needed_number("factor", 0.0, FACTOR_MAX)
    return Surge(twin, fixed_up(factor), *_window(fields))


def _set(fields: Fields) -> Event:
    twin, name, stated = fields.needed_text("twin"), fields.needed_text("attribute"), fields.need("value")
    at_us = _at(fields)
    if name == "demand":
        factor = stated if is_number(stated) and 0.0 <= stated <= FACTOR_MAX else None
        if factor is None and stated is not None:
            fields.note("value", f"demand should be a number from 0 to {FACTOR_MAX:g}")
        return SetAttribute(twin, name, float(factor or 0.0), at_us)
    attribute = OF_TWIN.get(name)
    if attribute is None:
        _unknown_attribute(fields, name)
        return SetAttribute(twin, name, 0.0, at_us)
    if at_us > 0 and name in _ONLY_FROM_HOUR_0:
        fields.note("atHours", f"{name} can only be set from hour 0")
    return SetAttribute(twin, name, _attribute(fields, "value", attribute, stated), at_us)


def _unknown_attribute(fields: Fields, name: str) -> None:
    hint = suggestion(name, [*OF_TWIN, "demand"]) or f"one of {', '.join([*OF_TWIN, 'demand'])}"
    if name in OF_RELATIONSHIP:
        hint = f"{name} stands on relationships: REMOVE the relationship and ADD it with another {name}"
    if name:
        fields.note("attribute", f"{name!r} is no cascade attribute of a twin", hint)


def _remove(fields: Fields) -> Event | None:
    if not _one_of(fields):
        return None
    if fields.has("twin"):
        return RemoveTwin(fields.needed_text("twin"))
    return RemoveRelation(_reference(fields))


def _add(fields: Fields) -> Event | None:
    if not _one_of(fields):
        return None
    if fields.has("twin"):
        return _added_twin(fields.child(fields.take("twin"), "twin"))
    return _added_relation(fields)


def _added_twin(record: Fields) -> AddTwin:
    given = record.needed_text("id")
    kinds = _kinds(record)
    name = record.text("name") or None
    attributes = _attributes(record, OF_TWIN)
    record.close(OF_TWIN)
    return AddTwin(given, kinds, name, attributes)


def _kinds(record: Fields) -> tuple[str, ...]:
    """`kind` (several split by `;`, as in CSV) or `kinds`; at least one."""
    stated = record.take("kind") if record.has("kind") else record.take("kinds")
    listed: Sequence[object] = ()
    if isinstance(stated, str):
        listed = stated.split(";")
    elif is_list(stated):
        listed = stated
    names = tuple(name.strip() for name in listed if isinstance(name, str) and name.strip())
    if not names or len(names) != len(listed):
        record.note("kind", "should name at least one kind")
    return names


def _added_relation(fields: Fields) -> AddRelation:
    stated = fields.take("relation")
    if is_list(stated):
        ends = _ends(fields, stated)
        return AddRelation(ends.source, ends.relation, ends.target, ends.group or "", None, {})
    record = fields.child(stated, "relation")
    added = AddRelation(
        record.needed_text("source"),
        record.needed_text("relation"),
        record.needed_text("target"),
        record.text("group"),
        record.text("medium") or None,
        _attributes(record, OF_RELATIONSHIP),
    )
    record.close(OF_RELATIONSHIP)
    return added


def _attributes(record: Fields, known: Mapping[str, CascadeAttribute]) -> dict[str, float | Duration]:
    """Cascade attributes of a record, under `attributes` or beside the other fields as in a CSV row."""
    inside = record.child(record.take("attributes") or {}, "attributes")
    found: dict[str, float | Duration] = {}
    for fields in (inside, record):
        for name in [name for name in known if fields.has(name)]:
            found[name] = _attribute(fields, name, known[name], fields.take(name))
    inside.close(known)
    return found


def _attribute(fields: Fields, name: str, attribute: CascadeAttribute, stated: object) -> float | Duration:
    try:
        return attribute.read(stated, Place(item=fields.at(name)))
    except InputError as error:
        fields.problems.extend(error.problems)
        return 0.0


def _reference(fields: Fields) -> RelationRef:
    stated = fields.need("relation")
    if is_list(stated):
        return _ends(fields, stated)
    if stated is not None:
        fields.note("relation", "should be a list [source, relation, target] or [.., group]")
    return RelationRef("", "", "")


def _ends(fields: Fields, stated: Sequence[object]) -> RelationRef:
    texts = [part for part in stated if isinstance(part, str)]
    if len(texts) != len(stated) or len(texts) not in (3, 4):
        fields.note("relation", "should be a list of texts [source, relation, target] or [.., group]")
        return RelationRef("", "", "")
    return RelationRef(*texts)


def _one_of(fields: Fields) -> bool:
    """Whether exactly one of twin and relation is there; anything else is noted."""
    if fields.has("twin") == fields.has("relation"):
        fields.note("", "needs either twin or relation")
        fields.take("twin")
        fields.take("relation")
        return False
    return True


def _at(fields: Fields) -> int:
    return whole_us(fields.number("atHours", 0.0, 0.0, HOURS_MAX), Rounding.DOWN)


def _window(fields: Fields) -> tuple[int, int]:
    at_us = _at(fields)
    hours = fields.number("forHours", _FOR_EVER, 0.0, HOURS_MAX)
    return at_us, NEVER if hours == _FOR_EVER else at_us + whole_us(hours, Rounding.UP)


_FOR_EVER = -1.0
_ONLY_FROM_HOUR_0 = frozenset({"failureProbability", "timeToRepair", "repairCost"})
_READERS: Final[Mapping[str, Callable[[Fields], Event | None]]] = {
    "FAIL": _fail,
    "DEGRADE": _degrade,
    "CLOSE": _close,
    "DELAY": _delay,
    "SURGE": _surge,
    "SET": _set,
    "REMOVE": _remove,
    "ADD": _add,
}
_TYPES = f"one of {', '.join(_READERS)}"
