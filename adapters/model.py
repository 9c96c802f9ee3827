"""What every importer gives and takes: one file in, one `Parsed` out, nothing else.

Importers run in a child process without a network and without the graph (see `sandbox.py`), so a `Parsed`
holds what the file says and no more. Twin ids are IRIs already. Ends of relationships and points of readings
are IRIs or still the local references that stood in the file (`AHU-3`, `plant:AHU-3`): only `importing.py`,
which sees all files and sites, can resolve those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from graph.values import JSONValue, KindRecord, RelationshipRecord, TwinRecord
    from ontology.errors import Problem
    from ontology.schema import Schema
    from ontology.units import Units


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What an importer must know about where its items will live."""

    site: str
    base: str  # base IRI of the site, ends with "/" or "#"; local ids become base + percent-encoded id
    source: str  # the origin that owns every item of this file


@dataclass(frozen=True, slots=True, eq=False)
class ReadingRows:
    """Telemetry as it stood in a file: columns of equal length n, values not yet interned.

    points:   n texts, IRIs or local references
    times_ns: int64[n], Unix time
    values:   n values as stated: number, boolean or text
    quality:  uint8[n], graph.values.Quality
    lines:    int32[n], line of the file, for error messages
    """

    points: tuple[str, ...]
    times_ns: npt.NDArray[np.int64]
    values: tuple[JSONValue, ...]
    quality: npt.NDArray[np.uint8]
    lines: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """What one file says, in the order of the file.

    A twin with empty `kinds` says something about a twin that is stated elsewhere; if there is none, its
    lines in `otherwise` are kept as statements. `twin_lines` and `relationship_lines` give lines of the file
    for error messages, in parallel to the records, or are empty where a format has none.
    """

    path: str
    format: str
    source: str
    twins: tuple[TwinRecord, ...] = ()
    relationships: tuple[RelationshipRecord, ...] = ()
    kinds: tuple[KindRecord, ...] = ()
    statements: tuple[str, ...] = ()  # N-Quads lines that map to nothing; blank node labels unique per source
    readings: ReadingRows | None = None
    warnings: tuple[Problem, ...] = ()
    twin_lines: tuple[int, ...] = ()
    relationship_lines: tuple[int, ...] = ()
    otherwise: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, "tuple[str, ...]"])


class Importer(Protocol):
    """Reads one file. Pure: same file, request and schema give the same `Parsed`.

    Raises InputError that carries every problem found (bounded), each with its place.
    """

    def __call__(self, path: Path, request: ImportRequest, schema: Schema, units: Units) -> Parsed: ...
