"""`export`: the sites of a folder or server as one document."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import httpx

from adapters.csv.sink import write_csv_folder
from api.commands.client import problem_of
from api.commands.console import note, say_json
from api.commands.place import open_to_read
from api.exporting import export, selections
from ontology.errors import Place as Spot
from ontology.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from api.commands.client import Client
    from api.commands.place import Place
    from api.exporting import ExportRequest


def run_export(place: Place, request: ExportRequest, out: Path | None, *, as_json: bool) -> None:
    """Write the document to `out` or stdout; CSV into a folder, where `out` is one, as a file for each table."""
    if place.folder and out and out.is_dir() and request.format == "csv":
        with open_to_read(place.folder) as mesh:
            paths = write_csv_folder(selections(mesh, request.site), out)
        _report(request, as_json, [str(path) for path in paths])
        return
    content = _from_server(place.server, request) if place.server else _from_folder(place, request)
    if out is not None:
        _write(out, content)
        _report(request, as_json, [str(out)])
    elif as_json:
        say_json({"format": request.format, "content": content.decode()})
    else:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def _from_folder(place: Place, request: ExportRequest) -> bytes:
    assert place.folder is not None
    with open_to_read(place.folder) as mesh:
        return export(request, selections(mesh, request.site))


def _from_server(server: Client, request: ExportRequest) -> bytes:
    params = {"format": request.format, "rdf12": str(request.rdf12).lower()}
    if request.site is not None:
        params["site"] = request.site
    response = server.send("GET", "/export", params=params)
    if response.status_code != httpx.codes.OK:
        raise problem_of(response)
    return response.content


def _write(out: Path, content: bytes) -> None:
    try:
        out.write_bytes(content)
    except OSError as error:
        raise StoreError(
            f"cannot be written: {error.strerror}", code="FILE_WRITE", place=Spot(str(out))
        ) from error


def _report(request: ExportRequest, as_json: bool, paths: list[str]) -> None:
    if as_json:
        say_json({"format": request.format, "files": paths})
    else:
        note(f"wrote {', '.join(paths)}")
