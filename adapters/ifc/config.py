"""Tables and limits of the IFC importer: which IFC class becomes which kind, what a file may cost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ontology.naming import PREFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ontology.schema import Schema

FILE_BYTES_MAX = 2 << 30
ZIP_RATIO_MAX = 100  # IFC text shrinks 5 to 20 times; more is made to explode
PROBLEMS_PER_CODE_MAX = 20
PROPERTY_DEPTH_MAX = 8  # complex properties inside complex properties

PART_OF = PREFIXES["tm"] + "partOf"
LOCATED_IN = PREFIXES["tm"] + "locatedIn"
MEMBER_OF = PREFIXES["tm"] + "memberOf"
POINT_OF = PREFIXES["tm"] + "pointOf"
CONTROLS = PREFIXES["tm"] + "controls"
CONNECTED_TO = PREFIXES["tm"] + "connectedTo"
FEEDS = PREFIXES["brick"] + "feeds"

# What flows goes through these and is neither made nor used up in them: flow must come in and go out.
PASS_THROUGH = frozenset(
    {"IfcFlowController", "IfcFlowFitting", "IfcFlowMovingDevice", "IfcFlowSegment", "IfcFlowTreatmentDevice"}
)

# Types that say nothing.
SILENT_TYPES = frozenset({"", "NOTDEFINED", "USERDEFINED"})

_ANY_CLASS = "*"
_NOT_LETTERS = re.compile(r"[^A-Z0-9]")


def squeezed(text: str) -> str:
    """A free name as the tables spell it: capitals and digits only."""
    return _NOT_LETTERS.sub("", text.upper())


@dataclass(frozen=True, slots=True)
class KindRow:
    """One row of kinds.tsv."""

    ifc: str
    type: str
    kind: str
    generic: bool


@dataclass(frozen=True, slots=True)
class KindTable:
    """Which kind an object has, from its class, its type and the classes above."""

    rows: Mapping[tuple[str, str], KindRow]

    def find(self, classes: Iterable[str], types: Iterable[str]) -> KindRow | None:
        """The row for an object.

        classes: the IFC class and those above it, nearest first. types: what tells more than the class, most
        telling first.
        """
        words = tuple([squeezed(one) for one in types])
        for ifc in classes:
            row = self._typed(ifc, words) or self.rows.get((ifc, ""))
            if row is not None:
                return row
        return None

    def by_word(self, types: Iterable[str]) -> KindRow | None:
        """The row for an object whose class tells nothing, by a type that names the kind itself."""
        return self._typed(_ANY_CLASS, tuple([squeezed(one) for one in types]))

    def _typed(self, ifc: str, words: tuple[str, ...]) -> KindRow | None:
        return next((self.rows[ifc, word] for word in words if (ifc, word) in self.rows), None)


def load_kind_table() -> KindTable:
    """The shipped table; every kind in it is known to the shipped schema (a test holds it to that)."""
    text = (Path(__file__).parent / "kinds.tsv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    rows = [_row(line) for line in lines[1:]]
    return KindTable({(row.ifc, row.type): row for row in rows})


def _row(line: str) -> KindRow:
    ifc, type_name, kind, generic = line.split("\t")
    return KindRow(ifc, squeezed(type_name), kind, generic == "yes")


def media_by_system(schema: Schema) -> dict[str, str]:
    """Item of IfcDistributionSystemEnum -> medium of the vocabulary."""
    return {system: medium.name for medium in schema.media.values() for system in medium.ifc_systems}
