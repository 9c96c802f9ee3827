"""Attributes in Cypher, and their numbers in one unit, as `graph.cells.in_one_unit` brings them there.

What unit a twin states stands in its property `_units`, a JSON text. The distinct texts are few: they are
looked up, and each is a case of the conversion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.attributes import EXACT_INTEGER_MAX, Tag
from graph.cells import Cells, in_one_unit
from graph.plan import POINT_QUALITY, POINT_REASON, POINT_VALUE
from graph.pools import Pools
from graph.stores.neo4j.naming import property_of, quoted
from graph.stores.neo4j.script import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from graph.stores.neo4j.script import Script

_LATEST: Final = (POINT_QUALITY, POINT_REASON)


def attribute_text(script: Script, name: str, variable: str = "n") -> str:
    """An attribute of a twin. PUSHDOWN_UNSUPPORTED for one that nobody is known to have."""
    used = frozenset[str]() if script.around is None else script.around.attributes
    if name == POINT_VALUE:
        refuse("a test, order or figure of last values")
    if script.schema.attribute(name) is None and name not in used:
        if name in _LATEST:
            refuse(f"`{name}`: readings are not in the graph, so it")
        refuse(f"an attribute {name!r}, which neither the vocabulary nor any twin seen has,")
    return f"{variable}.{quoted(property_of(name))}"


def number_text(value: str) -> str:
    """A value where it is a number of a column, else null: larger integers are objects there.

    A zero loses its sign: Neo4j takes -0.0 for less than 0.0.
    """
    return f"CASE WHEN {is_number(value)} THEN toFloat({value}) + 0.0 END"


def is_number(value: str) -> str:
    """Never null."""
    bounds = f"{value} >= -{EXACT_INTEGER_MAX} AND {value} <= {EXACT_INTEGER_MAX}"
    return f"({value} IS :: FLOAT NOT NULL OR ({value} IS :: INTEGER NOT NULL AND {bounds}))"


@dataclass(frozen=True, slots=True)
class Stated:
    """The units of an attribute of twins.

    texts: by unit, the properties `_units` that state it so; of all others the unit is the declared one.
    """

    name: str
    declared: str | None
    texts: Mapping[str, Sequence[str]]

    @property
    def all_texts(self) -> list[str]:
        return [text for texts in self.texts.values() for text in texts]

    def unit(self, text: str) -> str | None:
        """What a property `_units` means for the attribute."""
        return next((unit for unit, texts in self.texts.items() if text in texts), self.declared)


def stated(script: Script, name: str) -> Stated:
    """PUSHDOWN_UNSUPPORTED where nothing can be looked up and there may be several units."""
    declared = script.schema.attribute(name)
    unit = None if declared is None else declared.unit
    if script.around is None and (declared is None or unit is not None):
        refuse(f"{name!r}, whose values may have several units,")
    found: dict[str, list[str]] = {}
    for text, units in script.unit_texts().items():
        own = units.get(name)
        if own is not None:
            found.setdefault(own, []).append(text)
    return Stated(name, unit, found)


def unit_of_scope(script: Script, known: Stated) -> str | None:
    """The unit that a comparison without one is in, as `graph.matching.test_cells` has it; None: numbers are
    compared as they were stated. What twins in sight state decides, whichever of them are asked for."""
    foreign = {unit: texts for unit, texts in known.texts.items() if unit != known.declared}
    if not foreign:
        return None
    probe = script.apart()
    value, here = attribute_text(probe, known.name, "x"), probe.here("x")
    is_there = [f"x._units IN {probe.value(list(texts))}" for texts in foreign.values()]
    others = probe.value([text for texts in foreign.values() for text in texts])
    is_there.append(f"{value} IS NOT NULL AND (x._units IS NULL OR NOT x._units IN {others})")
    tests = [
        f"EXISTS {{ MATCH (x:Entity) WHERE {each} AND {here} AND {is_number(value)} }}" for each in is_there
    ]
    if sum(script.ask(f"RETURN {', '.join(tests)}", probe.values)) <= 1:
        return None
    return known.declared or refuse(f"{known.name!r}, of which no unit is declared and several are stated,")


def unit_of_matched(
    script: Script, known: Stated, clauses: str, values: Mapping[str, object]
) -> tuple[str | None, str | None]:
    """(unit to convert to, unit of the numbers) of the twins that some clauses find, as `in_one_unit` does.

    UNIT_NEEDED. values: of the clauses
    """
    if not known.texts:
        return None, known.declared
    value = attribute_text(script, known.name)
    text = f"{clauses} RETURN collect(DISTINCT CASE WHEN {is_number(value)} THEN coalesce(n._units, '') END)"
    [texts] = script.ask(text, values)
    units = {known.unit(each) for each in texts}
    _, unit = in_one_unit(_numbers(known, units), script.units, None)
    return (unit if len(units) > 1 else None), unit


def _numbers(known: Stated, units: Iterable[str | None]) -> Cells:
    """A number in each of some units."""
    pools = Pools()
    codes = [0 if unit is None else pools.units.intern(unit) for unit in units]
    tags = np.full(len(codes), Tag.NUMBER, np.uint8)
    return Cells(known.name, tags, np.zeros(len(codes)), np.array(codes, np.int32), pools, known.declared)


def converted_text(script: Script, variable: str, known: Stated, target: str | None) -> str:
    """The number of an attribute in a unit (None: as stated), else null. UNIT_UNKNOWN, UNIT_MISMATCH."""
    value = attribute_text(script, known.name, variable)
    if target is None:
        return number_text(value)
    units = script.units
    if known.declared is not None:
        units.convert((), known.declared, target)  # raises where they do not fit each other
    units.unit(target)
    cases: list[str] = []
    for unit, texts in known.texts.items():
        given = f"{variable}._units IN {script.value(list(texts))}"
        cases.append(f"WHEN {given} THEN {_conversion(script, value, unit, target)}")
    rest = "null" if known.declared is None else _conversion(script, value, known.declared, target)
    chosen = f"CASE {' '.join(cases)} ELSE {rest} END" if cases else rest
    return f"CASE WHEN {is_number(value)} THEN {chosen} + 0.0 END"


def _conversion(script: Script, value: str, unit: str, target: str) -> str:
    """With the very operations of `Units.convert`, so that not the last bit differs."""
    units, number = script.units, f"toFloat({value})"
    if not units.same_dimension(unit, target):
        return "null"
    source, wanted = units.unit(unit), units.unit(target)
    if (source.multiplier, source.offset) == (wanted.multiplier, wanted.offset):
        return number
    factor = script.value(source.multiplier / wanted.multiplier)
    if source.offset == 0 and wanted.offset == 0:
        return f"{number} * {factor}"
    before, behind = script.value(float(source.offset)), script.value(float(wanted.offset))
    return f"({number} + {before}) * {factor} - {behind}"
