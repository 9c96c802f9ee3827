"""What a file says beyond twins and relationships is kept as lines of N-Quads and comes back at export.

A kept line may end in a mark, written as a comment, so that any N-Quads parser reads the lines too:

    # with <twin> ...   only while one of these twins is there
    # instead KEY       spells in its own way what the graph holds; the export writes it in place of its
                        own spelling, while the graph still holds just that
    # also KEY          says again what the graph holds (brick:isFedBy beside brick:feeds); the export
                        writes it while the graph still holds that

KEY stands for the lines that the export would write for one fact (`key_of`).
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pyoxigraph import BlankNode, DefaultGraph, NamedNode, Quad

from adapters.rdf.blank import digest, relabel

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_BEFORE_MARK = " . # "


class Verb(StrEnum):
    WITH = "with"
    INSTEAD = "instead"
    ALSO = "also"


@dataclass(frozen=True, slots=True)
class Mark:
    """When a kept line is part of an export. `what` is a key, or IRIs for WITH."""

    verb: Verb
    what: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.verb, *(f"<{one}>" if self.verb is Verb.WITH else one for one in self.what)))


@dataclass(frozen=True, slots=True)
class Kept:
    """A quad that is kept, and its mark; None: a line for its own sake."""

    quad: Quad
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A kept line taken apart: `statement` is N-Quads with its full stop."""

    statement: str
    mark: Mark | None


def key_of(lines: Iterable[str]) -> str:
    """The key of a fact: a hash of the lines that the export would write for it."""
    return digest(*sorted(lines))


def instead_of(lines: Iterable[str]) -> Mark:
    return Mark(Verb.INSTEAD, (key_of(lines),))


def beside(lines: Iterable[str]) -> Mark:
    return Mark(Verb.ALSO, (key_of(lines),))


def statement_of(quad: Quad) -> str:
    """A quad as a line of N-Quads."""
    return f"{quad} ."


def kept_lines(kept: Sequence[Kept], twins: Collection[str]) -> tuple[str, ...]:
    """The lines to keep, sorted, each once. Lines about `twins` go when these go."""
    quads = relabel([one.quad for one in kept])
    anchors = _anchors(quads)
    lines: set[str] = set()
    for quad, one in zip(quads, kept, strict=True):
        mark = one.mark or _tied(quad, anchors, twins)
        lines.add(marked(statement_of(quad), mark))
    return tuple(sorted(lines))


def marked(statement: str, mark: Mark | None) -> str:
    """A statement as a kept line."""
    return f"{statement.removesuffix(' .')}{_BEFORE_MARK}{mark}" if mark else statement


def parse_line(line: str) -> Line:
    """Takes a kept line apart."""
    if line.endswith(" ."):  # no mark ends in a full stop, every statement does
        return Line(line, None)
    statement, _, mark = line.rpartition(_BEFORE_MARK)
    verb, *what = mark.split(" ")
    return Line(f"{statement} .", Mark(Verb(verb), tuple(one.strip("<>") for one in what)))


def lines_about(lines: Iterable[str], twins: Collection[str]) -> list[str]:
    """The kept lines that belong to some twins: said with them, or spelling what the graph holds of them."""
    parsed = [(line, parse_line(line)) for line in lines]
    keys = {
        one.mark.what[0]
        for _, one in parsed
        if one.mark and one.mark.verb is not Verb.WITH and _subject_iri(one.statement) in twins
    }
    return [
        line
        for line, one in parsed
        if one.mark and (one.mark.what[0] in keys or any(iri in twins for iri in one.mark.what))
    ]


def _subject_iri(statement: str) -> str | None:
    return statement[1 : statement.index(">")] if statement.startswith("<") else None


def in_graph(quad: Quad) -> bool:
    """True if a quad stands in a named graph."""
    return not isinstance(quad.graph_name, DefaultGraph)


def _tied(quad: Quad, anchors: dict[BlankNode, set[str]], twins: Collection[str]) -> Mark | None:
    """The mark of a line that only makes sense while its twin is there."""
    about = {quad.subject.value} if isinstance(quad.subject, NamedNode) else set[str]()
    if isinstance(quad.subject, BlankNode):
        about = anchors.get(quad.subject, set())
    if not about or any(iri not in twins for iri in about):
        return None
    return Mark(Verb.WITH, tuple(sorted(about)))


def _anchors(quads: Sequence[Quad]) -> dict[BlankNode, set[str]]:
    """For each blank node the IRIs from which it is reached."""
    below: dict[BlankNode, list[BlankNode]] = defaultdict(list)
    anchors: dict[BlankNode, set[str]] = defaultdict(set)
    queue: deque[BlankNode] = deque()
    for quad in quads:
        if isinstance(quad.object, BlankNode):
            if isinstance(quad.subject, NamedNode):
                anchors[quad.object].add(quad.subject.value)
                queue.append(quad.object)
            elif isinstance(quad.subject, BlankNode):
                below[quad.subject].append(quad.object)
    while queue:
        node = queue.popleft()
        for inner in below[node]:
            if not anchors[node] <= anchors[inner]:
                anchors[inner] |= anchors[node]
                queue.append(inner)
    return anchors
