"""What makes a journal whole, whatever database holds it: its chain, its head, its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.stores.chain import first_digest, follows
from graph.stores.layout import answer_digest
from graph.stores.protocol import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from graph.stores.layout import HeadRow
    from graph.stores.protocol import Entry, Header
    from ontology.errors import Problem


def chain_problems(
    header: Header,
    entries: Iterable[Entry],
    head: tuple[int, bytes] | None,
    problem: Callable[[str, str | None], Problem],
) -> list[Problem]:
    """Walk the chain; after a break go on from what is stored, so that every broken place is named.

    head: sequence and digest of the last commit, as the journal says them apart from the commits.
    """
    problems: list[Problem] = []
    sequence, digest = 0, first_digest(header)
    for entry in entries:
        wrong = follows(entry, digest, sequence)
        if wrong:
            problems.append(problem(wrong, f"commit {entry.sequence}"))
        sequence, digest = entry.sequence, entry.digest
    if head != (sequence, digest):
        message = f"commits after {sequence} are missing or the head is wrong"
        problems.append(problem(message, f"commit {sequence}"))
    return problems


def answer_problems(
    head: HeadRow,
    seal: bytes,
    rows: Iterable[tuple[Any, ...]],
    problem: Callable[[str, str | None], Problem],
) -> list[Problem]:
    """The head against its seal, the answers against theirs and against the count.

    rows: number, digest, key, request, revision and result of each answer, in order.
    """
    problems: list[Problem] = []
    if seal != head.seal:
        problems.append(problem("the head does not match its seal", "head"))
    expected = head.answers_first
    for number, digest, *fields in rows:
        if number != expected:
            problems.append(problem(f"answers before {number} are missing", f"answer {number}"))
        if digest != answer_digest(number, Answer(*fields)):
            problems.append(problem(f"answer {number} does not match its digest", f"answer {number}"))
        expected = number + 1
    if expected != head.answers_last + 1:
        problems.append(problem("answers are missing at the end", f"answer {expected}"))
    return problems
