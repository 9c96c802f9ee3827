"""How many scenarios a partner started today: kept in the store, so that a restart forgives nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ontology.errors import LimitError

if TYPE_CHECKING:
    from federation.store import FederationStore

DAY_NS: Final = 24 * 3_600_000_000_000
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS scenario_days (
    partner TEXT PRIMARY KEY,
    day INTEGER NOT NULL,
    count INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""


def spend_scenario(store: FederationStore, partner: str, per_day: int, now_ns: int) -> None:
    """Count one more scenario of this day (UTC). LimitError SCENARIOS_SPENT, StoreError."""
    day = now_ns // DAY_NS
    with store.writing() as connection:
        connection.execute(_TABLE)
        row = connection.execute(
            "SELECT day, count FROM scenario_days WHERE partner = ?", (partner,)
        ).fetchone()
        # A clock that was set back opens no new day.
        last, count = (max(row[0], day), row[1] if row[0] >= day else 0) if row else (day, 0)
        if count >= per_day:
            hint = "the contract's limit scenarios_per_day; tomorrow (UTC) there are new ones"
            message = f"{per_day} scenarios were started today"
            raise LimitError(message, code="SCENARIOS_SPENT", hint=hint)
        connection.execute(
            "INSERT OR REPLACE INTO scenario_days VALUES (?, ?, ?)", (partner, last, count + 1)
        )
