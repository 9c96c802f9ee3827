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

from adapters.tables import Table
from ontology.errors import InputError, Place, Problem

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
    top = Table({"replay": document.get("replay", [])}, Place(path=path.name))
    problems: list[Problem] = []
    configs: list[ReplayConfig] = []
    for number, values in enumerate(top.tables("replay"), 1):
        try:
            table = Table(values, Place(path=path.name, item=f"replay {number}"))
            configs.append(_config(table, path.parent))
        except InputError as error:
            problems.extend(error.problems)
    top.problems.extend(problems)
    top.finish()
    return tuple(configs)


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
