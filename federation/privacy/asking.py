"""The one door for private aggregates: allowance, question and column in; a paid, noisy answer out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from federation.privacy.mechanism import load_mechanisms
from federation.privacy.question import check_allowance, check_column, check_question
from federation.privacy.release import Released, release

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from federation.privacy.ledger import BudgetLedger, Settled
    from federation.privacy.mechanism import Mechanisms
    from federation.privacy.question import Allowance, Column, Question

_RELEASED: Final = msgspec.msgpack.Decoder(Released)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What may leave. Epsilon in millionths; a repeated answer cost nothing. renews: in UTC."""

    released: Released
    repeated: bool
    epsilon_micro: int
    left_micro: int
    renews: date


class PrivateAggregates:
    """Answers partners' questions out of their budgets. Several threads may ask at once."""

    def __init__(
        self,
        ledger: BudgetLedger,
        *,
        load: Callable[[], Mechanisms] = load_mechanisms,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._ledger = ledger
        self._load = load
        self._clock_ns = clock_ns

    def ask(self, allowance: Allowance, question: Question, column: Column, revision: str) -> Answer:
        """One answer, paid before it leaves.

        revision: of the data in `column`, as the partner knows it. The same question at the same revision
        gets the same answer for nothing, whatever is in `column`: what is handed out again tells nothing new.

        Raises InputError PRIVACY_* (nothing was looked at), UsageError PRIVACY_NOT_INSTALLED, LimitError
        PRIVACY_BUDGET_SPENT, StoreError PRIVACY_LEDGER.
        """
        check_allowance(allowance)
        check_question(question)
        mechanisms = self._load()
        check_column(column, len(question.groups))
        key = question_key(question, revision, allowance.group_size_min)
        cost_micro = question.epsilon_micro
        # Who cannot pay costs no work. What counts is `settle`, in one transaction with the spending.
        stored = self._ledger.stored_or_payable(allowance, key, cost_micro, self._clock_ns())
        if stored is None:
            stored = msgspec.msgpack.encode(release(question, column, allowance.group_size_min, mechanisms))
        return _answer(self._ledger.settle(allowance, key, cost_micro, stored, self._clock_ns()))


def question_key(question: Question, revision: str, group_size_min: int) -> bytes:
    """32 bytes that stand for a question at a revision: equal ones get one answer."""
    return sha256(msgspec.msgpack.encode((question, revision, group_size_min))).digest()


def _answer(settled: Settled) -> Answer:
    released = _RELEASED.decode(settled.body)
    balance = settled.balance
    return Answer(released, settled.cost_micro == 0, settled.cost_micro, balance.left_micro, balance.renews)
