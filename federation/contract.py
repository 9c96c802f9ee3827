"""Contracts: what of ours a partner may see, for what, how much, until when. What is not named is denied."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from federation.coarse import Coarse, signal_changes
from federation.private_terms import PrivateTerms, private_changes
from ontology.errors import AccessError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from federation.opaque import Names

GROUP_MIN: Final = 5  # fewer twins than that are never told as one figure
GROUP_MAX: Final = 1_000_000
OWN_FIELDS: Final = frozenset({"name", "localId", "externalIds", "value", "history"})
"""What every twin (a point: its last reading, `value`, and those before, `history`) has besides its
attributes; leaves only where `attributes` names it. `history` leaves where `value` is named too."""


class Purpose(StrEnum):
    """What a partner asks for."""

    QUERY = "query"
    CASCADE = "cascade"
    SYNC = "sync"
    PRIVATE = "private"  # noisy figures out of a budget, and nothing else


class Release(StrEnum):
    """How facts leave: twin by twin, or only as figures over groups."""

    ROWS = "rows"
    AGGREGATES = "aggregates"


class Naming(StrEnum):
    """By which ids twins leave."""

    PLAIN = "plain"
    OPAQUE = "opaque"  # names for this partner alone, see `federation.opaque`


NAMING_FIELDS: Final = frozenset({"localId", "externalIds"})
"""Own fields that say which twin it is: what opaque ids are to hide."""
EVENT_TYPES: Final = ("FAIL", "DEGRADE", "CLOSE", "DELAY", "SURGE", "SET", "REMOVE", "ADD")
"""Of INTERFACE section 4; `tests/federation/test_contract.py` holds them against the simulation."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What is agreed with one partner. Kinds and relations are IRIs and mean those below them too.

    Times are Unix nanoseconds. window: of the times that data is of, not of when it is asked for.
    """

    partner: str  # fingerprint
    sites: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    relations: frozenset[str] = frozenset()
    release: Release = Release.AGGREGATES
    purposes: frozenset[Purpose] = frozenset()
    events: frozenset[str] = frozenset()
    starts_ns: int = 0
    expires_ns: int = 0
    window_from_ns: int | None = None
    window_until_ns: int | None = None
    per_minute: int = 0
    scenarios_per_day: int = 0
    rows_per_answer: int = 0
    group_min: int = GROUP_MIN
    private: PrivateTerms | None = None
    signal: Coarse | None = None  # of levels in cascades; None: exact
    ids: Naming = Naming.PLAIN


@dataclass(frozen=True, slots=True)
class Grant:
    """A contract in force, or none: what may leave now. Pure; every question names its moment.

    version: of the contract, 0 where there is none. names: where its ids are opaque. Everything is
    denied unless a contract says otherwise.
    """

    contract: Contract | None = None
    version: int = 0
    names: Names | None = field(default=None, repr=False, compare=False)

    @property
    def is_opaque(self) -> bool:
        """Whether twins leave by opaque ids; `names` must be there then."""
        return self.contract is not None and self.contract.ids is not Naming.PLAIN

    def require(self, purpose: Purpose, now_ns: int) -> Contract:
        """The contract, where it allows this purpose now.

        AccessError CONTRACT_NONE, CONTRACT_NOT_YET, CONTRACT_EXPIRED, CONTRACT_PURPOSE.
        """
        contract = self.contract
        if contract is None:
            hint = "an operator here has to agree one: `twinmesh peers contract FILE`"
            raise AccessError("there is no contract with this partner", code="CONTRACT_NONE", hint=hint)
        if now_ns < contract.starts_ns:
            raise AccessError(
                f"the contract begins {_time(contract.starts_ns)}", code="CONTRACT_NOT_YET", hint=None
            )
        if now_ns >= contract.expires_ns:
            message = f"the contract ended {_time(contract.expires_ns)}"
            raise AccessError(message, code="CONTRACT_EXPIRED", hint="agree a new version")
        if purpose not in contract.purposes:
            raise AccessError(f"the contract is not for {purpose}", code="CONTRACT_PURPOSE")
        return contract

    def allows(self, purpose: Purpose, now_ns: int) -> bool:
        """As `require`, without an error."""
        contract = self.contract
        return (
            contract is not None
            and contract.starts_ns <= now_ns < contract.expires_ns
            and purpose in contract.purposes
        )

    def may_attribute(self, name: str, purpose: Purpose, now_ns: int) -> bool:
        """Whether the values of an attribute (or of one of OWN_FIELDS) may leave."""
        return self.allows(purpose, now_ns) and self.contract is not None and name in self.contract.attributes

    def may_time(self, data_ns: int, purpose: Purpose, now_ns: int) -> bool:
        """Whether data of that time may leave: its window begins with `from` and ends before `until`."""
        contract = self.contract
        if contract is None or not self.allows(purpose, now_ns):
            return False
        begins, ends = contract.window_from_ns, contract.window_until_ns
        return (begins is None or begins <= data_ns) and (ends is None or data_ns < ends)

    def may_event(self, event_type: str, now_ns: int) -> bool:
        """Whether the partner's scenarios may hold events of this type for twins of ours."""
        contract = self.contract
        return contract is not None and self.allows(Purpose.CASCADE, now_ns) and event_type in contract.events

    def rows_max(self, purpose: Purpose, now_ns: int) -> int:
        """How many twins one answer may hold; 0 where only figures over groups may leave."""
        contract = self.contract
        if contract is None or not self.allows(purpose, now_ns) or contract.release is not Release.ROWS:
            return 0
        return contract.rows_per_answer

    def may_group(self, size: int, purpose: Purpose, now_ns: int) -> bool:
        """Whether a figure over so many twins may leave."""
        contract = self.contract
        return contract is not None and self.allows(purpose, now_ns) and size >= contract.group_min


