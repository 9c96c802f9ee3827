"""Which boundary twins reach which, found without anyone showing a graph (the first phase of a plan)."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from federation.joint.messages import Reached

if TYPE_CHECKING:
    from collections.abc import Mapping

    from federation.joint.part import Part, Token
    from simulation.world import Bools


class Reach:
    """What reaches each boundary twin over some of the edges; sets only grow, so order is free.

    heard: for each import, the tokens that its owner says reach it
    """

    def __init__(self, part: Part, edges: Bools) -> None:
        source, target = part.world.edge_source[edges].tolist(), part.edge_target[edges].tolist()
        following: dict[int, list[int]] = defaultdict(list)
        for supplier, dependent in zip(source, target, strict=True):
            following[supplier].append(dependent)
        tokens_of: dict[int, list[Token]] = defaultdict(list)  # a twin has one for each reader
        for token, row in part.exports.items():
            tokens_of[row].append(token)
        self._feeds = {
            token: [t for row in _reached(following, part.own + place) for t in tokens_of.get(row, ())]
            for place, token in enumerate(part.imports)
        }
        self.heard: dict[Token, set[Token]] = {token: set() for token in part.imports}
        self._said: dict[Token, set[Token]] = {token: set() for token in part.exports}
        self._unsaid: dict[Token, set[Token]] = defaultdict(set)
        for token, exports in self._feeds.items():  # what this site knows by itself
            for export in exports:
                self._unsaid[export].add(token)

    def hear(self, news: Mapping[Token, list[Token]]) -> None:
        """Take in what reaches imports, and with that exports."""
        for token, reaching in news.items():
            self.heard[token] |= set(reaching)
            for export in self._feeds[token]:
                self._unsaid[export] |= set(reaching) - self._said[export]

    def news(self) -> dict[Token, list[Token]]:
        """What others do not know yet about exports."""
        news = {export: sorted(reaching) for export, reaching in self._unsaid.items() if reaching}
        for export, reaching in self._unsaid.items():
            self._said[export] |= reaching
        self._unsaid.clear()
        return news


class ReachExchange:
    """The phase REACH at one site: over all relations, and over founded ones alone."""

    def __init__(self, part: Part) -> None:
        founded = part.world.group_founded[part.edge_group]
        self.any, self.founded = Reach(part, founded | True), Reach(part, founded)

    def take(self, body: Reached) -> None:
        self.any.hear(body.any)
        self.founded.hear(body.founded)

    def news(self) -> Reached:
        return Reached(self.any.news(), self.founded.news())


def _reached(following: Mapping[int, list[int]], start: int) -> set[int]:
    """All rows that edges lead to from a row, in one step or more."""
    found: set[int] = set()
    front = list(following.get(start, ()))
    while front:
        row = front.pop()
        if row not in found:
            found.add(row)
            front += following.get(row, ())
    return found
