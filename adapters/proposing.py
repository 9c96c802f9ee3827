"""Which address may carry which point: names compared, one clear answer or none.

A proposer of a protocol lists candidates; what is written down and bound is decided by a person.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from graph.snapshot import Snapshot

KEY_LENGTH_MIN = 2  # shorter names are chance


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that carries a value. `names`: what it may be known by, the most telling first; `value_type`:
    as a point would state it, None: unknown; `fields`: further keys of its binding, e.g. `pointer`."""

    address: str
    names: tuple[str, ...]
    value_type: str | None = None
    unit: str | None = None
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """A binding that could be. `by` is the name that both have."""

    address: str
    point: str
    by: str
    unit: str | None
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A candidate that may mean several points, shares its point with others, or does not fit it."""

    address: str
    reason: str


@dataclass(frozen=True, slots=True)
class Proposals:
    """`unmatched`: addresses that no point is named like; `unbound`: points that nothing is named like."""

    proposals: tuple[Proposal, ...]
    doubts: tuple[Doubt, ...]
    unmatched: tuple[str, ...]
    unbound: tuple[str, ...]


def propose(candidates: Sequence[Candidate], snapshot: Snapshot) -> Proposals:
    """Match candidates and points of a site by local id, name and external ids, without case and signs.

    A name that several points or candidates of the same rank share decides nothing: that is told as a doubt.
    """
    points = _points_by_key(snapshot)
    found = [(candidate, *_match(candidate, points)) for candidate in candidates]
    rivals: dict[int, list[str]] = {}
    for candidate, rows, _ in found:
        if len(rows) == 1:
            rivals.setdefault(next(iter(rows)), []).append(candidate.address)
    proposals: list[Proposal] = []
    doubts: list[Doubt] = []
    for candidate, rows, by in found:
        doubt = _doubt(candidate, rows, rivals, snapshot)
        if doubt is not None:
            doubts.append(Doubt(candidate.address, doubt))
        elif rows:
            point = snapshot.local_id(next(iter(rows)))
            proposals.append(Proposal(candidate.address, point, by, candidate.unit, candidate.fields))
    unmatched = tuple(candidate.address for candidate, rows, _ in found if not rows)
    taken = {proposal.point for proposal in proposals}
    rows = snapshot.rows_of_kind(snapshot.schema.point_kind)
    unbound = tuple(name for name in snapshot.local_ids(rows) if name not in taken)
    return Proposals(tuple(proposals), tuple(doubts), unmatched, unbound)


def bindings_file(proposals: Iterable[Proposal], address_key: str) -> str:
    """The proposals as a bindings file; `address_key` is `node` or `topic`."""
    return "\n".join(_table(proposal, address_key) for proposal in proposals)


def key_of(name: str) -> str:
    """A name without case and signs: `Line1.Rate`, `LINE-1_RATE` and `line 1 rate` are one."""
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def _table(proposal: Proposal, address_key: str) -> str:
    # A text of JSON is a basic string of TOML.
    stated = [(address_key, proposal.address), ("point", proposal.point), *proposal.fields]
    if proposal.unit is not None:
        stated.append(("unit", proposal.unit))
    return "".join(["[[binding]]\n", *(f"{key} = {json.dumps(value)}\n" for key, value in stated)])


def _points_by_key(snapshot: Snapshot) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for row in snapshot.rows_of_kind(snapshot.schema.point_kind).tolist():
        for name in _names_of(snapshot, row):
            found.setdefault(key_of(name), set()).add(row)
    return found


def _names_of(snapshot: Snapshot, row: int) -> Iterator[str]:
    yield snapshot.local_id(row)
    name = snapshot.name(row)
    if name:
        yield name
    for external in snapshot.external_ids(row):
        yield external.id


def _match(candidate: Candidate, points: Mapping[str, set[int]]) -> tuple[set[int], str]:
    """Rows of the points that the most telling name means, and that name."""
    for name in candidate.names:
        key = key_of(name)
        if len(key) >= KEY_LENGTH_MIN and key in points:
            return points[key], name
    return set(), ""


def _doubt(
    candidate: Candidate, rows: set[int], rivals: Mapping[int, list[str]], snapshot: Snapshot
) -> str | None:
    if len(rows) > 1:
        names = ", ".join(sorted(snapshot.local_id(row) for row in rows)[:5])
        return f"may be any of {names}"
    for row in rows:
        others = [address for address in rivals[row] if address != candidate.address]
        if others:
            return f"{snapshot.local_id(row)} may also be {', '.join(others[:5])}"
        stated = snapshot.value_type(row).value
        if candidate.value_type is not None and not _fits(candidate.value_type, stated):
            return f"{snapshot.local_id(row)} holds {stated}, this is {candidate.value_type}"
    return None


def _fits(offered: str, stated: str) -> bool:
    """Whether readings of one type may feed a point of another: integers feed codes by `states`."""
    if offered == "integer":
        return stated in ("number", "counter", "code")
    return offered == stated or (offered, stated) == ("text", "code")
