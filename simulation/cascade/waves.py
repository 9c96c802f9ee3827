# pyright: reportArgumentType=false
"""Kernels on piecewise constant rows: pieces first .. end of a table of (time, value), FULL before the first.

Readable counterpart: `simulation.tracks`.
"""

from __future__ import annotations

from simulation.cascade.jit import bare
from simulation.cascade.layout import ZERO, Table
from simulation.world import FULL, NEVER


@bare
def after(pieces: Table, first: int, end: int, moment: int) -> int:
    """Position of the first piece later than a moment; `end` if none is."""
    low, high = first, end
    while low < high:
        middle = (low + high) >> 1
        if pieces[middle].time <= moment:
            low = middle + 1
        else:
            high = middle
    return low


@bare
def lowest(pieces: Table, first: int, end: int, since: int, until: int) -> int:
    """The lowest value from since to until, both included."""
    position = after(pieces, first, end, since)
    found = pieces[position - 1].value if position > first else FULL
    while position < end and pieces[position].time <= until:
        found = min(found, pieces[position].value)
        position += 1
    return found


@bare
def highest(pieces: Table, first: int, end: int, since: int, until: int, before: int) -> int:
    """The highest value from since to until, both included; `before` holds until the first piece."""
    position = after(pieces, first, end, since)
    found = pieces[position - 1].value if position > first else before
    while position < end and pieces[position].time <= until:
        found = max(found, pieces[position].value)
        position += 1
    return found


@bare
def next_cell(pieces: Table, first: int, end: int, cell: int, cell_us: int) -> int:
    """The first cell after this one that may see another value than it does."""
    position = after(pieces, first, end, cell * cell_us)
    if position == end:
        return NEVER
    return max(cell + 1, pieces[position].time // cell_us)


@bare
def in_order(events: Table, count: int) -> None:
    """Sort events by time in place (Williams 1964: heapsort); those of one moment in any order."""
    for start in range(count // 2 - 1, -1, -1):
        _sift(events, start, count)
    for end in range(count - 1, 0, -1):
        _swap(events, ZERO, end)
        _sift(events, ZERO, end)


@bare
def _sift(events: Table, place: int, end: int) -> None:
    """Let an event sink below all later ones of its heap."""
    while 2 * place + 1 < end:
        latest = 2 * place + 1
        if latest + 1 < end and events[latest].time < events[latest + 1].time:
            latest += 1
        if events[place].time >= events[latest].time:
            break
        _swap(events, place, latest)
        place = latest


@bare
def _swap(events: Table, one: int, other: int) -> None:
    first, second = events[one], events[other]
    first.time, second.time = second.time, first.time
    first.kind, second.kind = second.kind, first.kind
    first.value, second.value = second.value, first.value


@bare
def windowed(
    source: Table,
    first: int,
    end: int,
    delay: int,
    widths: Table,
    first_width: int,
    end_width: int,
    width_before: int,
    horizon: int,
    moments: Table,
    out: Table,
) -> int:
    """At each t the lowest value from t - delay - width(t) to t - delay.

    Returns the number of canonical pieces written, -1 if `moments` or `out` is too small.
    """
    steps = end_width - first_width
    if (end - first) * (steps + 2) + steps > min(len(moments), len(out)):
        return -1
    count = 0
    for step in range(first_width, end_width):
        moments[count].time = widths[step].time
        count += 1
    for piece in range(first, end):
        enters = source[piece].time + delay
        moments[count].time = enters
        moments[count + 1].time = enters + width_before
        count += 2
        for step in range(first_width, end_width):
            moments[count].time = enters + widths[step].value
            count += 1
    in_order(moments, count)
    written, last = 0, FULL
    for position in range(count):
        now = moments[position].time
        if now >= horizon:
            break
        width = highest(widths, first_width, end_width, now, now, width_before)
        seen = lowest(source, first, end, now - delay - width, now - delay)
        if seen != last:
            out[written].time, out[written].value = now, seen
            written += 1
            last = seen
    return written


@bare
def lower_of(
    row: Table, count: int, caps: Table, first_cap: int, end_cap: int, horizon: int, out: Table
) -> int:
    """The lower of two rows. Returns the number of canonical pieces written, -1 if `out` is too small."""
    if count + end_cap - first_cap > len(out):
        return -1
    written, last, position, here, cap = 0, FULL, 0, FULL, FULL
    while position < count or first_cap < end_cap:
        now = NEVER
        if position < count:
            now = row[position].time
        if first_cap < end_cap:
            now = min(now, caps[first_cap].time)
        if now >= horizon:
            break
        if position < count and row[position].time == now:
            here = row[position].value
            position += 1
        if first_cap < end_cap and caps[first_cap].time == now:
            cap = caps[first_cap].value
            first_cap += 1
        lower = min(here, cap)
        if lower != last:
            out[written].time, out[written].value = now, lower
            written += 1
            last = lower
    return written
