"""Predicates as masks over rows: a test is one pass over a column, equal texts are tested once.

Where an index leads to few rows, the question is answered from there, and never asked of all the others.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from graph.attributes import Tag
from graph.cells import cells_of_edges, cells_of_twins, in_one_unit, units_of
from graph.multimap import distinct
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
from graph.text_tests import Mask, code_mask, is_member, text_mask, text_rows
from graph.values import Way
from graph.view import Trail
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from graph.cells import Cells
    from graph.columns import Rows
    from graph.plan import Comparison, Predicate
    from graph.text_tests import Found
    from graph.values import JSONValue
    from graph.view import Hops, View

# From so many rows on it is worth while to look for a more selective side, and kinds are one.
_ROWS_MANY: Final = 64
# The other side must have so many times fewer rows.
ANCHOR_SHARE: Final = 4
# From this share of all rows on (as a shift), a table of all is faster than sorting.
_TABLE_SHARE_BITS: Final = 6


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
        return text_mask(view, predicate, rows)
    if isinstance(predicate, AttributeTest):
        return test_cells(
            view,
            cells_of_twins(view, predicate.name, rows),
            predicate,
            lambda: cells_of_twins(view, predicate.name, view.all_rows),
            view.units_elsewhere.get(predicate.name, frozenset()),
        )
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


# Attributes


def test_cells(
    view: View,
    cells: Cells,
    test: AttributeTest,
    in_scope: Callable[[], Cells],
    elsewhere: frozenset[str | None] = frozenset(),
) -> Mask:
    """bool[n]: where all comparisons hold. UNIT_UNKNOWN, UNIT_MISMATCH, UNIT_NEEDED, FILTER_OPERAND.

    in_scope: the same attribute of everything in scope, whatever part of it is looked at here
    elsewhere: units of what would be in scope too, and is not here
    """
    if any(_wants_numbers(comparison) for comparison in test.comparisons):
        unit = test.unit
        if unit is None and _is_foreign(cells, elsewhere):
            # Which rows a plan looks at must not decide what a number means.
            unit = cells.declared_unit if len(units_of(in_scope()) | elsewhere) > 1 else None
        cells, _ = in_one_unit(cells, view.units, unit)
    masks = [_compare_cells(cells, comparison) for comparison in test.comparisons]
    return np.logical_and.reduce(masks) if masks else np.ones(len(cells.tag), np.bool_)


def _is_foreign(cells: Cells, elsewhere: frozenset[str | None]) -> bool:
    """Whether the numbers are in another unit than the one declared."""
    return cells.declared_unit is not None and bool((units_of(cells) | elsewhere) - {cells.declared_unit})


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
        mask[where] = code_mask(cells.pools.texts, cells.word[where].astype(np.int32), comparison)
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
    trail = view.trail(test.relation, test.way)
    if test.quantifier is not Quantifier.EVERY and len(rows) >= _ROWS_MANY:
        # Where a few rows fulfil what is asked of the far end, those that lead to them are few too.
        found = _leading_to(view, test, trail, len(rows) // ANCHOR_SHARE)
        if found is not None:
            is_some = is_member(rows, found, view.snapshot.size)
            return is_some if test.quantifier is Quantifier.SOME else ~is_some
    hops = view.hops(rows, trail)
    fits = _link_fits(view, test, hops)
    if test.twin is not None:
        fits &= _mask_of_ends(view, test.twin, hops.others)
    fitting = np.bincount(hops.owner[fits], minlength=len(rows))
    if test.quantifier is Quantifier.SOME:
        return fitting > 0
    if test.quantifier is Quantifier.NONE:
        return fitting == 0
    return fitting == np.bincount(hops.owner, minlength=len(rows))


def _link_fits(view: View, test: LinkTest, hops: Hops) -> Mask:
    fits = np.ones(len(hops), np.bool_)
    for attribute in test.link:
        cells = cells_of_edges(view, attribute.name, hops.edges)
        fits &= test_cells(view, cells, attribute, partial(_cells_of_all_edges, view, attribute.name))
    return fits


def _cells_of_all_edges(view: View, name: str) -> Cells:
    snapshot = view.snapshot
    edges = np.flatnonzero(snapshot.edge_alive)
    is_seen = view.seen(snapshot.sources(edges)) & view.seen(snapshot.targets(edges))
    return cells_of_edges(view, name, edges[is_seen])


def _mask_of_ends(view: View, predicate: Predicate, ends: Found) -> Mask:
    """As `mask_of` for rows that repeat: each is looked at once."""
    distinct = distinct_rows(ends, view.snapshot.size)
    if len(distinct) == len(ends):
        return mask_of(view, predicate, ends)
    holds = np.zeros(int(distinct[-1]) + 1, np.bool_)
    holds[distinct] = mask_of(view, predicate, distinct)
    return holds[ends]


def distinct_rows(rows: npt.NDArray[np.int32], size: int) -> Found:
    """Some rows below `size`, ascending, each once."""
    if len(rows) < size >> _TABLE_SHARE_BITS:
        return distinct(rows)
    table = np.zeros(size, np.bool_)
    table[rows] = True
    return np.flatnonzero(table).astype(np.int32)


# From the most selective side


def anchored(view: View, predicate: Predicate, rows_max: int) -> Found | None:
    """All rows in scope for which a predicate holds, ascending, found through an index; else None.

    From what the index has, relationships are walked backwards. rows_max: kinds of more twins than that are
    no place to begin. Errors as `mask_of`.
    """
    if isinstance(predicate, TextTest):
        found = text_rows(view, predicate)
        return _rows_of_kinds(view, predicate, rows_max) if found is None else found
    if isinstance(predicate, And):
        return _anchored_in_one(view, predicate.parts, rows_max)
    if isinstance(predicate, Or):
        return _anchored_in_all(view, predicate.parts, rows_max)
    if isinstance(predicate, LinkTest) and predicate.quantifier is Quantifier.SOME:
        return _leading_to(view, predicate, view.trail(predicate.relation, predicate.way), rows_max)
    return None


def _leading_to(view: View, test: LinkTest, trail: Trail, rows_max: int) -> Found | None:
    """The rows with some relationship that a test is about."""
    ends = None if test.twin is None else anchored(view, test.twin, rows_max)
    if ends is None:
        return None
    back = Trail(trail.relations, {Way.OUT: Way.IN, Way.IN: Way.OUT}.get(trail.way, trail.way))
    hops = view.hops(ends, back)
    return distinct_rows(hops.others[_link_fits(view, test, hops)], view.snapshot.size)


def _anchored_in_one(view: View, parts: Sequence[Predicate], rows_max: int) -> Found | None:
    """Begin with the part that leads to the fewest rows; the others look at those alone."""
    best: Found | None = None
    first = -1
    for place, part in enumerate(parts):
        found = anchored(view, part, rows_max)
        if found is not None and (best is None or len(found) < len(best)):
            best, first, rows_max = found, place, len(found)
        if best is not None and len(best) < _ROWS_MANY:
            break
    if best is None:
        return None
    rest = And((*parts[:first], *parts[first + 1 :]))
    return best[mask_of(view, rest, best)]


def _anchored_in_all(view: View, parts: Sequence[Predicate], rows_max: int) -> Found | None:
    found: list[Found] = [np.zeros(0, np.int32)]
    for part in parts:
        rows = anchored(view, part, rows_max)
        if rows is None:
            return None
        found.append(rows)
    return distinct_rows(np.concatenate(found), view.snapshot.size)


def _rows_of_kinds(view: View, test: TextTest, rows_max: int) -> Found | None:
    """Twins of one kind, where they are few enough to begin with; all comparisons of the test hold."""
    equal = [each for each in test.comparisons if each.operator is Operator.EQ]
    if test.field is not TextField.KIND or not equal or rows_max < _ROWS_MANY:
        return None
    rows = view.rows_of_kind(view.snapshot.schema.kind(str(equal[0].operand)))
    return rows[text_mask(view, test, rows)] if len(rows) <= rows_max else None
