"""Figures that a peer tells instead of twins: which were asked for, and what it told, ready to be joined."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from federation.asking import ITEMS_MAX, FiguresAsk
from federation.figures import FREE_KEYS, names_beside
from federation.predicates import exact_for_peer, names_of, to_wire, with_units
from graph.exact_sums import ExactSum, unpacked
from graph.grouping import GROUPS_MAX
from graph.part_figures import PartFigure, PartGroup, attributes_of, is_joinable
from graph.plan import POINT_VALUE, TextField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from federation.asking import FiguresTold, FigureTold
    from federation.conversation import Conversation, World
    from graph.plan import Grouping, GroupKey, Predicate
    from graph.values import JSONValue
    from ontology.schema import Schema


@dataclass(frozen=True, eq=False)
class Part:
    """What a peer told of one aggregate.

    compared: attributes whose numbers have to be in one unit everywhere, else figures mean different things.
    units: what the peer's are in.
    """

    grouping: Grouping
    groups: tuple[PartGroup, ...]
    compared: tuple[str, ...]
    units: Mapping[str, tuple[str | None, ...]]


@dataclass(eq=False)
class Told:
    """by_rows: matches of aggregates that have to be made of twins, where the peer shows any."""

    is_less: bool = False
    by_rows: list[tuple[str | None, Predicate | None]] = field(
        default_factory=list["tuple[str | None, Predicate | None]"]
    )
    _known: list[Grouping] = field(default_factory=list["Grouping"])
    _asked: list[tuple[Grouping, tuple[str, ...]]] = field(
        default_factory=list["tuple[Grouping, tuple[str, ...]]"]
    )
    _parts: list[Part] = field(default_factory=list[Part])

    def next_asks(self, world: World, said: Conversation) -> tuple[FiguresAsk, ...]:
        """Aggregates that were not asked for yet, as far as figures tell all there is to tell."""
        self._asked = []
        asks: list[FiguresAsk] = []
        for grouping in world.reads.grouped:
            if grouping in self._known:
                continue
            ask = _ask(grouping, world, said) if len(asks) < ITEMS_MAX else None
            self._known.append(grouping)
            if ask is None:
                self.refuse(grouping)
            elif ask is not False:
                asks.append(ask[0])
                self._asked.append((grouping, ask[1]))
        return tuple(asks)

    def refuse(self, grouping: Grouping) -> None:
        """Figures do not do for this one: it is made of twins, where they are shown."""
        self._parts = [part for part in self._parts if part.grouping != grouping]
        self.by_rows.append((grouping.kind, grouping.where))

    def take(self, told: Sequence[FiguresTold], said: Conversation, schema: Schema) -> str | None:
        """Take in what was told; a code where that does not fit what was asked."""
        fits = len(told) == len(self._asked) and all(
            _fits(grouping, each) for (grouping, _), each in zip(self._asked, told, strict=True)
        )
        if not fits:
            return "PEER_GARBAGE"
        for (grouping, compared), figures in zip(self._asked, told, strict=True):
            groups = _Reading(grouping, said.names, schema, said.partner.gives_rows).groups(figures)
            if groups is None:
                self.refuse(grouping)
                continue
            self.is_less = self.is_less or figures.is_less
            self._parts.append(Part(grouping, groups, compared, figures.units))
        self._asked = []
        return None

    @property
    def parts(self) -> Sequence[Part]:
        return self._parts

    def part(self, grouping: Grouping) -> Part | None:
        """What was told of an aggregate."""
        return next((part for part in self._parts if part.grouping == grouping), None)


# Asking


def _ask(
    grouping: Grouping, world: World, said: Conversation
) -> tuple[FiguresAsk, tuple[str, ...]] | Literal[False] | None:
    """The ask, and `Part.compared`. False: the peer has no twin that fits; None: figures do not do."""
    stated = None if grouping.where is None else with_units(grouping.where, world.units)
    judged = exact_for_peer(stated, tuple(said.names.values()), said.partner.bases)
    if judged is False:
        return False
    keys = tuple(key.name for key in grouping.keys)
    of = attributes_of(grouping.measures)
    where = None if isinstance(judged, bool) else judged
    can = judged is not None and _can_group(grouping)
    if said.partner.gives_rows:
        can = can and _is_shown(grouping, world, said) and is_joinable(grouping.measures)
    elif judged is not True:
        can = False
    iri = None if grouping.kind is None else world.schema.kind(grouping.kind).iri
    if not can:
        return None
    wire = None if where is None else to_wire(where)
    return FiguresAsk(iri, keys, of, wire), tuple(names_beside(keys, of, where))


def _can_group(grouping: Grouping) -> bool:
    return all(not key.steps and key.name != TextField.ID.value for key in grouping.keys)


def _is_shown(grouping: Grouping, world: World, said: Conversation) -> bool:
    """Whether the contract names all that the figures need, and our data know of it."""
    catalogue = said.partner.catalogue
    if catalogue is None or len(catalogue.sites) != len(said.partner.sites):
        return False
    of = set(attributes_of(grouping.measures)) - {POINT_VALUE}
    needed = (of | {key.name for key in grouping.keys} | names_of(grouping.where)) - FREE_KEYS
    own = {field.value for field in TextField} | {"externalIds", POINT_VALUE}
    known = {*world.schema.attributes, *world.own_names, *own}
    return needed <= set(catalogue.names) and needed <= known


# Taking


def _fits(grouping: Grouping, told: FiguresTold) -> bool:
    of = attributes_of(grouping.measures)
    return len(told.groups) <= GROUPS_MAX and all(
        len(group.keys) == len(grouping.keys)
        and len(group.figures) == len(of)
        and (0 < group.size < 2**53 or (group.size == 0 and not group.keys))
        and all(each is None or _is_figure(each) for each in group.figures)
        for group in told.groups
    )


def _is_figure(told: FigureTold) -> bool:
    ends = (told.low or 0.0, told.high or 0.0)
    has_ends = told.low is not None and told.high is not None
    counts = 0 <= told.numbers <= told.count < 2**53
    is_sum = unpacked(told.total) is not None and bool(told.numbers or not told.total)
    return counts and is_sum and all(map(math.isfinite, ends)) and has_ends == (told.numbers > 0)


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """How one aggregate's groups are read. sites: by the names that we have for them."""

    grouping: Grouping
    sites: Mapping[str, str]
    schema: Schema
    is_strict: bool

    def groups(self, told: FiguresTold) -> tuple[PartGroup, ...] | None:
        """None where only twins can tell: the peer says so, or has kinds that we do not know."""
        if told.code is not None:
            return None
        if self.is_strict and not all(self._is_known(group.keys) for group in told.groups):
            return None
        return tuple(
            PartGroup(
                tuple(self._key(key.name, value) for key, value in self._pairs(group.keys)),
                group.size,
                tuple(None if each is None else _part(each) for each in group.figures),
            )
            for group in told.groups
        )

    def _pairs(self, keys: Sequence[JSONValue]) -> list[tuple[GroupKey, JSONValue]]:
        return list(zip(self.grouping.keys, keys, strict=True))

    def _is_known(self, keys: Sequence[JSONValue]) -> bool:
        kinds = [value for key, value in self._pairs(keys) if key.name == TextField.KIND.value]
        return all(kind is None or self.schema.kind_by_iri(str(kind)) is not None for kind in kinds)

    def _key(self, name: str, value: JSONValue) -> JSONValue:
        if name == TextField.SITE.value:
            return self.sites.get(str(value), str(value))
        if name == TextField.KIND.value and value is not None:
            kind = self.schema.kind_by_iri(str(value))
            return str(value) if kind is None else kind.name
        return value


def _part(told: FigureTold) -> PartFigure:
    total = ExactSum(unpacked(told.total) or 0)
    return PartFigure(told.count, told.numbers, total, told.low, told.high, told.unit)
