"""The contracts of a data folder, every version of them: put, ended, in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from federation.chain import Chain
from federation.contract import NOTHING, Contract, Grant, Naming
from federation.opaque import Names
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from federation.chain import Link
    from federation.keys import OwnKey
    from federation.store import FederationStore
    from ontology.errors import Problem


class _Stored(msgspec.Struct, frozen=True):
    """A version as it is stored; `contract` None ends all that was agreed."""

    contract: Contract | None
    text: str  # as the operator wrote it


_STORED: Final = msgspec.msgpack.Decoder(_Stored)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of what is agreed with a partner. contract None: from here on nothing is."""

    partner: str
    number: int
    time_ns: int
    contract: Contract | None
    text: str


_NEXT: Final = "SELECT coalesce(max(version), 0) + 1 FROM contracts WHERE partner = ?"


class Contracts:
    """Versions are only added: widening, narrowing and ending a contract are new versions. StoreError."""

    def __init__(self, store: FederationStore, key: OwnKey) -> None:
        self._store, self._key = store, key
        self._chain = Chain(store, "contracts", key)

    def put(self, contract: Contract, text: str, time_ns: int) -> int:
        """Agree a new version from now on; its number. Durable on return."""
        return self._append(contract.partner, _Stored(contract, text), time_ns)

    def end(self, partner: str, time_ns: int) -> int | None:
        """Nothing is agreed from now on; None where nothing was."""
        if self.grant(partner).contract is None:
            return None
        return self._append(partner, _Stored(None, ""), time_ns)

    def grant(self, partner: str) -> Grant:
        """What the newest version allows; nothing where there is none. StoreError FEDERATION_CORRUPT."""
        link = self._chain.last_of(partner)
        if link is None:
            return NOTHING
        version = _version(link)
        # A row written under another partner's name grants nothing.
        fits = version.contract is not None and version.contract.partner == partner
        contract = version.contract if fits else None
        is_opaque = contract is not None and contract.ids is Naming.OPAQUE
        return Grant(contract, version.number, Names.of(self._key, partner) if is_opaque else None)

    def versions(self, partner: str | None = None) -> Iterator[Version]:
        """Every version in order of time."""
        return (_version(link) for link in self._chain.links(partner=partner))

    def verify(self) -> list[Problem]:
        """What was changed in the chain; empty: nothing."""
        return self._chain.verify()

    def _append(self, partner: str, stored: _Stored, time_ns: int) -> int:
        def next_version(connection: sqlite3.Connection) -> int:
            return int(connection.execute(_NEXT, (partner,)).fetchone()[0])

        (link,) = self._chain.append(time_ns, partner, [msgspec.msgpack.encode(stored)], next_version)
        return link.version


def _version(link: Link) -> Version:
    try:
        stored = _STORED.decode(link.content)
    except msgspec.MsgspecError as error:
        place = Place(item=f"contract {link.number}")
        raise StoreError("a contract cannot be read", code="FEDERATION_CORRUPT", place=place) from error
    return Version(link.partner, link.version, link.time_ns, stored.contract, stored.text)
