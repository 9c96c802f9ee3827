"""Times as text: Unix time in nanoseconds inside, ISO 8601 outside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

NS_PER_S: Final = 1_000_000_000


def time_text(time_ns: int) -> str:
    """ISO 8601 in UTC with as many digits as the time has (0, 3, 6 or 9)."""
    seconds, rest = divmod(time_ns, NS_PER_S)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{rest:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z" if digits else f"{text}Z"
