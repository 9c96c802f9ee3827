"""`import`: files into one site of a folder or server, all of them or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from adapters.importing import import_files
from api.commands.client import problem_of
from api.commands.console import EXIT_DONE, EXIT_PROBLEM, note, progress, say, say_json
from api.commands.folders import open_to_write
from ontology.errors import InputError
from ontology.errors import Place as Spot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from api.commands.client import Client
    from api.commands.place import Place

REPORTED = (200, 422)  # a report comes with both: files that went in, files that have errors
COUNTS = ("created", "updated", "unchanged", "missing")


@dataclass(frozen=True, slots=True)
class ImportCommand:
    files: tuple[Path, ...]
    site: str
    source: str | None
    base: str | None
    format: str | None
    replace: bool
    dry_run: bool


def run_import(place: Place, command: ImportCommand, *, as_json: bool) -> int:
    """Print the report. Exit code 1, and nothing applied, where any file has an error."""
    with progress("importing", quiet=as_json):
        if place.server is not None:
            report = _on_server(place.server, command)
        else:
            report = _in_folder(place.data_folder, command)
    failed = any(file["errors"] for file in report["files"])
    if as_json:
        say_json(report)
    _tell_problems(report)
    if not as_json:
        for line in _lines(report, failed, command.dry_run):
            say(line)
    return EXIT_PROBLEM if failed else EXIT_DONE


def _in_folder(folder: Path, command: ImportCommand) -> dict[str, Any]:
    with open_to_write(folder) as mesh:
        report = import_files(
            mesh,
            command.files,
            site=command.site,
            source=command.source,
            base=command.base,
            format=command.format,
            replace=command.replace,
            dry_run=command.dry_run,
        )
        return report.to_json()


def _on_server(server: Client, command: ImportCommand) -> dict[str, Any]:
    """The files go to the server as they are: it alone can read them against its graph."""
    params = {"site": command.site, "replace": _flag(command.replace), "dryRun": _flag(command.dry_run)}
    given = {"source": command.source, "base": command.base, "format": command.format}
    params |= {name: value for name, value in given.items() if value is not None}
    parts = [("file", (path.name, _content(path))) for path in command.files]
    response = server.send("POST", "/import", params=params, files=parts)
    if response.status_code not in REPORTED:
        raise problem_of(response)
    return cast("dict[str, Any]", response.json())


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        place = Spot(str(path))
        raise InputError(f"cannot be read: {error.strerror}", code="FILE_UNREADABLE", place=place) from error


def _tell_problems(report: Mapping[str, Any]) -> None:
    for file in report["files"]:
        for level in ("errors", "warnings"):
            for problem in file[level]:
                where = ":".join(str(part) for part in (file["path"], problem["line"]) if part is not None)
                item = f" ({problem['item']})" if problem["item"] else ""
                hint = f" (hint: {problem['hint']})" if problem["hint"] else ""
                note(f"{level[:-1]}: {problem['code']}: {where}{item}: {problem['message']}{hint}")


def _lines(report: Mapping[str, Any], failed: bool, dry_run: bool) -> Iterator[str]:
    for file in report["files"]:
        counts = ", ".join(f"{file[name]} {name}" for name in COUNTS)
        readings = f", {file['readings']} readings" if file["readings"] else ""
        yield f"{file['path']}: {file['format']}, source {file['source']}: {counts}{readings}"
    if failed:
        yield "nothing was applied"
    elif dry_run:
        yield "dry run: nothing was applied"
