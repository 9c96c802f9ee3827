"""Posts in memory: one by rounds, and one in random order, at times twice or long after the phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

REPLAYED_MAX = 256


class Rounds:
    """Each round every site gets all that was sent in the round before, at once."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, str], list[bytes]] = {}

    def send(self, receiver: str, letter: bytes, depth: int) -> None:
        self._waiting.setdefault((depth, receiver), []).append(letter)

    def deliver(self) -> tuple[str, list[bytes], int] | None:
        if not self._waiting:
            return None
        depth, receiver = min(self._waiting)
        return receiver, self._waiting.pop((depth, receiver)), depth

    def drop(self) -> None:
        self._waiting.clear()


class Mailboxes:
    """Letters wait until chance picks them, one or more of one receiver at a time.

    repeat: chance that a letter stays and is delivered again, or that one of long ago comes once more
    """

    def __init__(self, random: Random, repeat: float = 0.0) -> None:
        self._random, self._repeat = random, repeat
        self._waiting: list[tuple[str, bytes, int]] = []
        self._past: list[tuple[str, bytes, int]] = []

    def send(self, receiver: str, letter: bytes, depth: int) -> None:
        self._waiting.append((receiver, letter, depth))

    def deliver(self) -> tuple[str, list[bytes], int] | None:
        if not self._waiting:
            return None
        receiver, _, _ = self._random.choice(self._waiting)
        mine = [item for item in self._waiting if item[0] == receiver]
        taken = self._random.sample(mine, self._random.randint(1, len(mine)))
        for item in taken:
            if self._random.random() >= self._repeat:
                self._waiting.remove(item)
        self._past = [*self._past, *taken][-REPLAYED_MAX:]
        old = [item for item in self._past if item[0] == receiver and self._random.random() < self._repeat]
        letters = [letter for _, letter, _ in (*taken, *old)]
        self._random.shuffle(letters)
        return receiver, letters, max(depth for _, _, depth in taken)

    def drop(self) -> None:
        self._waiting.clear()
