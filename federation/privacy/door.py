"""Private figures as a message between servers: a question of a partner in, a paid and noisy answer out."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

import msgspec

from federation.contract import Purpose
from federation.ledger import Disclosure
from federation.masks import masks
from federation.privacy.asked import admit, read_asked
from federation.privacy.asking import PrivateAggregates
from federation.privacy.columns import column_of, revision_of
from federation.privacy.ledger import PRIVACY_FILE, BudgetLedger
from federation.privacy.question import GROUPS_MAX, Allowance
from ontology.errors import LimitError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from federation.contract import Grant
    from federation.privacy.asked import Admitted
    from federation.privacy.asking import Answer
    from graph.snapshot import Snapshot
    from ontology.units import Units

PRIVATE_KIND: Final = "private"
SPENT: Final = "PRIVACY_BUDGET_SPENT"


class ToldNoise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See `federation.privacy.release.Noise`."""

    figure: str
    scale: float
    unit: str
    error95: float


class ToldGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A suppressed group has nothing but its name. count: the noisy one."""

    group: str
    suppressed: bool
    value: float | None = None
    error95: float | None = None
    count: int | None = None


class Account(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In millionths of epsilon. renews: the day, in UTC."""

    paid_micro: int
    left_micro: int
    budget_micro: int
    renews: str


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="figures"):
    """An answer. lower, upper: what values were clamped into, in `unit`."""

    op: str
    unit: str | None
    lower: float | None
    upper: float | None
    threshold: int
    noise: tuple[ToldNoise, ...]
    groups: tuple[ToldGroup, ...]
    account: Account


class Spent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="spent"):
    """The budget does not suffice; nothing was looked at."""

    account: Account


_TOLD: Final = msgspec.msgpack.Decoder(Figures | Spent)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


def answer_private(
    folder: Path, snapshot: Snapshot, units: Units, grant: Grant, body: bytes, now_ns: int
) -> tuple[bytes, Disclosure | None]:
    """The answer to a partner's question, paid for, and what it discloses (None: nothing).

    AccessError PRIVACY_NOT_SHARED, CONTRACT_*; InputError BODY_INVALID, PRIVACY_*; StoreError PRIVACY_LEDGER;
    UsageError PRIVACY_NOT_INSTALLED.
    """
    asked = read_asked(body)
    admitted = admit(asked, grant, snapshot.schema, now_ns)
    allowance = allowance_of(grant, now_ns)
    counted = masks(grant, snapshot, Purpose.PRIVATE, now_ns).counted
    with closing(BudgetLedger.open(folder / PRIVACY_FILE)) as ledger:
        # The column is made whether it can be paid for or not: how long that takes tells nothing of budgets.
        column = column_of(admitted, snapshot, counted, units)
        private = PrivateAggregates(ledger, clock_ns=lambda: now_ns)
        try:
            answer = private.ask(allowance, admitted.question, column, revision_of(admitted, snapshot))
        except LimitError as error:
            if error.code != SPENT:
                raise
            balance = ledger.balance(allowance, now_ns)
            left = (0, balance.left_micro, balance.budget_micro, balance.renews.isoformat())
            return msgspec.msgpack.encode(Spent(Account(*left))), None
    told = msgspec.msgpack.encode(_figures(asked.op, admitted, answer, allowance))
    return told, _disclosure(grant, admitted, answer, asked.op, len(told))


def allowance_of(grant: Grant, now_ns: int) -> Allowance:
    """What the contract gives. The codes of `Grant.require`."""
    contract = grant.require(Purpose.PRIVATE, now_ns)
    terms = contract.private
    if terms is None:  # a purpose without terms gives nothing
        return Allowance(contract.partner, 0, group_size_min=contract.group_min)
    return Allowance(contract.partner, terms.epsilon_micro, terms.window_days, contract.group_min)


def read_figures(body: bytes, who: str) -> Figures | Spent:
    """What a peer answered, held against what an answer can be. StoreError PEER_GARBAGE."""
    try:
        told = _TOLD.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise StoreError(f"{who} does not answer the question", code="PEER_GARBAGE") from error
    if isinstance(told, Figures) and len(told.groups) > GROUPS_MAX:
        raise StoreError(f"{who} answers with too many groups", code="PEER_GARBAGE")
    return told


def _figures(op: str, admitted: Admitted, answer: Answer, allowance: Allowance) -> Figures:
    released, bounds = answer.released, admitted.question.bounds
    groups = (
        ToldGroup(each.group, each.suppressed, each.value, each.error95, each.count)
        for each in released.groups
    )
    return Figures(
        op=op,
        unit=admitted.unit,
        lower=bounds.lower if bounds else None,
        upper=bounds.upper if bounds else None,
        threshold=released.threshold,
        noise=tuple(ToldNoise(each.figure, each.scale, each.unit, each.error95) for each in released.noise),
        groups=tuple(groups),
        account=Account(
            answer.epsilon_micro, answer.left_micro, allowance.epsilon_micro, answer.renews.isoformat()
        ),
    )


def _disclosure(grant: Grant, admitted: Admitted, answer: Answer, op: str, size_bytes: int) -> Disclosure:
    """How many twins are behind a figure is noted nowhere: for a shown group stands what its noisy count had
    to reach, for a suppressed one 0.
    """
    contract = grant.contract
    assert contract is not None  # an answer was given
    of = f"{op} {admitted.attribute or 'twins'} of {admitted.kind.name}"
    released = answer.released
    figures = {
        f"{of}: {each.group}": 0 if each.suppressed else released.threshold for each in released.groups
    }
    return Disclosure(
        contract.partner, grant.version, Purpose.PRIVATE, PRIVATE_KIND, size_bytes, figures=figures
    )
