"""Tests of texts: equality through indexes and codes, parts of texts over the bytes of all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias, cast

import numpy as np

from graph.ids import is_iri
from graph.lookup import rows_of_local
from graph.multimap import distinct
from graph.plan import Operator, TextField
from graph.strings import encode_text
from ontology.errors import InputError, NotFoundError, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.plan import Comparison, TextTest
    from graph.pools import TextPool
    from graph.strings import Strings
    from graph.view import View

    Found: TypeAlias = npt.NDArray[np.int32]

Mask: TypeAlias = "npt.NDArray[np.bool_]"
_EQUALITIES: Final = (Operator.EQ, Operator.NE, Operator.IN, Operator.NOT_IN)
_PARTS: Final = (Operator.CONTAINS, Operator.STARTS_WITH)
# Of fewer texts each is read alone; more are searched as bytes, together with all others of their table.
_FEW_TEXTS: Final = 2048
# A membership test over so few rows compares with each.
_FEW_ROWS: Final = 8


def text_mask(view: View, test: TextTest, rows: Rows) -> Mask:
    """bool[n]: where all comparisons hold. AMBIGUOUS_ID, SITE_UNKNOWN, KIND_UNKNOWN."""
    masks = [_FIELDS[test.field](view, comparison, rows) for comparison in test.comparisons]
    return np.logical_and.reduce(masks) if masks else np.ones(len(rows), np.bool_)


def text_rows(view: View, test: TextTest) -> Found | None:
    """The rows in scope for which a test holds, ascending, where an index leads to them; else None."""
    find = _INDEXES.get(test.field)
    wanted = [each for each in test.comparisons if each.operator in (Operator.EQ, Operator.IN)]
    if find is None or not wanted:
        return None
    rows = distinct(np.array(find(view, _texts(wanted[0])), np.int32))
    rows = rows[view.snapshot.twins.alive.take(rows)]
    rows = rows[view.seen(rows)]
    return rows[text_mask(view, test, rows)]


def is_member(rows: Rows, found: Rows, size: int) -> Mask:
    """bool[n]: which of some rows are among others; all below `size`."""
    if len(found) <= _FEW_ROWS:
        return np.logical_or.reduce([np.zeros(len(rows), np.bool_), *(rows == one for one in found)])
    table = np.zeros(size, np.bool_)
    table[found] = True
    return table[rows]


# Ids


def _id_test(view: View, comparison: Comparison, rows: Rows) -> Mask:
    if comparison.operator in _EQUALITIES:
        found = _rows_of_ids(view, _texts(comparison))
        return is_member(rows, found, view.snapshot.size) ^ _is_negative(comparison)
    if comparison.operator is Operator.STARTS_WITH:
        ranking = view.snapshot.twins.ids.ranking()
        low, high = ranking.range(str(comparison.operand))
        rank = ranking.rank[rows]
        return (rank >= low) & (rank < high)
    if comparison.operator is Operator.CONTAINS and len(rows) > _FEW_TEXTS:
        mask = np.zeros(len(rows), np.bool_)
        for table in view.snapshot.twins.ids.tables(rows):
            places = slice(None) if table.places is None else table.places
            mask[places] = contains(table.strings, str(comparison.operand))[table.numbers]
        return mask
    return verdicts(view.snapshot.ids(rows), comparison)


def _rows_of_ids(view: View, texts: Sequence[str]) -> Found:
    """Rows in scope that some ids mean; AMBIGUOUS_ID."""
    iris = [text for text in texts if is_iri(text)]
    rows = view.snapshot.rows(iris) if iris else np.zeros(0, np.int32)
    rows = rows[rows >= 0]
    others = [row for text in texts if not is_iri(text) for row in _one_candidate(view, text)]
    return np.concatenate((rows[view.seen(rows)], np.array(others, np.int32)))


def _one_candidate(view: View, text: str) -> list[int]:
    found = view.candidates(text)
    if len(found) > 1:
        raise InputError(f"{text!r} means several twins", code="AMBIGUOUS_ID", hint="write site:localId")
    return found


def _local_id_test(view: View, comparison: Comparison, rows: Rows) -> Mask:
    if comparison.operator not in _EQUALITIES:
        return verdicts(view.snapshot.local_ids(rows), comparison)
    found = _rows_of_local_ids(view, _texts(comparison))
    return is_member(rows, found, view.snapshot.size) ^ _is_negative(comparison)


def _rows_of_local_ids(view: View, texts: Sequence[str]) -> Found:
    return np.array([row for text in texts for row in rows_of_local(view.snapshot, text)], np.int32)


def _external_test(view: View, comparison: Comparison, rows: Rows) -> Mask:
    """One of the outside ids of a twin; of the negative operators: it has some, but none of these."""
    external = view.snapshot.twins.external.take(rows)
    if comparison.operator is Operator.EXISTS:
        return (external > 0) == bool(comparison.operand)
    if comparison.operator in _EQUALITIES:
        found = _rows_of_external(view, _texts(comparison))
        is_among = is_member(rows, found, view.snapshot.size)
        return (external > 0) & ~is_among if _is_negative(comparison) else is_among
    distinct, place = np.unique(external, return_inverse=True)
    sets = view.snapshot.pools.external_ids.values(distinct.tolist())
    fits = [any(_text_holds(one.id, comparison) for one in known or ()) for known in sets]
    return np.array(fits, np.bool_)[place]


def _rows_of_external(view: View, texts: Sequence[str]) -> Found:
    found = (view.snapshot.find_external(None, text) for text in texts)
    return np.array([row for rows in found for row in rows], np.int32)


# Texts with codes


def _name_test(view: View, comparison: Comparison, rows: Rows) -> Mask:
    return code_mask(view.snapshot.pools.texts, view.snapshot.twins.name.take(rows), comparison)


def _rows_of_names(view: View, texts: Sequence[str]) -> Found:
    pool, names = view.snapshot.pools.texts, view.snapshot.twins.name.flat
    codes = pool.find_all(texts)
    return np.flatnonzero(is_member(names, codes[codes > 0], len(pool))).astype(np.int32)


def code_mask(pool: TextPool, codes: npt.NDArray[np.int32], comparison: Comparison) -> Mask:
    """bool[n]: for which of some texts, given by code (0: absent), a comparison holds."""
    if comparison.operator is Operator.EXISTS:
        return (codes > 0) == bool(comparison.operand)
    if comparison.operator in _EQUALITIES:
        wanted = pool.find_all(_texts(comparison))
        found = is_member(codes, wanted[wanted > 0], len(pool))
        return (codes > 0) & ~found if _is_negative(comparison) else found
    holds = np.zeros(len(pool), np.bool_)
    holds[codes] = True
    holds[0] = False
    used = np.flatnonzero(holds)
    if comparison.operator in _PARTS and len(used) > _FEW_TEXTS:
        search = contains if comparison.operator is Operator.CONTAINS else starts_with
        holds[1:] = search(pool.table.between(0, len(pool) - 1), str(comparison.operand))
    else:
        holds[used] = verdicts(pool.values(used.tolist()), comparison)
    return holds[codes]


def _site_test(view: View, comparison: Comparison, rows: Rows) -> Mask:
    sites = view.snapshot.sites
    if comparison.operator in (Operator.EQ, Operator.IN):
        for text in _texts(comparison):
            if text not in sites:
                hint = None if view.is_narrowed else suggestion(text, sites)
                raise NotFoundError(f"no site {text!r}", code="SITE_UNKNOWN", hint=hint)
    return verdicts(sites, comparison)[view.snapshot.twins.site.take(rows)]


def _kind_test(view: View, comparison: Comparison, rows: Rows) -> Mask:
    snapshot = view.snapshot
    if comparison.operator in _EQUALITIES:
        kinds = [snapshot.schema.kind(text).index for text in _texts(comparison)]
        masks = [snapshot.is_of_kind(rows, kind) for kind in kinds]
        return np.logical_or.reduce([np.zeros(len(rows), np.bool_), *masks]) ^ _is_negative(comparison)
    leading = snapshot.kind_sets.leading[snapshot.twins.kind_set.take(rows)]
    names = [kind.name for kind in snapshot.schema.kinds]
    return verdicts([*names, None], comparison)[leading]  # -1, the last: no kind


_FIELDS: Final[dict[TextField, Callable[[View, Comparison, Rows], Mask]]] = {
    TextField.ID: _id_test,
    TextField.LOCAL_ID: _local_id_test,
    TextField.NAME: _name_test,
    TextField.KIND: _kind_test,
    TextField.SITE: _site_test,
    TextField.EXTERNAL_ID: _external_test,
}
_INDEXES: Final[dict[TextField, Callable[[View, Sequence[str]], Found]]] = {
    TextField.ID: _rows_of_ids,
    TextField.LOCAL_ID: _rows_of_local_ids,
    TextField.NAME: _rows_of_names,
    TextField.EXTERNAL_ID: _rows_of_external,
}


# One text


def verdicts(texts: Sequence[str | None], comparison: Comparison) -> Mask:
    """bool[n]: for which texts a comparison holds."""
    return np.fromiter((_text_holds(text, comparison) for text in texts), np.bool_, len(texts))


def _is_negative(comparison: Comparison) -> bool:
    return comparison.operator in (Operator.NE, Operator.NOT_IN)


def _texts(comparison: Comparison) -> list[str]:
    operand = comparison.operand
    return [str(item) for item in operand] if isinstance(operand, tuple) else [str(operand)]


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


# Bytes of many texts


def contains(strings: Strings, part: str) -> Mask:
    """bool[n]: which of some texts hold a part."""
    needle = encode_text(part)
    begin, end = strings.offsets[:-1], strings.offsets[1:]
    if not needle:
        return np.ones(len(strings), np.bool_)
    data = strings.data[: int(end[-1]) if len(end) else 0]
    hits = np.flatnonzero(data[: max(0, len(data) - len(needle) + 1)] == needle[0])
    for place in range(1, len(needle)):
        hits = hits[data[hits + place] == needle[place]]
    # A hit may begin in one text and end in the next.
    owner = np.searchsorted(end, hits, side="right")
    hits, owner = hits[owner < len(end)], owner[owner < len(end)]
    found = np.zeros(len(strings), np.bool_)
    found[owner[(hits >= begin[owner]) & (hits + len(needle) <= end[owner])]] = True
    return found


def starts_with(strings: Strings, part: str) -> Mask:
    """bool[n]: which of some texts begin with a part."""
    needle = encode_text(part)
    begin = strings.offsets[:-1]
    hits = np.flatnonzero(np.diff(strings.offsets) >= len(needle))
    for place in range(len(needle)):
        hits = hits[strings.data[begin[hits] + place] == needle[place]]
    found = np.zeros(len(strings), np.bool_)
    found[hits] = True
    return found
