"""Figures over groups, told instead of twins.

A partner that sees no twins is told of groups that are as large as the contract demands, and without a
filter: by the difference of two filters single twins would be told. Differences of kinds, and of a whole and
its groups, remain; `federation/privacy` is for those who fear them. One that sees twins is told all figures:
it asks for them because they are smaller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from federation.asking import FiguresTold, FigureTold, GroupTold
from federation.contract import Release
from federation.predicates import from_wire, names_of, unitless_of
from graph.exact_sums import packed
from graph.execute import matching_rows
from graph.grouping import sortable
from graph.part_figures import run_parts, units_in_use
from graph.plan import POINT_VALUE, GroupKey, TextField
from graph.view import View
from ontology.errors import AccessError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from federation.asking import FiguresAsk
    from federation.contract import Contract
    from federation.sharing import Shared
    from graph.part_figures import PartFigure, PartGroup
    from graph.plan import Predicate
    from graph.view import Budget
    from ontology.schema import Schema
    from ontology.units import Units

FREE_KEYS: Final = frozenset({TextField.KIND.value, TextField.SITE.value})
NO_FIGURES: Final = "FIGURES_NOT_TOLD"


def figures_of(
    ask: FiguresAsk, shared: Shared, contract: Contract, units: Units, budget: Budget
) -> FiguresTold:
    """The groups that may be told. AccessError CONTRACT_FIGURES for what the contract does not name.

    What cannot be put into figures (units that differ, too many groups) is said with its code to a partner
    that may ask for the twins; for the others it is an error.
    """
    check_figures(ask, contract)
    kind = None if ask.kind is None else shared.snapshot.schema.kind_by_iri(ask.kind)
    if ask.kind is not None and kind is None:
        return FiguresTold((), is_less=False)
    view = View(shared.snapshot, units, budget, shared.told)
    where = None if ask.where is None else from_wire(ask.where)
    if contract.release is not Release.ROWS:
        return _figures(view, None if kind is None else kind.iri, where, ask, contract.group_min)
    try:
        return _figures(view, None if kind is None else kind.iri, where, ask, 0)
    except TwinmeshError as error:
        return FiguresTold((), is_less=True, code=error.code)


def _figures(
    view: View, kind: str | None, where: Predicate | None, ask: FiguresAsk, least: int
) -> FiguresTold:
    rows = matching_rows(view, kind, where)
    found = run_parts(view, rows, [GroupKey(name) for name in ask.keys], ask.of)
    schema = view.snapshot.schema
    told = _in_order(_told(group, ask.keys, least, schema) for group in found if group.size >= least)
    is_plain = all(map(_is_plain, found))
    if not (is_plain or least):
        return FiguresTold((), is_less=True, code=NO_FIGURES)
    is_less = len(told) < len(found) or any(None in group.figures for group in told)
    stated = units_in_use(view, names_beside(ask.keys, ask.of, where)) if not least else {}
    units = {name: tuple(sorted(found, key=str)) for name, found in stated.items()}
    return FiguresTold(told, is_less, units)


def _in_order(groups: Iterable[GroupTold]) -> tuple[GroupTold, ...]:
    """By their keys: as they are found, texts that came first to this server stand first, hidden or not."""
    return tuple(sorted(groups, key=lambda group: [sortable(key) for key in group.keys]))


def names_beside(keys: Sequence[str], of: Sequence[str], where: Predicate | None) -> list[str]:
    """Attributes whose numbers mean what they do only beside all others: no unit is said with them."""
    fixed = {field.value for field in TextField}
    return sorted({*of, *keys, *unitless_of(where)} - fixed)


def check_figures(ask: FiguresAsk, contract: Contract) -> None:
    """AccessError CONTRACT_FIGURES."""
    where = None if ask.where is None else from_wire(ask.where)
    hidden = (set(ask.keys) | names_of(where)) - FREE_KEYS - contract.attributes
    hidden |= set(ask.of) - contract.attributes - {POINT_VALUE}
    if hidden or (where is not None and contract.release is not Release.ROWS):
        raise AccessError("the contract does not name what the figures are of", code="CONTRACT_FIGURES")


def _is_plain(group: PartGroup) -> bool:
    """Whether all of it can be told: keys that are no lists, sums that are numbers."""
    keys = all(key is None or isinstance(key, str | int | float | bool) for key in group.keys)
    return keys and all(each is None or each.total.beyond == 0.0 for each in group.figures)


def _told(group: PartGroup, names: Sequence[str], least: int, schema: Schema) -> GroupTold:
    keys = tuple(
        schema.kind(key).iri if name == TextField.KIND.value and isinstance(key, str) else key
        for name, key in zip(names, group.keys, strict=True)
    )
    plain = tuple(key if isinstance(key, str | int | float | bool) else None for key in keys)
    return GroupTold(plain, group.size, tuple(_figure(each, least) for each in group.figures))


def _figure(part: PartFigure | None, least: int) -> FigureTold | None:
    """Nothing of an attribute that only a few of the group have, or of which a few have numbers."""
    if part is None or 0 < part.count < least or 0 < part.numbers < least or part.total.beyond != 0.0:
        return None
    return FigureTold(part.count, part.numbers, packed(part.total.steps), part.low, part.high, part.unit)


def disclosed(asks: Sequence[FiguresAsk], told: Sequence[FiguresTold], schema: Schema) -> Mapping[str, int]:
    """What the ledger keeps: every group, by name, with the number of twins behind it."""
    found: dict[str, int] = {}
    for ask, figures in zip(asks, told, strict=True):
        about = f"{ask.kind or 'any kind'}: {', '.join(ask.of)}"
        about += "" if ask.where is None else f" where {_filter_text(ask.where)}"
        for group in figures.groups:
            keys = ", ".join(
                f"{name}={_key_text(name, key, schema)}"
                for name, key in zip(ask.keys, group.keys, strict=True)
            )
            found[f"{about} by {keys or 'nothing'}"] = group.size
    return found


def _filter_text(where: object) -> str:
    text = str(where)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _key_text(name: str, key: object, schema: Schema) -> object:
    kind = schema.kind_by_iri(key) if name == TextField.KIND.value and isinstance(key, str) else None
    return key if kind is None else kind.name
