"""`check`: what a model means in a cascade, and what in it cannot work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from api.checking import check_mesh
from api.commands.client import problem_of
from api.commands.console import EXIT_DONE, EXIT_PROBLEM, note, say, say_json, table
from api.commands.folders import open_to_read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from api.commands.client import Client
    from api.commands.place import Place

GROUPS_SHOWN = 200
COLUMNS = ("twin", "group", "need", "of", "suppliers")


def run_check(place: Place, site: str | None, *, as_json: bool) -> int:
    """Print the report. Exit code 1 where something in the model cannot work."""
    report = _on_server(place.server, site) if place.server else _in_folder(place, site)
    if as_json:
        say_json(report)
    else:
        for line in lines(report):
            say(line)
    for level in ("problem", "warning"):
        for problem in report[f"{level}s"]:
            item = f" {problem['item']}:" if problem["item"] else ""
            hint = f" (hint: {problem['hint']})" if problem["hint"] else ""
            note(f"{level}: {problem['code']}:{item} {problem['message']}{hint}")
    return EXIT_PROBLEM if report["problems"] else EXIT_DONE


def lines(report: Mapping[str, Any]) -> Iterator[str]:
    """The report for a reader; problems and warnings go to stderr."""
    for kind in report["unknownKinds"]:
        hint = f" ({kind['hint']})" if kind["hint"] else ""
        yield f"unknown kind {kind['kind']}: {kind['twins']} twins{hint}"
    groups = report["groups"]
    yield f"{len(groups)} need groups"
    yield from table([_row(group) for group in groups[:GROUPS_SHOWN]], COLUMNS)
    if len(groups) > GROUPS_SHOWN:
        yield f"... and {len(groups) - GROUPS_SHOWN} more; --json shows all"
    yield "bare names that several vocabularies have, and what they mean:"
    for shadow in report["shadowed"]:
        yield f"  {shadow['name']} = {shadow['means']}, not {', '.join(shadow['hidden'])}"


def _row(group: Mapping[str, Any]) -> dict[str, object]:
    more = f" and {group['moreSuppliers']} more" if group["moreSuppliers"] else ""
    return {
        "twin": group["localId"],
        "group": group["group"],
        "need": group["need"],
        "of": group["weight"],
        "suppliers": ", ".join(group["supplierLocalIds"]) + more,
    }


def _in_folder(place: Place, site: str | None) -> dict[str, Any]:
    with open_to_read(place.data_folder) as mesh:
        return check_mesh(mesh, site).to_json()


def _on_server(server: Client, site: str | None) -> dict[str, Any]:
    response = server.send("GET", "/check", params={"site": site} if site else None)
    if not response.is_success:
        raise problem_of(response)
    return cast("dict[str, Any]", response.json())
