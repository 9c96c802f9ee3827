"""Queries over several servers: run on what is known, ask peers for what was read, run again on all of it.

The ordinary execution answers, compiled or by resolvers, over one snapshot of our sites and of what peers
told for this query alone. Peers are only asked for who sees everything here: for others nothing is passed on.
"""

# graphql-core leaves the members of its nodes open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from graphql import (
    EnumValueNode,
    ExecutionResult,
    FieldNode,
    ObjectFieldNode,
    OperationType,
    StringValueNode,
)

from api.schema.context import RequestContext
from api.syntax import nodes_below
from federation.conversation import Conversation, Status, World, names_for
from federation.gathered import EmptySites, StrangerPools
from graph.part_figures import Elsewhere, units_in_use
from graph.tracing import Reads
from graph.union import union
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from api.config import Federation
    from api.operation import Answer, Prepared
    from federation.asking import QueryAsk
    from federation.gather import Gatherer
    from federation.partners import Partner
    from federation.replicated import Replicas
    from graph.plan import Grouping
    from graph.series import Series, SeriesQuery
    from graph.snapshot import Snapshot

Run: TypeAlias = "Callable[[Prepared], Answer]"
TWINS_MAX: Final = 100_000
"""Twins of peers that one query holds; then it asks no more."""
_OF_POINTS: Final = frozenset({"value", "text", "state", "time", "quality", "qualityReason", "unit"})
_ALIASES: Final = {"externalId": "externalIds"}
_OWN: Final = ("name", "localId", "externalIds")


@dataclass(frozen=True, slots=True, eq=False)
class Federated:
    """Answers queries that peers have a part in."""

    gatherer: Gatherer
    settings: Federation
    pools: StrangerPools
    empty: EmptySites
    replicas: Replicas

    @property
    def partners(self) -> tuple[Partner, ...]:
        return self.gatherer.partners.known

    def concerns(self, prepared: Prepared) -> bool:
        """Whether there is anybody to ask, and anything to ask for."""
        traits = prepared.known.traits
        is_query = prepared.operation.operation is OperationType.QUERY
        return self.has_partners and is_query and not traits.is_introspection

    @property
    def has_partners(self) -> bool:
        """Whether there is any peer with which something about queries was agreed."""
        return any(not partner.is_silent for partner in self.partners)

    def answer(self, prepared: Prepared, run: Run, resolve: Run) -> Answer:
        """run: by a plan where there is one; resolve: by the resolvers, which tell which field failed."""
        context = prepared.context
        if not context.mesh.sites:
            return run(prepared)
        own = context.present().snapshot
        if not context.principal.sees_all:
            return _told(run(prepared), _denied(self.partners), is_full=False)
        words = _Words.of(prepared)
        question = _Question(self, prepared, own, self._conversations(words, own), words.words)
        return question.answer(run, resolve)

    def _conversations(self, words: _Words, own: Snapshot) -> list[Conversation]:
        names = names_for(self.partners, own.sites)
        known = {*own.schema.attributes, *own.attribute_names(), *own.edge_attribute_names()}
        return [
            Conversation(
                partner,
                names[partner.key],
                words.wanted(partner),
                words.withheld(partner, known),
                self.settings.query_deadline_s,
            )
            for partner in self.partners
        ]


