"""Change -> violations of single records: ids, kinds, attribute names, types, ranges, units.

What shows only between records is in check_links.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from graph.check_columns import check_columns
from graph.check_links import check_links
from graph.ids import is_valid_iri
from ontology.errors import InputError, NotFoundError, Place, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy as np
    import numpy.typing as npt

    from graph.bulk import Columns
    from graph.bulk_drafting import BulkDraft
    from graph.edge_drafting import EdgeDrafter
    from graph.state import State
    from graph.twin_drafting import TwinDrafter
    from graph.values import Change, JSONValue, RelationshipRecord, TwinRecord, Value
    from ontology.schema import Attribute, Schema
    from ontology.terms import Carrier

FREE_PREFIX = "x:"  # an attribute so named is never taken for a misspelling
_NEAR = 2  # edit distance
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_JSON_DEPTH_MAX = 32
_DISTRIBUTION = re.compile(r"\s*([a-z]+)\s*\(([^()]*)\)\s*")
_DISTRIBUTION_HINT = (
    "write a number or exponential(mean), weibull(shape,scale), lognormal(mean,sd), uniform(a,b)"
)


class Units(Protocol):
    """What the checks need of `ontology.units`."""

    def unit(self, code: str) -> object:
        """Raises InputError UNIT_UNKNOWN."""
        ...

    def same_dimension(self, one: str, other: str) -> bool: ...

    def convert(self, values: npt.ArrayLike, from_code: str, to_code: str) -> npt.NDArray[np.float64]: ...


@dataclass(frozen=True, slots=True)
class Wrong:
    """A violation that does not know yet where it stands."""

    code: str
    message: str
    hint: str | None = None


class Checker:
    """Checks changes against a schema.

    Remembers decisions about names and units, so bulk imports pay once.
    """

    def __init__(self, schema: Schema, units: Units) -> None:
        self._attributes = schema.attributes
        self.units = units
        self._names: dict[tuple[str, Carrier], Wrong | None] = {}
        self._unit_pairs: dict[tuple[str, str | None], Wrong | None] = {}

    def check(self, schema: Schema, change: Change) -> Iterator[Problem]:
        """Violations of single records, in the order of the change."""
        for records in (change.put_twins, change.merge_twins):
            for twin in records:
                yield from self.twin_problems(schema, twin)
        for relationship in change.put_relationships:
            yield from self.relationship_problems(schema, relationship)

    def check_columns(self, schema: Schema, columns: Columns, limit: int) -> list[Problem]:
        """As `check`, of columns; at least the first `limit` violations."""
        return check_columns(self, schema, columns, limit)

    def check_links(
        self,
        state: State,
        schema: Schema,
        twins: TwinDrafter,
        edges: EdgeDrafter,
        bulk: BulkDraft | None = None,
    ) -> list[Problem]:
        """Violations that only show in the graph: cycles, groups that disagree, ends of the wrong kind."""
        return check_links(state, schema, twins, edges, bulk)

    def hours_problem(self, text: str) -> str | None:
        """What is wrong with hours that are given as a text."""
        return distribution_problem(text)

    def twin_problems(self, schema: Schema, twin: TwinRecord) -> Iterator[Problem]:
        place = Place(item=twin.id)
        if not is_valid_iri(twin.id):
            hint = 'ids are full IRIs without spaces or any of <>"{}|\\^`'
            yield Problem("ID_INVALID", f"{twin.id!r} is no IRI", place, hint)
        for kind in twin.kinds:
            if schema.kind_by_iri(kind) is None:
                yield _unknown_kind(schema, kind, place)
        for wrong in self._values(twin.attributes, "twin"):
            yield Problem(wrong.code, wrong.message, place, wrong.hint)

    def relationship_problems(self, schema: Schema, record: RelationshipRecord) -> Iterator[Problem]:
        for wrong in self._values(record.attributes, "relationship"):
            item = " ".join(filter(None, (record.source, record.relation, record.target, record.group)))
            yield Problem(wrong.code, wrong.message, Place(item=item), wrong.hint)
        relation = schema.relation_by_iri(record.relation)
        dependence = relation.dependence if relation else None
        if dependence and dependence.founded and "delayHours" in record.attributes:
            item = f"{record.source} {record.relation} {record.target}"
            message = "power, water and air arrive without delay: delayHours may not stand on this relation"
            yield Problem("DELAY_ON_FOUNDED", message, Place(item=item), "give the dependent a bufferHours")

    def _values(self, values: Mapping[str, Value], carrier: Carrier) -> Iterable[Wrong]:
        for name, value in values.items():
            wrong = self.name_problem(name, carrier)
            if wrong is not None:
                yield wrong
            elif value.value is not None:
                yield from self._value(name, value, carrier)

    def name_problem(self, name: str, carrier: Carrier) -> Wrong | None:
        """A name close to a declared one is a misspelling; any other undeclared name is free."""
        key = (name, carrier)
        if key not in self._names:
            self._names[key] = self._misspelt(name, carrier)
        return self._names[key]

    def _misspelt(self, name: str, carrier: Carrier) -> Wrong | None:
        if not name:
            return Wrong("ATTRIBUTE_UNKNOWN", "an attribute needs a name")
        if name.startswith(FREE_PREFIX) or self.declared(name, carrier):
            return None
        declared = (a.name for a in self._attributes.values() if a.on in (carrier, "both"))
        near = sorted(known for known in declared if is_near(name, known))
        if not near:
            return None
        hint = f"did you mean {' or '.join(near)}? {FREE_PREFIX}{name} is taken as it stands"
        return Wrong("ATTRIBUTE_UNKNOWN", f"{name!r} looks like a misspelt attribute", hint)

    def declared(self, name: str, carrier: Carrier) -> Attribute | None:
        attribute = self._attributes.get(name)
        return attribute if attribute and attribute.on in (carrier, "both") else None

    def _value(self, name: str, value: Value, carrier: Carrier) -> Iterable[Wrong]:
        attribute = self.declared(name, carrier)
        wrong = _json_problem(value.value)
        if wrong is not None:
            yield Wrong("VALUE_TYPE", f"{name}: {wrong}")
            return
        if value.unit is not None:
            wrong = self.unit_problem(value.unit, attribute)
            if wrong is not None:
                yield Wrong(wrong.code, f"{name}: {wrong.message}", wrong.hint)
                return
        if attribute is not None:
            yield from self._declared_value(attribute, value)

    def unit_problem(self, unit: str, attribute: Attribute | None) -> Wrong | None:
        """What is wrong with stating an attribute (None: an undeclared one) in a unit."""
        key = (unit, attribute.unit if attribute else None)
        if key not in self._unit_pairs:
            self._unit_pairs[key] = self._check_unit(*key)
        return self._unit_pairs[key]

    def _check_unit(self, unit: str, expected: str | None) -> Wrong | None:
        try:
            self.units.unit(unit)
            if expected is None or self.units.same_dimension(unit, expected):
                return None
        except InputError as error:
            return Wrong("UNIT_UNKNOWN", error.message, error.hint)
        return Wrong("UNIT_MISMATCH", f"{unit!r} does not convert to {expected!r}", f"give it in {expected}")

    def _declared_value(self, attribute: Attribute, value: Value) -> Iterator[Wrong]:
        plain = value.value
        number = plain if isinstance(plain, (int, float)) and not isinstance(plain, bool) else None
        if attribute.datatype == "hours" and isinstance(plain, str):
            wrong = distribution_problem(plain)
            if wrong:
                message = f"{attribute.name}: {wrong}"
                yield Wrong("DISTRIBUTION_INVALID", message, _DISTRIBUTION_HINT)
            return
        if not _fits(attribute, plain, number):
            yield Wrong("VALUE_TYPE", f"{attribute.name} is {plain!r}", f"expected {attribute.datatype}")
        elif number is not None:
            yield from self._range(attribute, float(number), value.unit)
        elif attribute.choices and plain not in attribute.choices:
            yield Wrong(
                "VALUE_RANGE", f"{attribute.name} is {plain!r}", f"one of {', '.join(attribute.choices)}"
            )

    def _range(self, attribute: Attribute, number: float, unit: str | None) -> Iterator[Wrong]:
        if unit is not None and attribute.unit not in (None, unit):
            number = float(self.units.convert(number, unit, attribute.unit))
        low = -math.inf if attribute.minimum is None else attribute.minimum
        high = math.inf if attribute.maximum is None else attribute.maximum
        if not low <= number <= high:
            hint = f"from {low:g} to {high:g}" if high < math.inf else f"at least {low:g}"
            yield Wrong("VALUE_RANGE", f"{attribute.name} is {number:g}", hint)


def _unknown_kind(schema: Schema, kind: str, place: Place) -> Problem:
    try:
        known = schema.kind(kind)
    except NotFoundError as error:
        return Problem("KIND_UNKNOWN", error.message, place, error.hint)
    return Problem("KIND_UNKNOWN", f"kind {kind!r} is not an IRI", place, f"write {known.iri}")


def _json_problem(value: object, depth: int = 0) -> str | None:
    """Why a value cannot be kept exactly as it stands; None if it can."""
    match value:
        case None | bool() | str():
            return None
        case int():
            return None if _INT64_MIN <= value <= _INT64_MAX else f"{value} does not fit 64 bits"
        case float():
            return None if math.isfinite(value) else f"{value} is no finite number"
        case list() | dict() if depth < _JSON_DEPTH_MAX:
            return _parts_problem(cast("list[object] | dict[object, object]", value), depth + 1)
        case _:
            deep = isinstance(value, (list, dict))
            return f"more than {_JSON_DEPTH_MAX} levels deep" if deep else f"{value!r} is no JSON value"


def _parts_problem(value: list[object] | dict[object, object], depth: int) -> str | None:
    if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
        return "keys must be texts"
    parts = value.values() if isinstance(value, dict) else value
    return next((problem for part in parts if (problem := _json_problem(part, depth))), None)


def _fits(attribute: Attribute, plain: JSONValue, number: float | int | None) -> bool:
    match attribute.datatype:
        case "number" | "hours":
            return number is not None
        case "integer":
            return number is not None and float(number).is_integer()
        case "boolean":
            return isinstance(plain, bool)
        case "text":
            return isinstance(plain, str)
        case "json":
            return True


def distribution_problem(text: str) -> str | None:
    """What is wrong with a distribution of hours as text, such as `weibull(2,500)`; None if nothing is."""
    match = _DISTRIBUTION.fullmatch(text)
    if match is None:
        return f"{text!r} is neither a number nor a distribution"
    name, inside = match[1], match[2]
    if name not in _PARAMETERS:
        return f"there is no distribution {name!r}"
    try:
        parameters = [float(part) for part in inside.split(",")]
    except ValueError:
        return f"{text!r} has a parameter that is no number"
    if len(parameters) != len(_PARAMETERS[name]) or not all(map(math.isfinite, parameters)):
        return f"{name} takes {' and '.join(_PARAMETERS[name])}"
    return _parameter_problem(name, parameters)


_PARAMETERS = {
    "exponential": ("mean",),
    "weibull": ("shape", "scale"),
    "lognormal": ("mean", "sd"),
    "uniform": ("a", "b"),
}


def _parameter_problem(name: str, parameters: list[float]) -> str | None:
    if name == "uniform":
        low, high = parameters
        return None if 0 <= low <= high else "uniform(a,b) needs 0 <= a <= b"
    # A standard deviation may be 0: then the hours are certain.
    smallest = [0.0 if what == "sd" else math.ulp(0.0) for what in _PARAMETERS[name]]
    within = all(value >= least for value, least in zip(parameters, smallest, strict=True))
    return None if within else f"{name} needs positive parameters"


def is_near(name: str, known: str) -> bool:
    """True if two names are within edit distance 2, or would be if case did not count."""
    if abs(len(name) - len(known)) > _NEAR:
        return False
    return _distance(name, known) <= _NEAR or _distance(name.lower(), known.lower()) <= _NEAR


def _distance(first: str, second: str) -> int:
    """Levenshtein distance."""
    line = list(range(len(second) + 1))
    for row, letter in enumerate(first, 1):
        above, line[0] = line[0], row
        for column, other in enumerate(second, 1):
            cost = min(line[column] + 1, line[column - 1] + 1, above + (letter != other))
            above, line[column] = line[column], cost
    return line[-1]
