"""Budgets: never handed out for free, whatever restarts, dies, repeats itself or comes at the same time."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from federation.privacy.asking import PrivateAggregates
from federation.privacy.ledger import ANSWERS_MAX, BudgetLedger
from federation.privacy.question import Aggregate
from ontology.errors import LimitError, StoreError
from tests.federation.privacy_asker import BUDGET, EPSILON, ask, asking
from tests.federation.privacy_worlds import DAY_NS, NOON_NS, allowance_of, column_of, question_of
from tests.simulation.cascade_worlds import fresh_seed

ASKER = Path(__file__).with_name("privacy_asker.py")
ROOT = ASKER.parents[2]
KILLS = 12
STEPS = 400


class Clock:
    def __init__(self):
        self.now_ns = NOON_NS

    def __call__(self):
        return self.now_ns


@pytest.fixture
def path(tmp_path):
    return tmp_path / "federation" / "privacy.sqlite"


@pytest.fixture
def ledger(path):
    with closing(BudgetLedger.open(path)) as opened:
        yield opened


def settle(ledger, name, micro, *, budget=1.0, now_ns=NOON_NS, partner="supplier", days=30):
    allowance = allowance_of(budget, partner=partner, days=days)
    return ledger.settle(allowance, name.encode(), micro, f"answer {name}".encode(), now_ns)


def kept(ledger, partner, question):
    return ledger.stored_or_payable(allowance_of(1.0, partner=partner), question, 1, NOON_NS)


def test_what_is_spent_is_summed_exactly(ledger):
    for number in range(100):
        settle(ledger, f"q{number}", 10_000)
    assert ledger.balance(allowance_of(1.0), NOON_NS).left_micro == 0
    with pytest.raises(LimitError) as caught:
        settle(ledger, "one more", 1)
    assert caught.value.code == "PRIVACY_BUDGET_SPENT"
    assert "1e-06" in caught.value.message and "of 1 are 0 left until" in caught.value.message


def test_a_repeated_question_is_answered_again_for_nothing(path):
    clock, column = Clock(), column_of([[0.5] * 50])
    with closing(BudgetLedger.open(path)) as ledger:
        private = PrivateAggregates(ledger, clock_ns=clock)
        first = private.ask(allowance_of(1.0), question_of(epsilon=0.6), column, "7")
    with closing(BudgetLedger.open(path)) as ledger:
        private = PrivateAggregates(ledger, clock_ns=clock)
        again = private.ask(allowance_of(1.0), question_of(epsilon=0.6), column_of([[]]), "7")
        assert again.released == first.released
        assert (first.repeated, first.epsilon_micro, first.left_micro) == (False, 600_000, 400_000)
        assert (again.repeated, again.epsilon_micro, again.left_micro) == (True, 0, 400_000)
        for question, revision in (
            (question_of(epsilon=0.6), "8"),
            (question_of(Aggregate.MEAN, epsilon=0.6), "7"),
        ):
            with pytest.raises(LimitError, match=r"0\.4 left until 2024-10-"):
                private.ask(allowance_of(1.0), question, column, revision)


def test_nobody_is_asked_for_noise_who_cannot_pay(ledger):
    """A refusal costs no work and looks at no data."""

    class Untouched:
        def __getattr__(self, name):
            raise AssertionError(f"{name} was used")

    private = PrivateAggregates(ledger, load=Untouched, clock_ns=Clock())
    with pytest.raises(LimitError):
        private.ask(allowance_of(0.5), question_of(epsilon=0.6), column_of([[1.0]]), "1")


def test_partners_have_budgets_of_their_own(ledger):
    settle(ledger, "q", 1_000_000, partner="one")
    assert settle(ledger, "q", 1_000_000, partner="other").cost_micro == 1_000_000


def test_answers_that_are_kept_are_bounded(ledger):
    for number in range(ANSWERS_MAX + 10):
        settle(ledger, f"q{number}", 1)
    settle(ledger, "other", 1, partner="other")
    assert kept(ledger, "supplier", b"q9") is None
    assert kept(ledger, "supplier", b"q10") == b"answer q10"
    assert kept(ledger, "other", b"other") == b"answer other"
    assert settle(ledger, "q0", 1).cost_micro == 1, "what was dropped is paid for again"


def test_windows_renew_by_the_calendar_and_not_by_a_clock_that_goes_back(ledger):
    first_day = NOON_NS // DAY_NS // 7 * 7 * DAY_NS
    settle(ledger, "a", 1_000_000, now_ns=first_day, days=7)
    for now_ns in (first_day + 7 * DAY_NS - 1, first_day - DAY_NS, 0):
        with pytest.raises(LimitError):
            settle(ledger, "b", 1, now_ns=now_ns, days=7)
    assert settle(ledger, "b", 1, now_ns=first_day + 7 * DAY_NS, days=7).cost_micro == 1
    with pytest.raises(LimitError):
        settle(ledger, "c", 1_000_000, now_ns=first_day, days=7)
    # A window that is made longer finds what was spent before.
    assert ledger.balance(allowance_of(3.0, days=3_650), first_day).spent_micro == 1_000_001


class Model:
    """The plain truth: what each partner paid on which day."""

    def __init__(self):
        self.paid, self.answered, self.newest = {}, {}, {}

    def left(self, partner, day, days, budget):
        day = max(day, self.newest.get(partner, 0))
        start = day // days * days
        return budget - sum(micro for when, micro in self.paid.get(partner, []) if when >= start), day


def test_the_ledger_equals_a_plain_model_over_restarts(path):
    rng = random.Random(fresh_seed("private budgets"))
    model, ledger, day = Model(), BudgetLedger.open(path), 20_000
    refused = repeated = 0
    for step in range(STEPS):
        action = rng.random()
        if action < 0.1:
            ledger.close()
            ledger = BudgetLedger.open(path)
            continue
        if action < 0.25:
            day += rng.choice([-3, -1, 1, 1, 2, 5])
            continue
        partner, days, budget = rng.choice(["a", "b"]), rng.choice([1, 7, 7, 30]), rng.choice([500, 700])
        name, micro = f"q{rng.randrange(step + 1)}", rng.randrange(1, 200)
        allowance = allowance_of(budget / 1e6, partner=partner, days=days)
        left, at = model.left(partner, day, days, budget)
        now_ns = day * DAY_NS + rng.randrange(DAY_NS)
        assert ledger.balance(allowance, now_ns).left_micro == max(left, 0)
        known = model.answered.get((partner, name))
        body = f"{step}".encode()
        if known is None and micro > left:
            refused += 1
            with pytest.raises(LimitError):
                ledger.settle(allowance, name.encode(), micro, body, now_ns)
            continue
        settled = ledger.settle(allowance, name.encode(), micro, body, now_ns)
        if known is not None:
            repeated += 1
            assert (settled.body, settled.cost_micro) == (known, 0)
            continue
        assert (settled.body, settled.cost_micro, settled.balance.left_micro) == (body, micro, left - micro)
        model.answered[partner, name] = body
        model.paid.setdefault(partner, []).append((at, micro))
        model.newest[partner] = at
    ledger.close()
    assert refused > 10 and repeated > 10, "both must come up"


def test_the_last_epsilon_is_given_once_among_threads(path):
    ledgers = [BudgetLedger.open(path) for _ in range(3)]
    for round_ in range(20):
        won, barrier = [], threading.Barrier(6)

        def spend(worker, round_=round_, won=won, barrier=barrier):
            barrier.wait()
            with suppress(LimitError):
                settle(ledgers[worker % 3], f"{round_}-{worker}", 600_000, partner=f"p{round_}")
                won.append(worker)

        threads = [threading.Thread(target=spend, args=(worker,)) for worker in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
    for ledger in ledgers:
        ledger.close()


def test_equal_questions_at_the_same_time_are_paid_once(path):
    """And all of them get the same answer, though each made its own noise."""
    with closing(BudgetLedger.open(path)) as ledger:
        private = PrivateAggregates(ledger, clock_ns=Clock())
        barrier, answers = threading.Barrier(6), []

        def one():
            barrier.wait()
            answers.append(private.ask(allowance_of(1.0), question_of(), column_of([[0.5] * 90]), "1"))

        threads = [threading.Thread(target=one) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answer.epsilon_micro for answer in answers) == [0] * 5 + [1_000_000]
        assert len({answer.released for answer in answers}) == 1


SPENDER = """
import sys
from pathlib import Path
from federation.privacy.ledger import BudgetLedger
from ontology.errors import LimitError
from tests.federation.privacy_worlds import NOON_NS, allowance_of
print("ready", flush=True)
sys.stdin.readline()
ledger = BudgetLedger.open(Path(sys.argv[1]))
try:
    ledger.settle(allowance_of(1.0), sys.argv[2].encode(), 600_000, b"answer", NOON_NS)
    print("won")
