"""Predicates as masks over rows: a test is one pass over a column, equal texts are tested once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from graph.attributes import Tag
from graph.cells import cells_of_edges, cells_of_twins, in_one_unit
from graph.plan import (
    And,
    AttributeTest,
    LinkTest,
    Not,
    Operator,
    Or,
    Quantifier,
    TextField,
    TextTest,
)
from ontology.errors import InputError, NotFoundError, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from graph.cells import Cells
    from graph.columns import Rows
    from graph.plan import Comparison, Predicate
    from graph.values import JSONValue
    from graph.view import View

Mask: TypeAlias = "npt.NDArray[np.bool_]"


def mask_of(view: View, predicate: Predicate, rows: Rows) -> Mask:
    """bool[n]: for which of these rows the predicate holds. Errors as the tests say, TIME_BUDGET."""
    view.budget.check_time()
    if isinstance(predicate, And):
        return _all_of(view, predicate.parts, rows)
    if isinstance(predicate, Or):
        return _any_of(view, predicate.parts, rows)
    if isinstance(predicate, Not):
        return ~mask_of(view, predicate.part, rows)
    if isinstance(predicate, TextTest):
        return _text_test(view, predicate, rows)
    if isinstance(predicate, AttributeTest):
        return test_cells(view, cells_of_twins(view, predicate.name, rows), predicate)
    return _link_test(view, predicate, rows)


def _all_of(view: View, parts: Sequence[Predicate], rows: Rows) -> Mask:
    """Each part looks only at the rows that the parts before it left."""
    left = np.arange(len(rows))
    for part in parts:
        left = left[mask_of(view, part, rows[left])]
    mask = np.zeros(len(rows), np.bool_)
    mask[left] = True
    return mask


def _any_of(view: View, parts: Sequence[Predicate], rows: Rows) -> Mask:
    mask = np.zeros(len(rows), np.bool_)
    for part in parts:
        open_rows = np.flatnonzero(~mask)
        mask[open_rows] = mask_of(view, part, rows[open_rows])
    return mask


# Texts that every twin has


def _text_test(view: View, test: TextTest, rows: Rows) -> Mask:
    masks = [_TEXT_FIELDS[test.field](view, comparison, rows) for comparison in test.comparisons]
    return np.logical_and.reduce(masks) if masks else np.ones(len(rows), np.bool_)


def _id_test(view: View, comparison: Comparison, rows: Rows) -> Mask:
    if comparison.operator not in (Operator.EQ, Operator.NE, Operator.IN, Operator.NOT_IN):
        return _verdicts(view.snapshot.ids(rows), comparison)
    found = [row for text in _texts(comparison) for row in _one_candidate(view, text)]
    return np.isin(rows, found) ^ _is_negative(comparison)


def _one_candidate(view: View, text: str) -> list[int]:
    found = view.candidates(text)
    if len(found) > 1:
        raise InputError(f"{text!r} means several twins", code="AMBIGUOUS_ID", hint="write site:localId")
    return found


def _local_id_test(view: View, comparison: Comparison, rows: Rows) -> Mask:
    return _verdicts(view.snapshot.local_ids(rows), comparison)


def _name_test(view: View, comparison: Comparison, rows: Rows) -> Mask:
    texts = view.snapshot.pools.texts
    return _by_code(view.snapshot.twins.name.take(rows), texts.value, comparison)


def _site_test(view: View, comparison: Comparison, rows: Rows) -> Mask:
    sites = view.snapshot.sites
    if comparison.operator in (Operator.EQ, Operator.IN):
        for text in _texts(comparison):
            if text not in sites:
                hint = None if view.is_narrowed else suggestion(text, sites)
                raise NotFoundError(f"no site {text!r}", code="SITE_UNKNOWN", hint=hint)
    return _by_code(view.snapshot.twins.site.take(rows), sites.__getitem__, comparison)


def _kind_test(view: View, comparison: Comparison, rows: Rows) -> Mask:
    snapshot = view.snapshot
    if comparison.operator in (Operator.EQ, Operator.NE, Operator.IN, Operator.NOT_IN):
        kinds = [snapshot.schema.kind(text).index for text in _texts(comparison)]
        masks = [snapshot.is_of_kind(rows, kind) for kind in kinds]
        return np.logical_or.reduce([np.zeros(len(rows), np.bool_), *masks]) ^ _is_negative(comparison)
    leading = snapshot.kind[rows]
    return _by_code(leading, lambda kind: snapshot.schema.kinds[kind].name if kind >= 0 else None, comparison)


_TEXT_FIELDS: dict[TextField, Callable[[View, Comparison, Rows], Mask]] = {
    TextField.ID: _id_test,
    TextField.LOCAL_ID: _local_id_test,
    TextField.NAME: _name_test,
    TextField.KIND: _kind_test,
    TextField.SITE: _site_test,
}


def _is_negative(comparison: Comparison) -> bool:
    return comparison.operator in (Operator.NE, Operator.NOT_IN)


def _texts(comparison: Comparison) -> list[str]:
    operand = comparison.operand
    return [str(item) for item in operand] if isinstance(operand, tuple) else [str(operand)]


def _by_code(codes: Rows, decode: Callable[[int], str | None], comparison: Comparison) -> Mask:
    distinct, place = np.unique(codes, return_inverse=True)
    return _verdicts([decode(int(code)) for code in distinct], comparison)[place]


def _verdicts(texts: Sequence[str | None], comparison: Comparison) -> Mask:
    return np.fromiter((_text_holds(text, comparison) for text in texts), np.bool_, len(texts))


def _text_holds(text: str | None, comparison: Comparison) -> bool:
    operator, operand = comparison.operator, comparison.operand
    if operator is Operator.EXISTS:
        return (text is not None) == bool(operand)
    if text is None:
        return False
    if isinstance(operand, tuple):
        return (text in operand) == (operator is Operator.IN)
    if operator in (Operator.EQ, Operator.NE):
        return (text == operand) == (operator is Operator.EQ)
    return _compares(text, operator, cast("str", operand))


def _compares(text: str, operator: Operator, operand: str) -> bool:
    if operator is Operator.CONTAINS:
        return operand in text
    if operator is Operator.STARTS_WITH:
        return text.startswith(operand)
    if operator in (Operator.LT, Operator.LTE):
        return text < operand or (operator is Operator.LTE and text == operand)
    return text > operand or (operator is Operator.GTE and text == operand)


# Attributes


def test_cells(view: View, cells: Cells, test: AttributeTest) -> Mask:
    """bool[n]: where all comparisons hold. UNIT_UNKNOWN, UNIT_MISMATCH, UNIT_NEEDED, FILTER_OPERAND."""
    if any(_wants_numbers(comparison) for comparison in test.comparisons):
        cells, _ = in_one_unit(cells, view.units, test.unit)
    masks = [_compare_cells(cells, comparison) for comparison in test.comparisons]
    return np.logical_and.reduce(masks) if masks else np.ones(len(cells.tag), np.bool_)


def _wants_numbers(comparison: Comparison) -> bool:
    operand = comparison.operand
    items = operand if isinstance(operand, tuple) else (operand,)
    return any(isinstance(item, int | float) and not isinstance(item, bool) for item in items)


def _compare_cells(cells: Cells, comparison: Comparison) -> Mask:
    operator, operand = comparison.operator, comparison.operand
    if operator is Operator.EXISTS:
        return cells.present == bool(operand)
    if operator in (Operator.IN, Operator.NOT_IN):
        items = cast("tuple[JSONValue, ...]", operand)
        found = np.logical_or.reduce([np.zeros_like(cells.present), *(_equal(cells, item) for item in items)])
        return found if operator is Operator.IN else cells.present & ~found
    if operator is Operator.EQ:
        return _equal(cells, cast("JSONValue", operand))
    if operator is Operator.NE:
        return cells.present & ~_equal(cells, cast("JSONValue", operand))
    return _ordered(cells, comparison)


def _equal(cells: Cells, operand: JSONValue) -> Mask:
    if isinstance(operand, bool):
        return cells.is_boolean & (cells.word == operand)
    if isinstance(operand, int | float):
        return cells.is_number & (cells.word == operand)
    if isinstance(operand, str):
        code = cells.pools.texts.find(operand)
        return cells.is_text & (cells.word == code) if code else np.zeros_like(cells.present)
    return _equal_objects(cells, operand)


def _equal_objects(cells: Cells, operand: JSONValue) -> Mask:
    mask = np.zeros_like(cells.present)
    objects = cells.tag == Tag.JSON
    for code in np.unique(cells.word[objects]):
        if cells.pools.objects.value(int(code)) == operand:
            mask |= objects & (cells.word == code)
    return mask


def _ordered(cells: Cells, comparison: Comparison) -> Mask:
    """lt, lte, gt, gte of numbers or texts; contains and startsWith of texts."""
    operand = comparison.operand
    if isinstance(operand, str):
        mask, where = np.zeros_like(cells.present), cells.is_text
        mask[where] = _by_code(cells.word[where].astype(np.int64), cells.text, comparison)
        return mask
    if isinstance(operand, bool) or not isinstance(operand, int | float):
        message = f"{comparison.operator} does not compare with {operand!r}"
        raise InputError(message, code="FILTER_OPERAND", hint="give a number or a text")
    compare = {
        Operator.LT: np.less,
        Operator.LTE: np.less_equal,
        Operator.GT: np.greater,
        Operator.GTE: np.greater_equal,
    }[comparison.operator]
    return cells.is_number & compare(cells.word, operand)


# Relationships


def _link_test(view: View, test: LinkTest, rows: Rows) -> Mask:
    hops = view.hops(rows, view.trail(test.relation, test.way))
    fits = np.ones(len(hops), np.bool_)
    for attribute in test.link:
        fits &= test_cells(view, cells_of_edges(view, attribute.name, hops.edges), attribute)
    if test.twin is not None:
        distinct, place = np.unique(hops.others, return_inverse=True)
        fits &= mask_of(view, test.twin, distinct)[place]
    fitting = np.bincount(hops.owner[fits], minlength=len(rows))
    if test.quantifier is Quantifier.SOME:
        return fitting > 0
    if test.quantifier is Quantifier.NONE:
        return fitting == 0
    return fitting == np.bincount(hops.owner, minlength=len(rows))
