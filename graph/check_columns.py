"""Columns -> violations of single items. Finds suspects in bulk; the checks of records then judge them.

So a violation in a column has the code, the words and the item that it would have in a record. A suspect too
many costs a moment, a suspect too few would let a violation through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graph.attributes import EXACT_INTEGER_MAX
from graph.bulk import all_texts
from graph.bulk_records import relationship_records, stated_at, twin_records
from graph.ids import FORBIDDEN_IN_IRI, is_iri, is_valid_iri
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from graph.bulk import AttributeColumn, Columns, Places, RelationshipColumns
    from graph.check import Checker
    from ontology.errors import Problem
    from ontology.schema import Attribute, Schema
    from ontology.terms import Carrier

    Mask = npt.NDArray[np.bool_]

_JOINT = "\n"  # may stand in no IRI
_DELAY = "delayHours"


def check_columns(checker: Checker, schema: Schema, columns: Columns, limit: int) -> list[Problem]:
    """At least the first `limit` violations, twins first, each kind in order of items."""
    problems: list[Problem] = []
    for found in (_twin_problems, _relationship_problems):
        for problem in found(checker, schema, columns):
            problems.append(problem)
            if len(problems) >= limit:
                return problems
    return problems


def _twin_problems(checker: Checker, schema: Schema, columns: Columns) -> Iterator[Problem]:
    starts = columns.starts()
    for number, block in enumerate(columns.twins):
        start = starts[number]
        suspects = _odd_ids(columns.ids[start : start + block.count])
        known = [all(schema.kind_by_iri(kind) for kind in kinds) for kinds in block.kind_sets]
        suspects |= ~np.array(known, np.bool_)[block.kinds]
        _suspect_values(suspects, checker, block.attributes, "twin")
        for part in _pieces(np.flatnonzero(suspects)):
            for record in twin_records(columns, number, part):
                yield from checker.twin_problems(schema, record)


def _relationship_problems(checker: Checker, schema: Schema, columns: Columns) -> Iterator[Problem]:
    for number, block in enumerate(columns.relationships):
        suspects = np.zeros(block.count, np.bool_)
        _suspect_values(suspects, checker, block.attributes, "relationship")
        _suspect_delays(suspects, schema, block)
        for part in _pieces(np.flatnonzero(suspects)):
            for record in relationship_records(columns, number, part):
                yield from checker.relationship_problems(schema, record)


def _pieces(items: Places) -> Iterator[Places]:
    """A few suspects at a time: most of many are never looked at."""
    for start in range(0, len(items), 256):
        yield items[start : start + 256]


def _odd_ids(ids: Sequence[str]) -> Mask:
    """bool[n]: ids that are no valid IRIs. The usual case, all are, is found in one pass over the bytes."""
    try:
        joined = _JOINT.join(ids).encode()
    except UnicodeEncodeError:
        return np.array([not is_valid_iri(iri) for iri in ids], np.bool_)
    forbidden = len(joined) - len(joined.translate(None, FORBIDDEN_IN_IRI))
    if forbidden == max(len(ids) - 1, 0) and all(map(is_iri, ids)):
        return np.zeros(len(ids), np.bool_)
    return np.array([not is_valid_iri(iri) for iri in ids], np.bool_)


def _suspect_delays(suspects: Mask, schema: Schema, block: RelationshipColumns) -> None:
    relations = [schema.relation_by_iri(name) for name in block.relation_names]
    founded = [one is not None and one.dependence is not None and one.dependence.founded for one in relations]
    if not any(founded):
        return
    at_once = np.array(founded, np.bool_)[block.relations]
    for column in block.attributes:
        if column.name == _DELAY:
            items, _ = stated_at(column, np.arange(block.count))
            suspects[items[at_once[items]]] = True


def _suspect_values(
    suspects: Mask, checker: Checker, columns: Sequence[AttributeColumn], carrier: Carrier
) -> None:
    """Marks the items with a value that may be wrong."""
    for column in columns:
        wrong = _wrong_values(checker, column, carrier)
        if column.rows is None:
            suspects |= wrong
        else:
            suspects[column.rows[wrong]] = True


def _wrong_values(checker: Checker, column: AttributeColumn, carrier: Carrier) -> Mask:
    """bool[k]: the values of a column that may be wrong."""
    values, count = column.values, len(column.values)
    everything = np.ones(count, np.bool_)
    attribute = checker.declared(column.name, carrier)
    if checker.name_problem(column.name, carrier) is not None:
        return everything
    if column.unit is not None and checker.unit_problem(column.unit, attribute):
        return everything
    if not isinstance(values, np.ndarray):
        # Texts are the only other values that need no look at each.
        return _wrong_texts(checker, attribute, values) if all_texts(values) else everything
    if values.dtype == np.bool_:
        fits = attribute is None or (attribute.datatype in ("boolean", "json") and not attribute.choices)
        return ~everything if fits else everything
    return _wrong_numbers(checker, attribute, column)


def _wrong_texts(checker: Checker, attribute: Attribute | None, values: Sequence[str]) -> Mask:
    if attribute is None or (attribute.datatype in ("text", "json") and not attribute.choices):
        return np.zeros(len(values), np.bool_)
    distinct = set(values)
    if attribute.datatype == "hours":
        wrong = {text for text in distinct if checker.hours_problem(text)}
    else:
        wrong = distinct - set(attribute.choices) if attribute.datatype in ("text", "json") else distinct
    return np.fromiter((text in wrong for text in values), np.bool_, len(values))


def _wrong_numbers(checker: Checker, attribute: Attribute | None, column: AttributeColumn) -> Mask:
    numbers = np.asarray(column.values)
    # Larger integers are kept as JSON, which the checks of records know more about.
    wrong = ~np.isfinite(numbers) | (np.abs(numbers.astype(np.float64)) > EXACT_INTEGER_MAX)
    if numbers.dtype == np.float64:
        wrong = ~np.isfinite(numbers)
    if attribute is None or attribute.datatype == "json":
        return wrong
    if attribute.datatype not in ("number", "hours", "integer"):
        return np.ones(len(numbers), np.bool_)
    if attribute.datatype == "integer" and numbers.dtype == np.float64:
        wrong |= numbers != np.floor(numbers)
    return wrong | _out_of_range(checker, attribute, numbers, column.unit)


def _out_of_range(
    checker: Checker, attribute: Attribute, numbers: npt.NDArray[np.generic], unit: str | None
) -> Mask:
    values = numbers.astype(np.float64)
    if unit is not None and attribute.unit not in (None, unit):
        try:
            values = checker.units.convert(values, unit, attribute.unit)
        except InputError:
            return np.ones(len(values), np.bool_)
    out = np.zeros(len(values), np.bool_)
    if attribute.minimum is not None:
        out |= ~(values >= attribute.minimum)
    if attribute.maximum is not None:
        out |= ~(values <= attribute.maximum)
    return out
