"""What servers come to before a plan: who reads which twin of whom, and who can be hit at all."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from federation.joint.kept import Boundary
from federation.joint.letters import Asked, Granted, Touched
from ontology.errors import InputError, LimitError
from simulation.compile import draft_case, reached_from
from simulation.nodes import Nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from federation.coarse import Coarse
    from federation.joint.letters import Content
    from federation.joint.part import Token
    from graph.snapshot import Snapshot
    from simulation.compile import Draft
    from simulation.scenario import Scenario
    from simulation.world import Bools

TOKEN_BYTES: Final = 16
BOUNDARY_MAX: Final = 20_000
"""Most twins of ours that one partner may read, and of others that we read."""


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What a server brings to a cascade.

    name: of the server (its fingerprint). owners: rows of the snapshot that stand for twins of other servers,
    and whose. readable: bool[size] for a partner, what it may read of ours; called before anything is told.
    named: the snapshot with the ids by which a partner knows our twins, of which it may read these.
    granted: told once a partner was given tokens of these rows, by these ids, before any of them leaves.
    coarse: how coarse levels are that a partner is told; None: exact.
    """

    name: str
    snapshot: Snapshot
    scenario: Scenario
    owners: Mapping[int, str]
    readable: Callable[[str], Bools]
    granted: Callable[[str, list[int], list[str]], None]
    unknown: bool = False
    coarse: Callable[[str], Coarse | None] = lambda _: None
    named: Callable[[str, Bools], Snapshot] | None = None  # None: by their own


class Agreement:
    """The acts AGREE and TOUCH. Letters are by receiver, not packed yet.

    boundary: what was agreed upon; hit: bool[rows], who can be hit as far as is known.
    """

    def __init__(self, world: World, lit: frozenset[str]) -> None:
        """lit: servers that take part."""
        self._world, self._lit = world, lit
        self.boundary = Boundary()
        self.hit: Bools = np.zeros(0, np.bool_)
        self._draft: Draft | None = None
        self._said: set[Token] = set()

    @property
    def draft(self) -> Draft:
        """The own world as it was when the act TOUCH began. InputError JOINT_ORDER before."""
        if self._draft is None:
            raise InputError("acts of a cascade in a wrong order", code="JOINT_ORDER")
        return self._draft

    def close(self) -> None:
        """The draft was used; it is large."""
        self._draft = None

    def ask(self) -> dict[str, Content]:
        wanted: dict[str, list[str]] = {}
        for row, owner in self._world.owners.items():
            if owner in self._lit:
                wanted.setdefault(owner, []).append(self._world.snapshot.id(row))
        if len(self._world.owners) > BOUNDARY_MAX:
            message = f"{len(self._world.owners):,} twins of other servers; at most {BOUNDARY_MAX:,}"
            raise LimitError(message, code="JOINT_BOUNDARY")
        return {owner: Asked(sorted(iris)) for owner, iris in wanted.items()}

    def grant(self, sender: str, asked: Asked) -> dict[str, Content]:
        """Tokens made anew for this cascade and reader. What is not there and not shown look alike."""
        if len(asked.iris) > BOUNDARY_MAX:
            raise LimitError(f"at most {BOUNDARY_MAX:,} twins may be read", code="JOINT_BOUNDARY")
        snapshot, boundary = self._world.snapshot, self.boundary
        readable = self._world.readable(sender)
        named = self.named(sender, readable)
        rows = [row for iri in sorted(set(asked.iris)) if (row := named.row(iri)) >= 0 and readable[row]]
        rows = [row for row in rows if row not in self._world.owners]
        if not rows:
            return {sender: Granted({})}
        self._world.granted(sender, rows, [named.id(row) for row in rows])
        media = draft_media(snapshot, rows)
        told: dict[str, tuple[bytes, str]] = {}
        for row, medium in zip(rows, media, strict=True):
            token = secrets.token_bytes(TOKEN_BYTES)
            boundary.exports[token], boundary.reader[token] = row, sender
            told[named.id(row)] = (token, medium)
        return {sender: Granted(told)}

    def named(self, partner: str, readable: Bools) -> Snapshot:
        """Our snapshot with the ids that this partner knows."""
        world = self._world
        return world.named(partner, readable) if world.named else world.snapshot

    def take_grant(self, sender: str, granted: Granted) -> None:
        seen = {*self.boundary.exports, *self.boundary.tokens.values()}
        for iri, (token, medium) in granted.twins.items():
            row = self._world.snapshot.row(iri)
            if self._world.owners.get(row) != sender or len(token) != TOKEN_BYTES or token in seen:
                raise InputError("a partner granted what was not asked", code="JOINT_MESSAGE_INVALID")
            seen.add(token)
            self.boundary.tokens[row], self.boundary.media[row] = token, medium

    def begin_touch(self) -> None:
        world, boundary = self._world, self.boundary
        foreign = {row: boundary.media.get(row, "") for row in world.owners}
        draft = draft_case(world.snapshot, world.scenario, unknown=world.unknown, foreign=foreign)
        wrong = draft.wrong.copy()
        wrong[list(foreign)] = False  # what stands on a stub says nothing of the twin
        wrong[[row for row in foreign if row not in boundary.tokens]] = True  # nobody says how it is
        self._draft, self.hit = draft, reached_from(draft, wrong)
        self._said = set()

    def touch_news(self) -> dict[str, Content]:
        news: dict[str, list[bytes]] = {}
        for token, row in self.boundary.exports.items():
            if self.hit[row] and token not in self._said:
                news.setdefault(self.boundary.reader[token], []).append(token)
        self._said |= {token for tokens in news.values() for token in tokens}
        return {reader: Touched(sorted(tokens)) for reader, tokens in news.items()}

    def take_touch(self, sender: str, touched: Touched) -> None:
        rows = self._rows_of(sender)
        if not rows.keys() >= set(touched.tokens):
            raise InputError(
                "a partner sent a token that was never agreed upon", code="JOINT_MESSAGE_INVALID"
            )
        hit = self.hit.copy()
        hit[[rows[token] for token in touched.tokens]] = True
        self.hit = reached_from(self.draft, hit)

    def _rows_of(self, sender: str) -> dict[Token, int]:
        """Foreign rows of a sender by token."""
        owners = self._world.owners
        return {token: row for row, token in self.boundary.tokens.items() if owners[row] == sender}


def draft_media(snapshot: Snapshot, rows: list[int]) -> list[str]:
    """What each twin gives as a source, by its kinds."""
    return Nodes(snapshot).media(np.array(rows, np.int32))