NOTHING: Final = Grant()
"""What a partner without a contract gets."""


def expiry(contract: Contract, now_ns: int) -> str:
    """When a contract ends, for people."""
    days = (contract.expires_ns - now_ns) / 86_400e9
    if days <= 0:
        return f"expired {_time(contract.expires_ns)}"
    return f"until {_time(contract.expires_ns)} ({days:.0f} days)"


def changes(before: Contract | None, after: Contract) -> tuple[list[str], list[str]]:
    """What a new version widens and what it narrows, a line each."""
    old = before or Contract(after.partner)
    wider, narrower = _set_changes(old, after)
    for name in ("per_minute", "scenarios_per_day", "rows_per_answer"):
        was, becomes = getattr(old, name), getattr(after, name)
        if was != becomes:
            (wider if becomes > was else narrower).append(f"{name}: {was} -> {becomes}")
    if old.group_min != after.group_min:
        is_wider = after.group_min < old.group_min
        (wider if is_wider else narrower).append(f"group_min: {old.group_min} -> {after.group_min}")
    if old.release is not after.release:
        is_wider = after.release is Release.ROWS
        (wider if is_wider else narrower).append(f"release: {old.release} -> {after.release}")
    if old.ids is not after.ids:
        is_wider = after.ids is Naming.PLAIN
        (wider if is_wider else narrower).append(f"ids: {old.ids} -> {after.ids}")
    if old.expires_ns != after.expires_ns:
        is_wider = after.expires_ns > old.expires_ns
        (wider if is_wider else narrower).append(f"expires: {_time(after.expires_ns)}")
    _compare_window(old, after, wider, narrower)
    terms = (*private_changes(old.private, after.private), *signal_changes(old.signal, after.signal))
    for is_wider, line in terms:
        (wider if is_wider else narrower).append(line)
    return wider, narrower


def _set_changes(old: Contract, new: Contract) -> tuple[list[str], list[str]]:
    wider: list[str] = []
    narrower: list[str] = []
    for name in ("sites", "kinds", "attributes", "relations", "purposes", "events"):
        had: frozenset[str] = getattr(old, name)
        has: frozenset[str] = getattr(new, name)
        if has - had:
            wider.append(f"{name}: + {_list(has - had)}")
        if had - has:
            narrower.append(f"{name}: - {_list(had - has)}")
    return wider, narrower


def _compare_window(old: Contract, new: Contract, wider: list[str], narrower: list[str]) -> None:
    far = 1 << 63
    ends = (
        ("starts", -old.starts_ns, -new.starts_ns),
        ("window.from", -(old.window_from_ns or 0), -(new.window_from_ns or 0)),
        (
            "window.until",
            far if old.window_until_ns is None else old.window_until_ns,
            far if new.window_until_ns is None else new.window_until_ns,
        ),
    )
    for name, was, becomes in ends:
        if was != becomes:
            (wider if becomes > was else narrower).append(f"{name} changed")


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
