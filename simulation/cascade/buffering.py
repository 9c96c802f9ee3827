"""Kernels for what one need group gets and remembers (rules 10 to 13).

Readable counterparts: `share_outside`, `share_in_loop` of `simulation.levels`, and `simulation.buffers`.
"""

from __future__ import annotations

from simulation.cascade.jit import bare
from simulation.cascade.layout import STRIKES, Row, Table, Tables
from simulation.world import FULL, NEVER

_BITS = 20
_MASK = FULL - 1


@bare
def scaled_need(need: int, factor: int) -> int:
    """need * factor / FULL, rounded up; the product itself would not fit into 64 bits."""
    return (need >> _BITS) * factor + (((need & _MASK) * factor + _MASK) >> _BITS)


@bare
def outside_share(arrived: int, need: int, threshold: int) -> int:
    """Rules 10 and 11 for a sum of weight * level."""
    if need <= 0:
        return FULL
    share = min(FULL, arrived // need)
    return share if share >= threshold else 0


@bare
def loop_share(given: Table, count: int, need: int, threshold: int) -> int:
    """Rules 10 and 11 where a supplier is in the own loop; sorts the first `count` given."""
    if need <= 0:
        return FULL
    for position in range(1, count):  # by insertion, highest level first: groups are small
        level, weight = given[position].level, given[position].weight
        place = position
        while place > 0 and given[place - 1].level < level:
            given[place].level, given[place].weight = given[place - 1].level, given[place - 1].weight
            place -= 1
        given[place].level, given[place].weight = level, weight
    best, together = 0, 0
    for position in range(count):
        together += given[position].weight
        best = max(best, given[position].level * min(need, together) // need)
    return best if best >= threshold else 0


@bare
def covered_us(content: int, rest: int, deficit: int) -> int:
    """Whole microseconds for which content + rest / FULL microseconds of buffer cover a deficit above 0."""
    whole = content // deficit
    if whole >= NEVER >> _BITS:
        return NEVER
    return (whole << _BITS) + (((content % deficit) << _BITS) + rest) // deficit


@bare
def elapse_us(group: Row, us: int) -> None:
    """Rule 12: carry the buffer on at its share; a remainder that covers no whole microsecond is lost.

    The caller does not go further than what the buffer covers.
    """
    content, rest = group.content, group.part
    if group.share < FULL:
        deficit = FULL - group.share
        if covered_us(content, rest, deficit) == 0:
            group.content, group.part = 0, 0
            return
        fine = deficit * (us & _MASK)
        content -= deficit * (us >> _BITS) + (fine >> _BITS)
        rest -= fine & _MASK
        if rest < 0:
            content, rest = content - 1, rest + FULL
    else:
        missing, missing_rest = group.buffer - content, -rest
        if missing_rest < 0:
            missing, missing_rest = missing - 1, missing_rest + FULL
        if missing < 0 or group.refill == 0:
            return
        if covered_us(missing, missing_rest, group.refill) < us:
            content, rest = group.buffer, 0
        else:
            fine = group.refill * (us & _MASK) + rest
            content += group.refill * (us >> _BITS) + (fine >> _BITS)
            rest = fine & _MASK
    group.content, group.part = content, rest


@bare
def hurt(group: Row, buffered: int, now: int, tolerance: int, repair: int) -> bool:
    """Rule 13 for a group that damages: is the twin down now, if the group's buffered share is this?"""
    if now < group.down_until:
        return True
    if 2 * buffered < FULL:
        return (now if group.spell < 0 else group.spell) + tolerance <= now
    return group.spell >= 0 and now - group.spell > tolerance and repair > 0


@bare
def follow_spell(group: Row, starved: bool, now: int, tolerance: int) -> bool:
    """Rule 13 for a group that damages: open or close its spell. True where a long one has just ended."""
    spell = group.spell
    if starved:
        if spell < 0:
            group.spell = now
        return False
    group.spell = -1
    return spell >= 0 and now - spell > tolerance


@bare
def strike(tables: Tables, group: int, start_us: int, end_us: int) -> None:
    """Note a damage. Past the end of the table only the count goes up: the run is done again."""
    count = tables.used[STRIKES]
    if count < len(tables.strikes):
        noted = tables.strikes[count]
        noted.group, noted.start, noted.end = group, start_us, end_us
    tables.used[STRIKES] = count + 1
