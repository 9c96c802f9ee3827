"""Order and pages in Cypher, with the cursors of `graph.ordering`: either side understands the other's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from graph.order_keys import group_of
from graph.plan import Nulls, TextField
from graph.stores.neo4j.predicates import checked_attribute
from graph.stores.neo4j.rows import TAGGED
from graph.stores.neo4j.script import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from graph.order_keys import Scalar
    from graph.plan import OrderKey
    from graph.stores.neo4j.script import Script

_FIELDS: Final = {
    TextField.ID.value: "id",
    TextField.LOCAL_ID.value: "_local",
    TextField.NAME.value: "name",
    TextField.KIND.value: "_kind",
    TextField.SITE.value: "_site",
}
# Values of different types stand apart, as in `graph.order_keys`.
_NUMBERS, _BOOLEANS, _TEXTS, _ABSENT = range(4)


@dataclass(frozen=True, slots=True)
class Key:
    """One key as expressions: the group of a value's type, the value, which is null where it has no order."""

    group: str
    value: str
    sign: int
    nulls_first: bool

    def group_of(self, value: Scalar) -> int:
        kind = _ABSENT if value is None else _TEXTS if isinstance(value, str) else _NUMBERS
        return group_of(_BOOLEANS if isinstance(value, bool) else kind, self.sign, self.nulls_first)


def keys_of(script: Script, variable: str, order: Sequence[OrderKey]) -> list[Key]:
    """LimitError PUSHDOWN_UNSUPPORTED where values have units."""
    return [_key(script, variable, key) for key in order]


def _key(script: Script, variable: str, key: OrderKey) -> Key:
    if key.by == TextField.EXTERNAL_ID:
        refuse("an order by external ids")
    name = _FIELDS.get(key.by) or checked_attribute(script, key.by)
    raw, sign, nulls_first = f"{variable}.{name}", -1 if key.descending else 1, key.nulls is Nulls.FIRST
    absent = f"{raw} IS NULL OR coalesce({raw} STARTS WITH {script.value(TAGGED)}, false)"
    groups = [group_of(kind, sign, nulls_first) for kind in range(_ABSENT + 1)]
    group = f"""CASE WHEN {absent} THEN {groups[_ABSENT]}
    WHEN valueType({raw}) STARTS WITH 'STRING' THEN {groups[_TEXTS]}
    WHEN valueType({raw}) STARTS WITH 'BOOLEAN' THEN {groups[_BOOLEANS]} ELSE {groups[_NUMBERS]} END"""
    return Key(group, f"CASE WHEN {absent} THEN null ELSE {raw} END", sign, nulls_first)


def beyond(script: Script, keys: Sequence[Key], values: Sequence[Scalar], twin: str, *, after: bool) -> str:
    """The condition, on columns g0, v0, g1, v1, ... and id, that a row stands after (or before) a cursor."""
    equal: list[str] = []
    open_: list[str] = []
    for place, (key, value) in enumerate(zip(keys, values, strict=True)):
        group = script.value(key.group_of(value))
        open_.append(" AND ".join([*equal, f"g{place} {'>' if after else '<'} {group}"]))
        equal.append(f"g{place} = {group}")
        if value is not None:
            word = ">" if after == (key.sign > 0) else "<"
            stated = script.value(value)
            open_.append(" AND ".join([*equal, f"v{place} {word} {stated}"]))
            equal.append(f"v{place} = {stated}")
    open_.append(" AND ".join([*equal, f"id {'>' if after else '<'} {script.value(twin)}"]))
    return "(" + " OR ".join(f"({each})" for each in open_) + ")"


def order_text(keys: Sequence[Key], *, forward: bool) -> str:
    """ORDER BY of those columns."""
    parts: list[str] = []
    for place, key in enumerate(keys):
        parts.append(f"g{place}{'' if forward else ' DESC'}")
        parts.append(f"v{place}{'' if forward == (key.sign > 0) else ' DESC'}")
    return ", ".join([*parts, f"id{'' if forward else ' DESC'}"])