except LimitError as error:
    print(error.code)
"""


def test_the_last_epsilon_is_given_once_among_processes(path):
    """They open a ledger that is not there yet, all at once."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SPENDER, path, f"q{number}"], **pipes, env=environment, cwd=ROOT
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0].strip() for process in processes]
    assert sorted(said) == ["PRIVACY_BUDGET_SPENT"] * 3 + ["won"]


@pytest.fixture
def askers():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, ASKER], **pipes, env=environment, cwd=ROOT) as process:
        yield process
        process.stdin.close()


def answered_until_killed(askers, path, start, rng):
    """What one asker was answered before it was killed: {number: value}."""
    askers.stdin.write(f"{path} {start}\n")
    askers.stdin.flush()
    word, pid = askers.stdout.readline().split()
    assert word == "pid"
    lines = [askers.stdout.readline()] if rng.random() < 0.9 else []
    time.sleep(rng.uniform(0.0, 0.1))
    with suppress(ProcessLookupError):  # it ended by itself once the budget was spent
        os.kill(int(pid), signal.SIGKILL)
    while (line := askers.stdout.readline()) != "dead\n":
        assert line, "the askers are gone"
        lines.append(line)
    acks = [line.split() for line in lines if line.startswith("ack")]
    return {int(number): value for _, number, value in acks}


