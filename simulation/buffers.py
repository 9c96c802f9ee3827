"""What a need group remembers from cell to cell (rules 12 and 13 of DESIGN section 6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulation.world import FULL

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class Supply:
    """What a need group remembers from cell to cell: its buffer, its spell of starving, its damage."""

    capacity: int  # level * cells
    refill: int
    tolerance: int  # cells
    repair: int  # cells
    damages: bool
    remainder_lost: bool = True
    spells_merge: bool = True
    content: int = 0
    share: int = FULL
    buffered: int = FULL
    spell: int | None = None  # first cell of the present spell
    down_until: int = 0  # cell
    strikes: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])  # cells

    def __post_init__(self) -> None:
        self.content = self.capacity  # (12) starts full

    def after_buffer(self, share: int) -> int:
        """(12) A cell that the buffer cannot cover whole gets the bare share."""
        return FULL if self.content >= FULL - share else share

    def is_damaged(self, cell: int, buffered: int) -> bool:
        """(13) Is the twin down in this cell by what this group suffered, if its share is `buffered` now?"""
        if cell < self.down_until:
            return True
        if not self.damages:
            return False
        if _starved(buffered):
            return self._spell_at(cell, buffered) + self.tolerance <= cell
        return self._struck_until(cell) > cell

    def enter(self, cell: int, share: int) -> None:
        """Fix the share of this cell and of those that follow until something changes."""
        self.share, buffered = share, self.after_buffer(share)
        begins = self._spell_at(cell, buffered) if _starved(buffered) else None
        if begins != self.spell:
            self.close(cell)
        self.spell, self.buffered = begins, buffered

    def close(self, cell: int) -> None:
        """(13) The spell ended before this cell. Longer than the tolerance: damaged until now + repair."""
        if self.spell is not None and self._struck_until(cell):
            self.down_until = max(self.down_until, self._struck_until(cell))
            self.strikes.append((self.spell + self.tolerance, self._struck_until(cell)))
        self.spell = None

    def elapse(self, cells: int) -> None:
        """(12) Drain at 1 - share, refill while the share is full, lose the remainder that covers no cell."""
        deficit = FULL - self.share
        if not deficit:
            self.content = min(self.capacity, self.content + self.refill * cells)
        elif self.content >= deficit:
            self.content -= deficit * cells
        elif self.remainder_lost:
            self.content = 0

    def next_changes(self, cell: int) -> Iterable[int]:
        """Cells at which this group changes by itself, should its share stay."""
        deficit = FULL - self.share
        if deficit and self.content >= deficit:
            yield cell + self.content // deficit
        if self.spell is not None:
            yield self.spell + self.tolerance
        yield self.down_until

    def _spell_at(self, cell: int, buffered: int) -> int:
        """(13) Where the spell began that holds in this cell; adjacent starving is one spell."""
        goes_on = self.spell is not None and (self.spells_merge or buffered == self.buffered)
        return self.spell if goes_on and self.spell is not None else cell

    def _struck_until(self, cell: int) -> int:
        """Until when the present spell has damaged, if it ended before this cell; 0 if it has not."""
        struck = self.spell is not None and self.damages and cell - self.spell > self.tolerance
        return cell + self.repair if struck else 0


def _starved(buffered: int) -> bool:
    return 2 * buffered < FULL