@dataclass(eq=False)
class _Question:
    """One query, over several runs."""

    federated: Federated
    prepared: Prepared
    own: Snapshot
    conversations: list[Conversation]
    words: frozenset[str]

    @cached_property
    def names(self) -> frozenset[str]:
        """Of attributes that our twins have."""
        return frozenset(self.own.attribute_names())

    def answer(self, run: Run, resolve: Run) -> Answer:
        """Run and ask until nothing new is read, or too often."""
        names = {name for each in self.conversations for name in each.names.values()}
        # A filter that names a peer's site has to find that there is one.
        snapshot = self._joined() if names & self.words else self.own
        for _ in range(self.federated.settings.query_rounds_max):
            context, reads = self._context(snapshot)
            answer = self._answered(context, run, resolve)
            asks = self._asks(World(snapshot, self.own.size, self.own.bases, reads, self.names, self.units))
            if asks and self._twins <= TWINS_MAX:
                self._ask(asks)
            if not self._read_replicas() and not asks:
                if context.present().has_missed:
                    # Only now is it known that nobody has it, so only now it is told what is like it.
                    context, reads = self._context(snapshot, hints=True)
                    answer = self._answered(context, run, resolve)
                return self._with_sources(answer, is_whole=not reads.unread)
            if self._twins > TWINS_MAX:
                return self._with_sources(answer, is_whole=False)
            snapshot = self._joined()
        context, _ = self._context(snapshot, hints=True)
        return self._with_sources(self._answered(context, run, resolve), is_whole=False)

    def _answered(self, context: RequestContext, run: Run, resolve: Run) -> Answer:
        """Resolvers tell of each field that failed, so they answer where one may."""
        return (resolve if context.present().dark else run)(replace(self.prepared, context=context))

    def _context(self, snapshot: Snapshot, *, hints: bool = False) -> tuple[RequestContext, Reads]:
        before = self.prepared.context
        context = RequestContext.over(snapshot, before.services, before.principal)
        view, reads = context.present(), Reads(snapshot.size)
        view.reads, view.hints = reads, hints
        view.figures, view.units_elsewhere = self._figures, self.units_elsewhere
        view.series = self._series
        view.dark = {
            base: _unanswered(each)
            for each in self.conversations
            if each.is_dark
            for base in each.partner.bases
        }
        return context, reads

    def _figures(self, grouping: Grouping) -> Elsewhere:
        """What peers told of an aggregate instead of twins."""
        told = [(each, part) for each in self.conversations if (part := each.figures.part(grouping))]
        sites = frozenset(name for each, _ in told for name in each.names.values())
        return Elsewhere(tuple(part.groups for _, part in told), sites)

    def _series(self, point: str, query: SeriesQuery) -> Series | None:
        """What the owner of a point told of its readings over time."""
        owner = next((each for each in self.conversations if each.owns(point)), None)
        return None if owner is None else owner.series.of(point, query)

    def _check_units(self) -> None:
        """Where numbers of one attribute are in several units, figures do not join: twins are asked for."""
        parts = [part for each in self.conversations for part in each.figures.parts if part.units]
        if not parts:
            return
        view = RequestContext.over(self.own, self.prepared.context.services, self.prepared.context.principal)
        stated = units_in_use(view.present(), sorted({name for part in parts for name in part.compared}))
        for part in parts:
            for name, units in part.units.items():
                stated[name] = stated.get(name, frozenset()) | frozenset(units)
        for part in parts:
            if any(len(stated.get(name, ())) > 1 for name in part.compared):
                for each in self.conversations:
                    if each.partner.gives_rows:
                        each.figures.refuse(part.grouping)

    @cached_property
    def units_elsewhere(self) -> dict[str, frozenset[str | None]]:
        """By attribute that the query may read, units that peers' numbers are in."""
        found: dict[str, frozenset[str | None]] = {}
        for each in self.conversations:
            catalogue = each.partner.catalogue
            for usage in () if catalogue is None else catalogue.usage:
                if usage.units and usage.name in self.words:
                    found[usage.name] = found.get(usage.name, frozenset()) | frozenset(usage.units)
        return found

    @cached_property
    def units(self) -> dict[str, str]:
        """What a number without a unit is in, of attributes that are stated in several; as in one folder."""
        declared = {name: self.own.schema.attribute(name) for name in self.units_elsewhere}
        named = {name: each.unit for name, each in declared.items() if each is not None and each.unit}
        view = RequestContext.over(self.own, self.prepared.context.services, self.prepared.context.principal)
        own = units_in_use(view.present(), named)
        return {
            name: unit
            for name, unit in named.items()
            if len(self.units_elsewhere[name] | own.get(name, frozenset())) > 1
        }

    def _read_replicas(self) -> bool:
        """Of peers that turned out to be dark; whether there is anything new."""
        replicas, schema = self.federated.replicas, self.own.schema
        found = [each.read_replicas(replicas, schema) for each in self.conversations]
        return any(found)

    @property
    def _twins(self) -> int:
        return sum(len(site.twins) for each in self.conversations for site in each.sites.values())

    def _asks(self, world: World) -> dict[str, tuple[Partner, QueryAsk]]:
        bytes_max = self.federated.settings.answer_bytes_max
        asks = ((each, each.next_ask(world, bytes_max)) for each in self.conversations)
        return {each.partner.key: (each.partner, ask) for each, ask in asks if ask is not None}

    def _ask(self, asks: Mapping[str, tuple[Partner, QueryAsk]]) -> None:
        by_key = {each.partner.key: each for each in self.conversations}
        left_s = {key: by_key[key].left_s for key in asks}
        for key, outcome in self.federated.gatherer.ask(asks, left_s).items():
            conversation = by_key[key]
            conversation.left_s -= outcome.took_s
            if outcome.answer is None:
                conversation.failed(outcome.code or "PEER_GARBAGE")
            else:
                conversation.take(outcome.answer, self.own.schema)
        self._check_units()

    def _joined(self) -> Snapshot:
        """Our sites and what was told so far, as one; in pools that go when strangers have filled them."""
        own = self.own
        pools = self.federated.pools.over(own.pools)
        parts = list(own.parts or (own,))
        for conversation in self.conversations:
            try:
                sites = conversation.sites.values()
                parts += [self.federated.empty.of(each, own.schema, pools) for each in sites]
            except TwinmeshError as error:
                # More distinct values than a pool can number: nothing of this peer is shown.
                conversation.sites.clear()
                conversation.failed(error.code)
        return union(parts, own.schema, pools)

    def _with_sources(self, answer: Answer, *, is_whole: bool) -> Answer:
        engaged = [each for each in self.conversations if each.is_engaged]
        if not engaged:
            return answer
        now_s = time.monotonic()
        sources = [source for each in engaged for source in each.sources(now_s)]
        is_full = is_whole and all(each.status is Status.ANSWERED for each in engaged)
        return _told(answer, [*_own_sources(self.own), *sources], is_full=is_full)