def test_kill_9_hands_out_nothing_for_free(path, askers):
    """Every answer that left was paid, is kept, and comes again unchanged; what is paid is what is kept."""
    seed = fresh_seed("killed askers")
    rng, answered, cost_micro = random.Random(seed), {}, round(EPSILON * 1_000_000)
    for kill in range(KILLS):
        answered |= answered_until_killed(askers, path, 1_000 * kill, rng)
        private = asking(path)
        ledger = private._ledger
        spent = ledger.balance(allowance_of(BUDGET), NOON_NS).spent_micro
        assert len(answered) * cost_micro <= spent <= BUDGET * 1_000_000
        with closing(sqlite3.connect(path)) as beside:
            assert beside.execute("SELECT count(*) FROM answers").fetchone() == (spent // cost_micro,)
        for number, value in answered.items():
            again = ask(private, number)
            assert (again.epsilon_micro, str(again.released.groups[0].value)) == (0, value)
        assert ledger.balance(allowance_of(BUDGET), NOON_NS).spent_micro == spent
        ledger.close()
    print(f"kill -9 of askers: {KILLS} kills, {len(answered)} answers, seed {seed}")
    assert answered, "the askers must get somewhere"


@pytest.mark.parametrize(
    "change", ["UPDATE spent SET micro = 1", "UPDATE answers SET body = x'00'", "PRAGMA user_version = 9"]
)
def test_a_ledger_that_was_changed_behind_our_back_is_refused(path, change):
    with closing(BudgetLedger.open(path)) as ledger:
        settle(ledger, "q", 1_000)
    with closing(sqlite3.connect(path)) as beside, beside:
        beside.execute(change)
    with pytest.raises(StoreError) as caught, closing(BudgetLedger.open(path)) as ledger:
        settle(ledger, "q", 1_000)
    assert caught.value.code == "PRIVACY_LEDGER"
    assert caught.value.place.path == str(path)


def test_a_file_that_is_no_ledger_is_refused(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError) as caught:
        BudgetLedger.open(path)
    assert caught.value.code == "PRIVACY_LEDGER"


def test_a_full_disk_lets_no_answer_out(path):
    with closing(BudgetLedger.open(path)) as ledger:
        private = PrivateAggregates(ledger, clock_ns=Clock())
        private.ask(allowance_of(1.0), question_of(epsilon=0.25), column_of([[]]), "1")
        (pages,) = ledger._connection.execute("PRAGMA page_count").fetchone()
        ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
        many = question_of(epsilon=0.25, groups=[f"group {number}" for number in range(500)])
        with pytest.raises(StoreError, match="full") as caught:
            private.ask(allowance_of(1.0), many, column_of([[]]), "1")
        assert caught.value.code == "PRIVACY_LEDGER"
        assert ledger.balance(allowance_of(1.0), NOON_NS).spent_micro == 250_000
        ledger._connection.execute(f"PRAGMA max_page_count = {1_000 * pages}")
        assert private.ask(allowance_of(1.0), many, column_of([[]]), "1").left_micro == 500_000


def test_a_ledger_that_somebody_holds_lets_no_answer_out(path):
    with closing(BudgetLedger.open(path)) as ledger, closing(sqlite3.connect(path)) as other:
        ledger._connection.execute("PRAGMA busy_timeout = 0")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked") as caught:
            settle(ledger, "q", 1)
        assert caught.value.code == "PRIVACY_LEDGER"
        other.rollback()
        assert settle(ledger, "q", 1).balance.spent_micro == 1


def test_every_commit_is_synced(ledger):
    """kill -9 cannot see the difference, a power loss can: see notes in graph/stores/sqlite.py."""
    connection = ledger._connection
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
