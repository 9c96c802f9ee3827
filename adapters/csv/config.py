"""What a CSV table may look like (INTERFACE section 3): roles, their columns, limits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What the rows of a table are."""

    TWINS = "twins"
    RELATIONSHIPS = "relationships"
    READINGS = "readings"


@dataclass(frozen=True, slots=True)
class RoleColumns:
    """`required` columns decide the role; `optional` ones have a meaning of their own."""

    role: Role
    required: tuple[str, ...]
    optional: tuple[str, ...]
    attributes: bool  # may hold further columns


# In this order: the first role whose required columns all stand in the header wins.
ROLES = (
    RoleColumns(Role.RELATIONSHIPS, ("source", "relation", "target"), ("group", "id"), attributes=True),
    RoleColumns(Role.READINGS, ("point", "time", "value"), ("quality",), attributes=False),
    RoleColumns(Role.TWINS, ("id", "kind"), ("name", "localId"), attributes=True),
)

EXTERNAL_PREFIX = "external:"  # `external:gs1`: the twin's id in another system
KIND_SEPARATOR = ";"
CELL_CHARACTERS_MAX = 1 << 20
COLUMNS_MAX = 2000  # each attribute column costs memory for every twin of the site
