"""`export`: the sites of a folder or server as one document."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.exporting import EXPORT_FORMATS, export_document, export_to
from api.commands.client import problem_of
from api.commands.console import note, say_json
from api.commands.folders import open_to_read
from api.commands.offline import NEO4J_IMPORT, run_first_load
from ontology.errors import Place as Spot
from ontology.errors import StoreError, UsageError, suggestion

if TYPE_CHECKING:
    from pathlib import Path

    from api.commands.client import Client
    from api.commands.place import Place


@dataclass(frozen=True, slots=True)
class ExportCommand:
    """The options of the verb. UsageError FORMAT_UNKNOWN at once, before any folder is opened."""

    format: str
    site: str | None
    rdf12: bool
    out: Path | None

    def __post_init__(self) -> None:
        known = (*EXPORT_FORMATS, NEO4J_IMPORT)
        if self.format not in known:
            hint = suggestion(self.format, known) or f"one of {', '.join(known)}"
            raise UsageError(f"no export format {self.format!r}", code="FORMAT_UNKNOWN", hint=hint)


def run_export(place: Place, command: ExportCommand, *, as_json: bool) -> None:
    """Write the document to a file, to a folder as CSV tables, or to stdout."""
    if command.format == NEO4J_IMPORT:
        run_first_load(place, command.site, command.out, as_json=as_json)
        return
    content: bytes | None = None
    paths: tuple[Path, ...] = ()
    if place.server is not None:
        content = _from_server(place.server, command)
        paths = _written(command.out, content)
    else:
        with open_to_read(place.data_folder) as mesh:
            if command.out is None:
                content = export_document(mesh, command.format, site=command.site, rdf12=command.rdf12)
            else:
                out = command.out
                paths = export_to(mesh, command.format, out, site=command.site, rdf12=command.rdf12)
    _tell(command, content, paths, as_json)


def _from_server(server: Client, command: ExportCommand) -> bytes:
    params = {"format": command.format, "rdf12": str(command.rdf12).lower()}
    if command.site is not None:
        params["site"] = command.site
    response = server.send("GET", "/export", params=params)
    if not response.is_success:
        raise problem_of(response)
    return response.content


def _written(out: Path | None, content: bytes) -> tuple[Path, ...]:
    if out is None:
        return ()
    try:
        out.write_bytes(content)
    except OSError as error:
        place = Spot(str(out))
        raise StoreError(f"cannot be written: {error.strerror}", code="FILE_WRITE", place=place) from error
    return (out,)


def _tell(command: ExportCommand, content: bytes | None, paths: tuple[Path, ...], as_json: bool) -> None:
    names = [str(path) for path in paths]
    if paths and as_json:
        say_json({"format": command.format, "files": names})
    elif paths:
        note(f"wrote {', '.join(names)}")
    elif as_json:
        say_json({"format": command.format, "content": (content or b"").decode()})
    else:
        sys.stdout.buffer.write(content or b"")
        sys.stdout.buffer.flush()