def _unanswered(conversation: Conversation) -> TwinmeshError:
    message = f"{conversation.partner.peer.name} did not answer"
    return TwinmeshError(message, code=conversation.code or "PEER_TIMEOUT")


def _own_sources(own: Snapshot) -> Iterator[dict[str, Any]]:
    for head in own.heads:
        yield {
            "site": head.name,
            "peer": None,
            "status": Status.ANSWERED.value,
            "ageS": 0.0,
            "revision": str(head.revision),
            "rows": None,
        }


def _denied(partners: Sequence[Partner]) -> list[dict[str, Any]]:
    """For who does not see everything here: nothing is passed on, so that nobody sees more by asking us."""
    return [
        {
            "site": name,
            "peer": partner.peer.name,
            "status": Status.DENIED.value,
            "ageS": None,
            "revision": None,
            "rows": 0,
            "code": "NOT_PASSED_ON",
        }
        for partner in partners
        if not partner.is_silent
        for name in [site.name for site in partner.sites] or partner.peer.sites
    ]


def _told(answer: Answer, sources: Sequence[Mapping[str, Any]], *, is_full: bool) -> Answer:
    """An answer with where it came from."""
    if not sources:
        return answer
    completeness = "FULL" if is_full else "PARTIAL"
    extensions = {
        **(answer.result.extensions or {}),
        "sources": list(sources),
        "completeness": completeness,
    }
    return replace(answer, result=ExecutionResult(answer.result.data, answer.result.errors, extensions))


@dataclass(frozen=True, slots=True)
class _Words:
    """All words of an operation and its variables: an attribute that is read is named by one of them.

    all_attributes: it lists attributes without naming them.
    """

    words: frozenset[str]
    all_attributes: bool

    @classmethod
    def of(cls, prepared: Prepared) -> _Words:
        words = set(_texts(dict(prepared.request.variables)))
        all_attributes = False
        for node in nodes_below(prepared.document):
            if isinstance(node, FieldNode | ObjectFieldNode):
                words.add(node.name.value)
            elif isinstance(node, StringValueNode | EnumValueNode):
                words.add(node.value)
            if isinstance(node, FieldNode) and node.name.value == "attributes" and not node.arguments:
                all_attributes = True
        if words & _OF_POINTS:
            words |= {"value", "valueType", "unit"}
        if "history" in words:
            words |= {"valueType", "unit"}
        if "search" in words:
            words |= set(_OWN)
        return cls(frozenset(_ALIASES.get(word, word) for word in words), all_attributes)

    def wanted(self, partner: Partner) -> tuple[str, ...] | None:
        """Names of the partner's attributes that the operation may read; None: of all."""
        if self.all_attributes or partner.catalogue is None:
            return None
        return tuple(sorted(name for name in partner.catalogue.names if self._names(name)))

    def withheld(self, partner: Partner, known: set[str]) -> tuple[str, ...]:
        """What the operation reads, as far as we know such attributes, and the contract does not show."""
        if partner.catalogue is None:
            return ()
        shown = set(partner.catalogue.names)
        points = {"value"} if self.words & (_OF_POINTS - {"unit"}) else set[str]()
        own = {*_OWN, "history"} & self.words
        asked = {name for name in known if self._names(name)} | own | points
        return tuple(sorted(asked - shown - {"valueType", "unit", "localId"}))

    def _names(self, attribute: str) -> bool:
        return attribute in self.words or attribute.replace("x:", "x_", 1) in self.words


def _texts(value: object) -> Iterator[str]:
    """All texts in some variables, names of members too; they are bounded before."""
    stack: list[object] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            stack += [*cast("dict[str, object]", item), *cast("dict[str, object]", item).values()]
        elif isinstance(item, list):
            stack += cast("list[object]", item)
