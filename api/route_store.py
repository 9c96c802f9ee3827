"""`routes.sqlite` of a data folder: how far each route came, and what could not be delivered."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from graph.stores.side_file import Format, SideFile
from graph.stores.site_files import ROUTES_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from graph.stores.side_file import Row

REPLAY: Final = "!"  # behind the kind of a cursor: where somebody asked a route to begin again
DEAD_MAX: Final = 10_000
"""Dead letters of one route; with so many its target refuses everything, and the route waits."""
TABLES: Final = """
CREATE TABLE cursors (
    route TEXT NOT NULL,
    site TEXT NOT NULL,
    kind TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (route, site, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE dead (
    number INTEGER PRIMARY KEY,
    route TEXT NOT NULL,
    site TEXT NOT NULL,
    kind TEXT NOT NULL,
    event TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    reason TEXT NOT NULL,
    content BLOB NOT NULL,
    again INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_of_route ON dead (route, again, number);
"""
FORMAT: Final = Format("routes", 0x7457_4D52, 1, TABLES, "ROUTES_FAILED", "ROUTES_CORRUPT")  # "tWMR"


@dataclass(frozen=True, slots=True)
class Dead:
    """An event that its target refused. again: it shall be tried once more."""

    number: int
    route: str
    site: str
    kind: str
    event: str
    time_ns: int
    reason: str
    content: bytes
    again: bool


class RouteStore(SideFile):
    """One open file; the command line may use it beside a server."""

    @classmethod
    def open(cls, folder: Path) -> RouteStore:
        """The file of a data folder, made if there is none. StoreError, see `SideFile.open_file`."""
        return cls.open_file(folder / ROUTES_FILE, FORMAT)

    def position(self, route: str, site: str, kind: str) -> int | None:
        """How far a route came; None: it never began."""
        query = "SELECT position FROM cursors WHERE route = ? AND site = ? AND kind = ?"
        found = self.row(query, route, site, kind)
        return None if found is None else found[0]

    def move(self, route: str, site: str, kind: str, position: int) -> None:
        """Note that everything up to a position is delivered or dead. After a power loss it may be less."""
        with self.writing(synced=False) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, ?)", (route, site, kind, position)
            )

    def ask_from(self, route: str, number: int, site: str | None = None, kind: str | None = None) -> int:
        """Have a route send its events from a number on once more, in order; of how many logs.

        Only back: what was not delivered yet comes anyway. Readings are not kept, so they cannot come again.
        """
        query = (
            "INSERT OR REPLACE INTO cursors SELECT route, site, kind || ?, ? FROM cursors"
            " WHERE route = ? AND ? IN (site, '') AND ? IN (kind, '') AND position >= ?"
            " AND kind <> 'readings' AND kind NOT LIKE '%' || ?"
        )
        with self.writing() as connection:
            values = (REPLAY, number - 1, route, site or "", kind or "", number, REPLAY)
            return connection.execute(query, values).rowcount

    def begin_again(self, route: str, site: str, kind: str) -> None:
        """Move a cursor back to where somebody asked for, once. Called by the route alone, who moves it."""
        asked = self.position(route, site, kind + REPLAY)
        if asked is None:
            return
        with self.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO cursors VALUES (?, ?, ?, ?)", (route, site, kind, asked)
            )
            connection.execute(
                "DELETE FROM cursors WHERE route = ? AND site = ? AND kind = ?", (route, site, kind + REPLAY)
            )

    def bury(self, route: str, site: str, kind: str, event: str, reason: str, content: bytes) -> None:
        """Keep what a target refused; durable on return."""
        values = (route, site, kind, event, time.time_ns(), reason[:500], content)
        with self.writing() as connection:
            connection.execute(
                "INSERT INTO dead (route, site, kind, event, time_ns, reason, content, again)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                values,
            )

    def dead(self, route: str | None = None, limit: int = 100) -> list[Dead]:
        """Dead letters, oldest first."""
        query = "SELECT * FROM dead WHERE ? IN (route, '') ORDER BY number LIMIT ?"
        return [_dead(row) for row in self.rows(query, route or "", limit)]

    def count_dead(self, route: str) -> int:
        found = self.row("SELECT count(*) FROM dead WHERE route = ?", route)
        return found[0] if found else 0

    def ask_again(self, route: str | None, number: int | None) -> int:
        """Have dead letters tried once more by whoever serves the folder; how many."""
        query = "UPDATE dead SET again = 1 WHERE ? IN (route, '') AND ? IN (number, 0) AND again = 0"
        with self.writing() as connection:
            return connection.execute(query, (route or "", number or 0)).rowcount

    def to_try_again(self, route: str, limit: int = 100) -> list[Dead]:
        query = "SELECT * FROM dead WHERE route = ? AND again = 1 ORDER BY number LIMIT ?"
        return [_dead(row) for row in self.rows(query, route, limit)]

    def settle(self, number: int, reason: str | None) -> None:
        """A dead letter that was tried again: gone (None), or still refused."""
        with self.writing() as connection:
            if reason is None:
                connection.execute("DELETE FROM dead WHERE number = ?", (number,))
            else:
                connection.execute(
                    "UPDATE dead SET again = 0, reason = ? WHERE number = ?", (reason[:500], number)
                )

    def cursors(self) -> list[tuple[str, str, str, int]]:
        """(route, site, kind, position) of all routes that ever were."""
        query = "SELECT route, site, kind, position FROM cursors ORDER BY route, site, kind LIMIT 10000"
        return [(row[0], row[1], row[2], row[3]) for row in self.rows(query) if not row[2].endswith(REPLAY)]


def _dead(row: Row) -> Dead:
    number, route, site, kind, event, time_ns, reason, content, again = row
    return Dead(number, route, site, kind, event, time_ns, reason, content, bool(again))
