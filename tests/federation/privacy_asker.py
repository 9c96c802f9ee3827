"""Partners to be killed: for each ledger read from stdin a child is forked that asks until it dies.

What it was answered goes to stdout, unbuffered, after `ask` returned; `dead` once it is gone.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from federation.privacy.asking import PrivateAggregates
from federation.privacy.ledger import BudgetLedger
from federation.privacy.mechanism import load_mechanisms
from federation.privacy.question import Aggregate
from tests.federation.privacy_worlds import NOON_NS, allowance_of, column_of, question_of

THREADS = 2
EPSILON = 0.01
BUDGET = 1.5  # of 150 answers: some are refused at the end


def ask(private, number):
    """Question `number`, always the same one."""
    question = question_of(Aggregate.COUNT, epsilon=EPSILON)
    return private.ask(allowance_of(BUDGET), question, column_of([[0.5] * 20]), f"revision {number}")


def asking(path):
    return PrivateAggregates(BudgetLedger.open(path), load=load_mechanisms, clock_ns=lambda: NOON_NS)


def work_until_killed(path, start):
    private = asking(path)
    os.write(1, b"open\n")

    def work(worker):
        for step in range(1_000_000):
            number = start + THREADS * step + worker
            answer = ask(private, number)
            os.write(1, f"ack {number} {answer.released.groups[0].value}\n".encode())

    for worker in range(THREADS):
        threading.Thread(target=work, args=(worker,)).start()


def main():
    load_mechanisms()
    for line in sys.stdin:
        path, start = line.split()
        child = os.fork()
        if child == 0:
            os.write(1, f"pid {os.getpid()}\n".encode())
            work_until_killed(Path(path), int(start))
            return
        os.waitpid(child, 0)
        os.write(1, b"dead\n")


if __name__ == "__main__":
    main()
