"""What one site knows of a world that several sites share: its own twins, and tokens for all else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulation.world import Int32s, World

Token: TypeAlias = bytes
"""An opaque name of a boundary twin, agreed upon between its site and its readers."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One site's part of a world.

    world     rows 0 .. own - 1 are the site's twins; each row after stands for a twin of another site, of
              which nothing is known but a token: no groups, no key, no restart
    imports   token of row own + i
    owners    site that imports[i] belongs to
    exports   row of each own twin that others read, by its token; a token for each reader, or one for all
    readers   sites that read each of these
    """

    name: str
    world: World
    own: int
    imports: tuple[Token, ...]
    owners: tuple[str, ...]
    exports: Mapping[Token, int]
    readers: Mapping[Token, tuple[str, ...]]

    @property
    def edge_group(self) -> Int32s:
        return np.repeat(np.arange(self.world.groups, dtype=np.int32), np.diff(self.world.group_start))

    @property
    def edge_target(self) -> Int32s:
        return self.world.group_twin[self.edge_group]

    def row_of_import(self) -> dict[Token, int]:
        return {token: self.own + place for place, token in enumerate(self.imports)}
