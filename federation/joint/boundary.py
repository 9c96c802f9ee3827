"""Where one server's twins end and others' begin, and what a partner may read across."""

from __future__ import annotations

import time
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from federation.contract import Purpose
from federation.ledger import Disclosure
from federation.masks import masks
from federation.opaque import veiled
from simulation.network import build_network, has_unknown
from simulation.nodes import Nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from federation.coarse import Coarse
    from federation.contract import Grant
    from federation.node import Node
    from graph.snapshot import Snapshot
    from simulation.world import Bools

SIGNAL: Final = "service level over time"
"""What the ledger calls that which leaves of a boundary twin."""


def foreign_rows(snapshot: Snapshot, bases: Mapping[str, Mapping[str, str]]) -> dict[int, str]:
    """Stubs that stand for twins of known servers, and whose: by the longest base; those of own bases not."""
    known = sorted(
        ((base, owner) for owner, listed in bases.items() for base in listed.values()),
        key=lambda pair: -len(pair[0]),
    )
    found: dict[int, str] = {}
    for row in snapshot.rows_of_kind(snapshot.schema.external_kind).tolist():
        iri = snapshot.id(row)
        owner = next((owner for base, owner in known if iri.startswith(base)), None)
        if owner is not None and not any(iri.startswith(base) for base in snapshot.bases):
            found[row] = owner
    return found


def stated_for(snapshot: Snapshot, owners: Mapping[int, str]) -> frozenset[str]:
    """Servers for whose twins relationships stand here that make them depend on ours.

    Those count at their own server only: where they are not stated there too, one folder would say more.
    """
    if not owners:
        return frozenset()
    dependent = build_network(Nodes(snapshot)).dependent
    rows: list[int] = np.unique(dependent[np.isin(dependent, np.array(list(owners), np.int32))]).tolist()
    return frozenset(owners[row] for row in rows)


class Facts(NamedTuple):
    """What holds of a snapshot in each pass: `stated_for`, and whether some direction is not known."""

    stated_for: frozenset[str]
    has_unknown: bool


class LastFacts:
    """The facts of the snapshot seen last: to find them takes a look at every relationship."""

    def __init__(self) -> None:
        self._last: tuple[Snapshot, dict[int, str], Facts] | None = None

    def of(self, snapshot: Snapshot, owners: Mapping[int, str]) -> Facts:
        last = self._last  # whoever else writes it writes one that holds, too
        if last is None or last[0] is not snapshot or last[1] != owners:
            last = (snapshot, dict(owners), Facts(stated_for(snapshot, owners), has_unknown(snapshot)))
            self._last = last
        return last[2]


def readable_by(node: Node, snapshot: Snapshot) -> Callable[[str], Bools]:
    """bool[size] by fingerprint: twins whose levels a partner may read by its contract, now."""

    def readable(partner: str) -> Bools:
        grant = node.contracts.grant(partner)
        return masks(grant, snapshot, Purpose.CASCADE, time.time_ns()).shown

    return readable


def as_named(grant: Grant, snapshot: Snapshot, shown: Bools) -> Snapshot:
    """The snapshot with the ids by which a partner knows our twins; the same one where they are its own.

    shown: bool[size], twins that the partner may be told of. Where ids are opaque nothing else is found.
    """
    if grant.names is None:
        return snapshot
    return veiled(snapshot, grant.names, shown, np.zeros(snapshot.size, np.bool_))


def named_for(node: Node, snapshot: Snapshot) -> Callable[[str, Bools], Snapshot]:
    """`as_named` by fingerprint, by its contract now."""
    return lambda partner, shown: as_named(node.contracts.grant(partner), snapshot, shown)


def terms_of(node: Node, snapshot: Snapshot, partners: Iterable[str]) -> bytes:
    """A digest of what partners may read of this snapshot now, and under which versions of contracts."""
    digest, readable = sha256(), readable_by(node, snapshot)
    for partner in sorted(partners):
        digest.update(f"{partner} {node.contracts.grant(partner).version}\0".encode())
        digest.update(np.packbits(readable(partner)).tobytes())
    return digest.digest()


def coarse_for(node: Node) -> Callable[[str], Coarse | None]:
    """By fingerprint: how coarse the levels are that a partner is told by its contract."""

    def coarse(partner: str) -> Coarse | None:
        contract = node.contracts.grant(partner).contract
        return contract.signal if contract is not None else None

    return coarse


def note_grants(node: Node, snapshot: Snapshot) -> Callable[[str, list[int], list[str]], None]:
    """Writes into the ledger which twins' levels a partner will be told, before it is told any."""

    def granted(partner: str, rows: list[int], names: list[str]) -> None:
        version = node.contracts.grant(partner).version
        ids = [snapshot.id(row) for row in rows]
        told_as = names if names != ids else ()
        told = Disclosure(partner, version, Purpose.CASCADE, "cascade", 0, ids, (SIGNAL,), told_as=told_as)
        node.ledger.record(told, time.time_ns())

    return granted
