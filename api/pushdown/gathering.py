"""What stands below some things, gathered for all of them at once: some long columns instead of a short list
for each, of which Neo4j makes a thousand in a third more time, and the driver reads one after the other.

A level is a list of nodes. What is asked of them becomes a list of values as long; what stands below becomes
the next level, with the number of each one's. Where the rows themselves are asked for (`Place.text`), the
same stands there as a list of lists.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from api.pushdown.reading import Nested, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from api.pushdown.reading import Branch, Place, Row

# These are never null, and are no expressions for a list comprehension.
_SUBQUERIES: Final = ("COLLECT {", "COUNT {", "EXISTS {")
# Makes a thing's table of the values that are left.
_Shape: TypeAlias = "Callable[[Iterator[Any], int], Table]"


@dataclass(frozen=True, slots=True)
class Gathering:
    """text: WITH ... RETURN of two values, `page` and `more`, behind clauses that bind the variable."""

    text: str
    _shape: Callable[[Sequence[Row], Iterator[Any]], Table]

    def table(self, page: Sequence[Row], more: Sequence[Any]) -> Table:
        """All things, with what stands below them."""
        return self._shape(page, iter(more))


def gathered(place: Place, variable: str) -> Gathering:
    """How all that is asked of some things comes back. variable: of the things, in order."""
    if not place.branches:
        # Not in one RETURN: the empty list would be a key of groups, of which there are none without a twin.
        text = f"WITH collect({place.text}) AS page RETURN page, [] AS more"
        return Gathering(text, lambda page, _: Table.of(page))
    level = _Level(variable, place)
    text = (
        f"WITH {place.text_without_branches} AS row, {variable}{level.limited} "
        f"WITH collect(row) AS page, {level.collected} {level.clauses} "
        f"RETURN page, [{', '.join(level.values)}] AS more"
    )

    def shape(page: Sequence[Row], more: Iterator[Any]) -> Table:
        plain = Table.of(page)
        columns = list(plain.columns) or [()] * len(place.expressions)
        return Table(plain.size, level.with_branches(columns, more, plain.size))

    return Gathering(text, shape)


class _Level:
    """One level while its clauses are written.

    limited: what its rows need besides. collected: these as lists. clauses: that make the levels below.
    values: what is returned, this level's first where `own` are asked for.
    """

    def __init__(self, variable: str, place: Place) -> None:
        self.variable, self.place = variable, place
        self.clauses = ""
        self.values: list[str] = []
        self._below: dict[int, _Shape] = {}
        listed = [each for each in place.branches.values() if each.limit]
        self.limited = "".join(f", {each.listed} AS l{each.variable}" for each in listed)
        names = [f"collect(l{each.variable}) AS l{each.variable}" for each in listed]
        self.collected = ", ".join([f"collect({variable}) AS c{variable}", *names])
        for index, branch in place.branches.items():
            self._below[index] = self._branch(branch)

    def with_branches(self, columns: Sequence[Any], more: Iterator[Any], size: int) -> list[Any]:
        """The columns of a table, those of branches read from what is left."""
        return [
            self._below[index](more, size) if index in self._below else column
            for index, column in enumerate(columns)
        ]

    def _branch(self, branch: Branch) -> Any:
        """One level below, in the statement and in the answer."""
        mine, above, inner = branch.variable, self.variable, branch.place
        level = _Level(mine, inner)
        further = [
            (index, f"x{mine}_{index}", text)
            for index, text in enumerate(inner.expressions)
            if index not in inner.branches and text.startswith(_SUBQUERIES)
        ]
        asked = "".join(f", {text} AS {name}" for _, name, text in further)
        collected = level.collected + "".join(f", collect({name}) AS {name}" for _, name, _ in further)
        if branch.limit:
            rows = f"UNWIND l{mine} AS l UNWIND l AS {mine} WITH {mine}{level.limited}{asked}"
            self.clauses += f" CALL (l{mine}) {{ {rows} RETURN {collected} }}"
            self.values.append(f"[l IN l{mine} | size(l)]")
        else:
            rows = (
                f"UNWIND range(0, size(c{above}) - 1) AS i WITH i, c{above}[i] AS {above} "
                f"{branch.match} WITH i, {mine}{level.limited}{asked}"
            )
            self.clauses += f" CALL (c{above}) {{ {rows} RETURN collect(i) AS i{mine}, {collected} }}"
            self.values.append(f"i{mine}")
        names = {index: name for index, name, _ in further}
        own = [index for index in range(len(inner.expressions)) if index not in inner.branches]
        for index in own:
            comprehension = f"[{mine} IN c{mine} | {inner.expressions[index]}]"
            self.values.append(names.get(index, comprehension))
        self.clauses += level.clauses
        self.values += level.values
        return _reader(level, own, is_limited=bool(branch.limit))


def _reader(level: _Level, own: Sequence[int], *, is_limited: bool) -> Callable[[Iterator[Any], int], Nested]:
    width = len(level.place.expressions)

    def read(more: Iterator[Any], above: int) -> Nested:
        counted = next(more)
        columns: list[Any] = [()] * width
        for index in own:
            columns[index] = next(more)
        size = sum(counted) if is_limited else len(counted)
        columns = level.with_branches(columns, more, size)
        if is_limited:
            return Nested(counted, Table(size, columns))
        return _grouped(counted, Table(size, columns), above)

    return read


def _grouped(owners: list[int], table: Table, above: int) -> Nested:
    """owners: of each thing, the place of what it stands below. They come together, or are put together."""
    if owners != sorted(owners):
        table = table.take(sorted(range(table.size), key=owners.__getitem__))
    counts = Counter(owners)
    return Nested([counts[place] for place in range(above)], table)
