"""How long readings are kept and how they are stored: settings of a history, with their limits."""

from __future__ import annotations

from dataclasses import dataclass

from ontology.errors import UsageError

DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class HistoryPolicy:
    """raw_days, minute_days, hour_days: how long readings, then roll-ups over minutes, then over hours are
    kept; 0: for ever. After all of them the last reading of each point is left.

    flush_rows: readings in memory and logs before a segment is made of them. merge_rows_max: how long a
    segment may get. fan_in: so many segments of a size become one. Raises UsageError HISTORY_POLICY.
    """

    raw_days: float = 0.0
    minute_days: float = 0.0
    hour_days: float = 0.0
    flush_rows: int = 1_000_000
    merge_rows_max: int = 32_000_000
    fan_in: int = 4
    retention_s: float = 600.0  # how often it is looked whether something is too old

    def __post_init__(self) -> None:
        days = [self.raw_days, self.minute_days, self.hour_days]
        given = [day or float("inf") for day in days]
        if min(days) < 0 or given != sorted(given):
            message = "raw_days, minute_days and hour_days must not fall, and 0 means for ever"
            hint = "for example raw_days = 30, minute_days = 365, hour_days = 0"
            raise UsageError(f"[history]: {message}", code="HISTORY_POLICY", hint=hint)

    @property
    def span_ns_max(self) -> int | None:
        """What a merged segment may span, so that it can be thinned in time; None: any time."""
        return None if not self.raw_days else max(int(self.raw_days * DAY_NS) // 8, 3_600_000_000_000)
