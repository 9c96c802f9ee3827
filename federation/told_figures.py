"""Figures of a peer that shows no twins: which were asked for, and what it told, ready to be joined."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from federation.asking import ITEMS_MAX, FiguresAsk
from federation.predicates import for_peer
from graph.grouping import GROUPS_MAX
from graph.part_figures import PartFigure, PartGroup, attributes_of
from graph.plan import TextField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from federation.asking import FiguresTold, FigureTold
    from federation.conversation import Conversation, World
    from graph.plan import Grouping, Predicate


@dataclass(eq=False)
class Told:
    """has_refused: an aggregate has a filter, or a key that such a peer cannot group by."""

    has_refused: bool = False
    is_less: bool = False
    _known: list[Grouping] = field(default_factory=list["Grouping"])
    _asked: list[Grouping] = field(default_factory=list["Grouping"])
    _parts: list[tuple[Grouping, tuple[PartGroup, ...]]] = field(
        default_factory=list["tuple[Grouping, tuple[PartGroup, ...]]"]
    )
    _sites: Mapping[str, str] = field(default_factory=dict[str, str])

    def next_asks(
        self, world: World, said: Conversation
    ) -> tuple[tuple[FiguresAsk, ...], list[tuple[str | None, Predicate | None]]]:
        """Aggregates that were not asked for yet; and all matches that stand for one."""
        self._sites, self._asked = said.names, []
        asks: list[FiguresAsk] = []
        for grouping in world.reads.grouped:
            if grouping in self._known or len(asks) >= ITEMS_MAX:
                continue
            self._known.append(grouping)
            judged = for_peer(grouping.where, tuple(said.names.values()), said.partner.bases)
            if judged is False:
                continue
            if judged is not True or not _can_group(grouping):
                self.has_refused = True
                continue
            iri = None if grouping.kind is None else world.schema.kind(grouping.kind).iri
            keys = tuple(key.name for key in grouping.keys)
            asks.append(FiguresAsk(iri, keys, attributes_of(grouping.measures)))
            self._asked.append(grouping)
        return tuple(asks), [(each.kind, each.where) for each in self._known]

    def take(self, told: Sequence[FiguresTold]) -> str | None:
        """Take in what was told; a code where that does not fit what was asked."""
        if len(told) != len(self._asked) or not all(map(_fits, self._asked, told)):
            return "PEER_GARBAGE"
        for grouping, figures in zip(self._asked, told, strict=True):
            self.is_less = self.is_less or figures.is_less
            self._parts.append((grouping, self._groups(grouping, figures)))
        self._asked = []
        return None

    def parts(self, grouping: Grouping) -> Sequence[tuple[PartGroup, ...]]:
        """What was told of an aggregate."""
        return [groups for known, groups in self._parts if known == grouping]

    def _groups(self, grouping: Grouping, told: FiguresTold) -> tuple[PartGroup, ...]:
        """Sites by the names that we have for them."""
        names = [key.name for key in grouping.keys]
        return tuple(
            PartGroup(
                tuple(
                    self._sites.get(str(key), str(key)) if name == TextField.SITE.value else key
                    for name, key in zip(names, group.keys, strict=True)
                ),
                group.size,
                tuple(None if each is None else _part(each) for each in group.figures),
            )
            for group in told.groups
        )


def _can_group(grouping: Grouping) -> bool:
    return all(not key.steps and key.name != TextField.ID.value for key in grouping.keys)


def _fits(grouping: Grouping, told: FiguresTold) -> bool:
    of = attributes_of(grouping.measures)
    return len(told.groups) <= GROUPS_MAX and all(
        len(group.keys) == len(grouping.keys)
        and len(group.figures) == len(of)
        and 0 < group.size < 2**53
        and all(each is None or _is_figure(each) for each in group.figures)
        for group in told.groups
    )


def _is_figure(told: FigureTold) -> bool:
    ends = (told.total, told.low or 0.0, told.high or 0.0)
    has_ends = told.low is not None and told.high is not None
    counts = 0 <= told.numbers <= told.count < 2**53
    return counts and all(map(math.isfinite, ends)) and has_ends == (told.numbers > 0)


def _part(told: FigureTold) -> PartFigure:
    return PartFigure(told.count, told.numbers, told.total, told.low, told.high, told.unit)
