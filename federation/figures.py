"""Figures over groups for a partner that sees no twins: each over as many twins as the contract demands.

No filter comes with the question: by the difference of two filters single twins would be told. Differences of
kinds, and of a whole and its groups, remain; `federation/privacy` is for those who fear them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from federation.asking import FiguresTold, FigureTold, GroupTold
from graph.part_figures import run_parts
from graph.plan import POINT_VALUE, GroupKey, TextField
from graph.view import View
from ontology.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from federation.asking import FiguresAsk
    from federation.contract import Contract
    from federation.sharing import Shared
    from graph.part_figures import PartFigure, PartGroup
    from graph.view import Budget
    from ontology.units import Units

_FREE_KEYS: Final = frozenset({TextField.KIND.value, TextField.SITE.value})


def figures_of(
    ask: FiguresAsk, shared: Shared, contract: Contract, units: Units, budget: Budget
) -> FiguresTold:
    """The groups that are large enough. AccessError CONTRACT_FIGURES for what the contract does not name."""
    check_figures(ask, contract)
    view = View(shared.snapshot, units, budget, shared.masks.counted)
    kind = None if ask.kind is None else shared.snapshot.schema.kind_by_iri(ask.kind)
    if ask.kind is not None and kind is None:
        return FiguresTold((), is_less=False)
    keys = [GroupKey(name) for name in ask.keys]
    found = run_parts(view, None if kind is None else kind.iri, keys, ask.of)
    told = tuple(_told(group, contract.group_min) for group in found if group.size >= contract.group_min)
    is_less = len(told) < len(found) or any(None in group.figures for group in told)
    return FiguresTold(told, is_less)


def check_figures(ask: FiguresAsk, contract: Contract) -> None:
    """AccessError CONTRACT_FIGURES."""
    hidden = (set(ask.keys) - _FREE_KEYS - contract.attributes) | (
        set(ask.of) - contract.attributes - {POINT_VALUE}
    )
    if hidden:
        raise AccessError("the contract does not name what the figures are of", code="CONTRACT_FIGURES")


def _told(group: PartGroup, least: int) -> GroupTold:
    keys = tuple(key if isinstance(key, str | int | float | bool) else None for key in group.keys)
    return GroupTold(keys, group.size, tuple(_figure(each, least) for each in group.figures))


def _figure(part: PartFigure | None, least: int) -> FigureTold | None:
    """Nothing of an attribute that only a few of the group have, or of which a few have numbers."""
    if part is None or 0 < part.count < least or 0 < part.numbers < least:
        return None
    return FigureTold(part.count, part.numbers, part.total, part.low, part.high, part.unit)


def disclosed(asks: Sequence[FiguresAsk], told: Sequence[FiguresTold]) -> Mapping[str, int]:
    """What the ledger keeps: every group, by name, with the number of twins behind it."""
    found: dict[str, int] = {}
    for ask, figures in zip(asks, told, strict=True):
        about = f"{ask.kind or 'any kind'}: {', '.join(ask.of)}"
        for group in figures.groups:
            keys = ", ".join(f"{name}={key}" for name, key in zip(ask.keys, group.keys, strict=True))
            found[f"{about} by {keys or 'nothing'}"] = group.size
    return found
