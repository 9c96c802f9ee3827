"""`export readings`: readings of a folder as CSV or Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.readings_out import READINGS_FORMATS, Span, export_readings
from api.commands.console import note, say_json
from api.commands.folders import open_to_read
from api.schema.scalars import read_time
from ontology.errors import NotFoundError, Place, StoreError, UsageError, suggestion

if TYPE_CHECKING:
    from pathlib import Path

    from graph.mesh import Mesh

_FOREVER_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ReadingsExport:
    """The options of the verb; times are ISO 8601 with a zone. UsageError FORMAT_UNKNOWN, EXPORT_OUT."""

    format: str
    site: str | None
    out: Path | None
    from_time: str | None
    to_time: str | None
    points: tuple[str, ...]
    what: str = "readings"

    def __post_init__(self) -> None:
        if self.what != "readings":
            hint = "twinmesh export readings --data DIR --format csv --out FILE"
            raise UsageError(f"cannot export {self.what!r}", code="EXPORT_WHAT", hint=hint)
        if self.format not in READINGS_FORMATS:
            hint = suggestion(self.format, READINGS_FORMATS) or f"one of {', '.join(READINGS_FORMATS)}"
            raise UsageError(f"no format {self.format!r} for readings", code="FORMAT_UNKNOWN", hint=hint)
        if self.out is None:
            raise UsageError("readings go into a file", code="EXPORT_OUT", hint="name it with --out FILE")


def run_export_readings(data: Path | None, command: ReadingsExport, *, as_json: bool) -> None:
    """Write the file, tell how many readings are in it. InputError TIME_INVALID, NotFoundError."""
    assert command.out is not None
    if data is None:
        hint = "name the folder with --data DIR"
        raise UsageError("readings are exported from a folder", code="EXPORT_WHAT", hint=hint)
    low = 0 if command.from_time is None else read_time(command.from_time)
    high = _FOREVER_NS if command.to_time is None else read_time(command.to_time)
    with open_to_read(data) as mesh:
        points = frozenset(_point(mesh, text) for text in command.points) or None
        sites = mesh.sites if command.site is None else (command.site,)
        try:
            written = export_readings(mesh, sites, Span(low, high, points), command.format, command.out)
        except OSError as error:
            place = Place(str(command.out))
            message = f"cannot be written: {error.strerror}"
            raise StoreError(message, code="FILE_WRITE", place=place) from error
    if as_json:
        said = {"format": command.format, "files": [str(command.out)]}
        say_json({**said, "readings": written.rows, "leftOut": written.left_out})
        return
    note(f"wrote {command.out}: {written.rows:,} readings")
    if written.left_out:
        note(f"warning: {written.left_out:,} readings that are no finite number cannot stand in a CSV file")


def _point(mesh: Mesh, text: str) -> str:
    found = mesh.snapshot().candidates(text)
    if len(found) != 1:
        code = "AMBIGUOUS_ID" if found else "POINT_UNKNOWN"
        raise NotFoundError(f"no one point {text!r}", code=code, hint="write the full IRI")
    return mesh.snapshot().id(found[0])
