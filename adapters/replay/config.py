"""Settings of a replay: a `[[replay]]` table of `twinmesh.toml`.

[[replay]]
site = "plant"
readings = "readings.csv"        # point,time,value[,quality], beside twinmesh.toml
speed = 60                       # recorded seconds a second; 0: as fast as possible
repeat = true                    # from the start again; times go on
rebase = true                    # times move so that the first reading is of now
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.tables import Table, read_tables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ReplayConfig:
    """What to replay and how fast. `speed` 0 is as fast as possible."""

    site: str
    readings: Path
    speed: float = 1.0
    repeat: bool = False
    rebase: bool = True
    batch_rows_max: int = 10_000


def parse_replay(document: Mapping[str, object], path: Path) -> tuple[ReplayConfig, ...]:
    """The `[[replay]]` tables of the document read from `path`. Raises InputError with every problem."""
    return read_tables(document, "replay", path.name, lambda table, _number: _config(table, path.parent))


def _config(table: Table, folder: Path) -> ReplayConfig:
    config = ReplayConfig(
        site=table.text("site"),
        readings=folder.absolute() / table.text("readings"),
        speed=table.number("speed", 1.0, minimum=0),
        repeat=table.boolean("repeat", False),
        rebase=table.boolean("rebase", True),
        batch_rows_max=table.integer("batch_rows_max", 10_000, minimum=1, maximum=1_000_000),
    )
    table.finish()
    return config
