"""Tables as `neo4j-admin database import` reads them: a header and a CSV file, written in pieces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow.compute  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.csv  # pyright: ignore[reportMissingTypeStubs]

from graph.readings.arrow import pa
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_CSV: Final[Any] = pyarrow.csv
_COMPUTE: Final[Any] = pyarrow.compute
_OPTIONS: Final = _CSV.WriteOptions(include_header=False, quoting_style="needed")
# The header's own signs: a name that holds one cannot be told to the import.
_SIGNS: Final = frozenset("{}()\r\n")
# Buffers of the import are arrays of Java, of twice the longest text.
TEXT_BYTES_MAX: Final = 1 << 29


@dataclass(slots=True)
class Written:
    """A table: its files, how many rows it has, whether texts in it span lines, its longest text in bytes.

    relation: of relationships, the type; empty where each row tells its own.
    """

    header: str
    data: str
    relation: str | None = None
    rows: int = 0
    has_lines: bool = False
    text_bytes_max: int = 0


@dataclass(slots=True)
class Tables:
    """All tables of one export, in one folder; files have numbers for names. OSError."""

    folder: Path
    written: list[Written] = field(default_factory=list[Written])

    def begin(self, columns: Sequence[str], relation: str | None = None) -> Written:
        """A table with the columns `name:type`, as they stand in the header. StoreError EXPORT_UNFIT."""
        number = len(self.written)
        stem = f"{'nodes' if relation is None else 'relationships'}-{number:04d}"
        table = Written(f"{stem}-header.csv", f"{stem}.csv", relation)
        cells = ['"' + _checked(column).replace('"', '""') + '"' for column in columns]
        (self.folder / table.header).write_text(",".join(cells) + "\n", encoding="utf-8")
        (self.folder / table.data).touch()
        self.written.append(table)
        return table

    def append(self, table: Written, arrays: Sequence[Any]) -> None:
        """Rows, column by column in the order of the header."""
        batch = pa.Table.from_arrays(list(arrays), names=[str(place) for place in range(len(arrays))])
        with (self.folder / table.data).open("ab") as file:
            _CSV.write_csv(batch, file, _OPTIONS)
        table.rows += batch.num_rows
        for array in arrays:
            if array.type == pa.large_string():
                _look_at(table, array)


def _look_at(table: Written, array: Any) -> None:
    longest = _COMPUTE.max(_COMPUTE.binary_length(array)).as_py() or 0
    table.text_bytes_max = max(table.text_bytes_max, longest)
    if longest > TEXT_BYTES_MAX:
        message = f"a text of {longest:,} bytes; the import reads at most {TEXT_BYTES_MAX:,}"
        hint = (
            "most often a commit of very many rows: bring the site over with `migrate`, or import it in parts"
        )
        raise StoreError(message, code="EXPORT_UNFIT", hint=hint)
    for end in () if table.has_lines else ("\n", "\r"):
        table.has_lines |= bool(_COMPUTE.any(_COMPUTE.match_substring(array, end)).as_py())


def _checked(column: str) -> str:
    name = column.rpartition(":")[0]
    if _SIGNS & set(name):
        message = (
            f"attribute {name!r}: a name with one of {{ }} ( ) or a line break cannot be imported offline"
        )
        raise StoreError(message, code="EXPORT_UNFIT", hint="rename it, or load the graph online")
    return column
