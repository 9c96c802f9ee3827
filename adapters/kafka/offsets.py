"""Which offsets may be committed: those whose readings are durable, and whose partitions are ours."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Partition: TypeAlias = "tuple[str, int]"  # topic, number


class Offsets:
    """Batches are numbered as they go in, and come out of the pipeline in the same order.

    `durable` belongs to the pump's thread, all else to the consumer's.
    """

    def __init__(self) -> None:
        self._passed: deque[tuple[int, dict[Partition, int]]] = deque()
        self._due: dict[Partition, int] = {}
        self._told: dict[Partition, int] = {}  # what `due` said last
        self._taken = 0
        self._durable = 0

    @property
    def taken(self) -> int:
        """Messages that were taken in so far; the number of the last."""
        return self._taken

    @property
    def is_settled(self) -> bool:
        """All that was taken in is durable."""
        return self._durable >= self._taken

    def took(self, count: int, after: dict[Partition, int]) -> None:
        """`count` more messages went in; after: the offset behind the last one of each partition."""
        self._taken += count
        self._passed.append((self._taken, after))

    def durable(self, number: int) -> None:
        """All messages up to this number are recorded."""
        self._durable = number

    def due(self) -> dict[Partition, int]:
        """What may be committed now; it is told once."""
        while self._passed and self._passed[0][0] <= self._durable:
            self._due.update(self._passed.popleft()[1])
        due, self._due = self._due, {}
        self._told |= due
        return due

    def again(self, refused: dict[Partition, int]) -> None:
        """A commit did not reach the cluster: it is due once more, unless a later one was or is."""
        last = {each: offset for each, offset in refused.items() if self._told.get(each) == offset}
        self._due = last | self._due

    def forget(self, partitions: Iterable[Partition]) -> None:
        """They are others' now: nothing is committed for them any more."""
        gone = set(partitions)
        self._due = {each: offset for each, offset in self._due.items() if each not in gone}
        self._told = {each: offset for each, offset in self._told.items() if each not in gone}
        for _, after in self._passed:
            for each in gone & after.keys():
                del after[each]
