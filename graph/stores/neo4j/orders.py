"""Order and pages in Cypher, with the cursors of `graph.ordering`: either side understands the other's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from graph.order_keys import group_of
from graph.ordering import encode_cursor
from graph.plan import Nulls, TextField
from graph.stores.neo4j.anchors import found
from graph.stores.neo4j.attributes import attribute_text, converted_text, stated, unit_of_matched
from graph.stores.neo4j.rows import TAGGED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from graph.order_keys import Scalar
    from graph.ordering import Cursor
    from graph.plan import Match, OrderKey
    from graph.stores.neo4j.script import Script
    from ontology.units import Units

_FIELDS: Final = {
    TextField.ID.value: "id",
    TextField.LOCAL_ID.value: "_local",
    TextField.NAME.value: "name",
    TextField.KIND.value: "_kind",
    TextField.SITE.value: "_site",
}
# Values of different types stand apart, as in `graph.order_keys`.
_NUMBERS, _BOOLEANS, _TEXTS, _ABSENT = range(4)
Conditions: TypeAlias = "Callable[[Script], Sequence[str]]"


@dataclass(frozen=True, slots=True)
class Key:
    """One key as expressions: the group of a value's type, the value, which is null where it has no order."""

    group: str
    value: str
    sign: int
    nulls_first: bool
    unit: str | None = None  # of numbers
    units: Units | None = None

    def converted(self, value: Scalar, unit: str | None) -> Scalar:
        """A cursor's value in the unit of the key, which may be another one by now."""
        if isinstance(value, str | bool) or value is None:
            return value
        if (
            self.units is None
            or unit in (None, self.unit)
            or self.unit is None
            or not self.units.same_dimension(unit, self.unit)
        ):
            return float(value) + 0.0
        return float(self.units.convert([value], unit, self.unit)[0]) + 0.0

    def group_of(self, value: Scalar) -> int:
        kind = _ABSENT if value is None else _TEXTS if isinstance(value, str) else _NUMBERS
        return group_of(_BOOLEANS if isinstance(value, bool) else kind, self.sign, self.nulls_first)


def _nothing_more(_script: Script) -> Sequence[str]:
    return ()


def keys_of(script: Script, variable: str, match: Match, further: Conditions = _nothing_more) -> list[Key]:
    """The keys of the twins that a plan matches. UNIT_NEEDED, PUSHDOWN_UNSUPPORTED.

    further: conditions that the twins fulfil besides
    """
    return [_key(script, variable, key, match, further) for key in match.order]


def _key(script: Script, variable: str, key: OrderKey, match: Match, further: Conditions) -> Key:
    sign, nulls_first = -1 if key.descending else 1, key.nulls is Nulls.FIRST
    groups = [group_of(kind, sign, nulls_first) for kind in range(_ABSENT + 1)]
    field = _FIELDS.get(key.by)
    if field is not None:
        # A twin whose kinds nobody knows has none to be ordered by.
        raw = f"{variable}.{field}" if field != "_kind" else f"nullIf({variable}._kind, '')"
        group = f"CASE WHEN {raw} IS NULL THEN {groups[_ABSENT]} ELSE {groups[_TEXTS]} END"
        return Key(group, raw, sign, nulls_first)
    return _key_of_attribute(script, variable, key, match, further)


def _key_of_attribute(script: Script, variable: str, key: OrderKey, match: Match, further: Conditions) -> Key:
    sign, nulls_first = -1 if key.descending else 1, key.nulls is Nulls.FIRST
    groups = [group_of(kind, sign, nulls_first) for kind in range(_ABSENT + 1)]
    raw, known = attribute_text(script, key.by, variable), stated(script, key.by)
    target, unit = None, known.declared
    if known.texts:
        probe = script.apart()
        target, unit = unit_of_matched(
            script, known, found(probe, match, *further(probe)).clauses, probe.values
        )
    number = converted_text(script, variable, known, target)
    text = f"(valueType({raw}) STARTS WITH 'STRING' AND NOT {raw} STARTS WITH {script.value(TAGGED)})"
    truth = f"valueType({raw}) STARTS WITH 'BOOLEAN'"
    group = f"""CASE WHEN {number} IS NOT NULL THEN {groups[_NUMBERS]} WHEN {text} THEN {groups[_TEXTS]}
    WHEN {truth} THEN {groups[_BOOLEANS]} ELSE {groups[_ABSENT]} END"""
    value = f"CASE WHEN {number} IS NOT NULL THEN {number} WHEN {text} OR {truth} THEN {raw} END"
    return Key(group, value, sign, nulls_first, unit, script.around and script.around.units)


def beyond(script: Script, keys: Sequence[Key], cursor: Cursor, *, after: bool) -> str:
    """The condition, on columns g0, v0, g1, v1, ... and id, that a row stands after (or before) a cursor."""
    equal: list[str] = []
    open_: list[str] = []
    for place, (key, given, unit) in enumerate(zip(keys, cursor.values, cursor.units, strict=True)):
        value = key.converted(given, unit)
        group = script.value(key.group_of(value))
        open_.append(" AND ".join([*equal, f"g{place} {'>' if after else '<'} {group}"]))
        equal.append(f"g{place} = {group}")
        if value is not None:
            word = ">" if after == (key.sign > 0) else "<"
            stated_value = script.value(value)
            open_.append(" AND ".join([*equal, f"v{place} {word} {stated_value}"]))
            equal.append(f"v{place} = {stated_value}")
    open_.append(" AND ".join([*equal, f"id {'>' if after else '<'} {script.value(cursor.twin)}"]))
    return "(" + " OR ".join(f"({each})" for each in open_) + ")"


def cursor_text(signature: str, keys: Sequence[Key], values: Sequence[Scalar], twin: str) -> str:
    """As `graph.ordering.Page.cursor`."""
    parts = [signature, [_scalar(value) for value in values], twin]
    units = [key.unit for key in keys]
    return encode_cursor([*parts, units] if any(units) else parts)


def _scalar(value: Scalar) -> Scalar:
    """Numbers as cursors of columns hold them."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def order_text(keys: Sequence[Key], *, forward: bool) -> str:
    """ORDER BY of those columns."""
    parts: list[str] = []
    for place, key in enumerate(keys):
        parts.append(f"g{place}{'' if forward else ' DESC'}")
        parts.append(f"v{place}{'' if forward == (key.sign > 0) else ' DESC'}")
    return ", ".join([*parts, f"id{'' if forward else ' DESC'}"])
