"""The demo's three sites, made by the ordinary importers from files that a user could have written."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from adapters.importing import import_files
from api.demo.campus import write_campus_ifc
from api.demo.points import FIXED_POINTS, room_points, turtle
from ontology.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from adapters.importing import ImportReport
    from api.demo.points import DemoPoint
    from graph.mesh import Mesh

SITES = ("campus", "plant", "supplier")
BASE = "https://twinmesh.invalid/{site}/"

# What equipment of the building is worth and how it fails: stated in Turtle on the elements of the IFC file.
ECONOMICS = {
    "CH-1": 'tm:timeToRepair "lognormal(14,5)" ; tm:repairCost 18500 ; tm:restartHours 0.5',
    "CHWP-1": 'tm:timeToRepair "lognormal(6,2)" ; tm:repairCost 3200 ; tm:restartHours 0.1',
    "AHU-1": 'tm:timeToRepair "lognormal(8,3)" ; tm:repairCost 5200 ; tm:restartHours 0.2',
    "AHU-2": 'tm:timeToRepair "lognormal(8,3)" ; tm:repairCost 5200 ; tm:restartHours 0.2',
}
# What an hour without air costs in a room, by the end of its number; any other room is an office.
ROOM_VALUES = {"05": 140, "06": 420, "07": 60}  # laboratory, server room, open office
OFFICE_VALUE = 18


@dataclass(frozen=True, slots=True)
class Demo:
    """What was built: every point that has a signal, and what each import said."""

    points: tuple[DemoPoint, ...]
    imports: tuple[tuple[str, ImportReport], ...]  # (site, report), in the order they were made


def build(mesh: Mesh, folder: Path) -> Demo:
    """Write the files into `folder` and import them into the empty `mesh`."""
    write_campus_ifc(folder / "campus.ifc")
    first = _import(mesh, folder, "campus", ("campus.ifc",))
    elements, rooms = _campus(mesh)
    points = (*FIXED_POINTS, *room_points(rooms))
    _write_models(folder, points, elements, rooms)
    for name in DATA_FILES:
        (folder / name).write_text(_data(name), "utf-8")
    rest = [(site, _import(mesh, folder, site, names)) for site, names in IMPORTS]
    return Demo(points, (("campus", first), *rest))


DATA_FILES = (
    "campus-links.csv",
    "plant.csv",
    "plant-links.csv",
    "supplier.csv",
    "supplier-links.csv",
    "supplier-inbound.csv",
    "bindings-campus.toml",
    "bindings-plant.toml",
    "bindings-supplier.toml",
)
# Ends must exist: the supplier's parts come before the plant that uses them, what the plant makes after.
IMPORTS = (
    ("campus", ("campus-brick.ttl", "campus-links.csv")),
    ("supplier", ("supplier.csv", "supplier-links.csv", "supplier-points.ttl")),
    ("plant", ("plant.csv", "plant-links.csv", "plant-points.ttl")),
    ("supplier", ("supplier-inbound.csv",)),
)


def _import(mesh: Mesh, folder: Path, site: str, names: tuple[str, ...]) -> ImportReport:
    report = import_files(mesh, [folder / name for name in names], site=site)
    if report.errors:
        raise InputError.of(report.errors)
    return report


def _data(name: str) -> str:
    return (files("api.demo") / "data" / name).read_text("utf-8")


def _campus(mesh: Mesh) -> tuple[dict[str, str], tuple[str, ...]]:
    """IRIs of what came from the IFC file by its local id (the tag or name there), and the rooms."""
    snapshot = mesh.twin("campus").snapshot()
    rows = np.flatnonzero(snapshot.alive).astype(np.int32)
    rooms = snapshot.rows_of_kind(snapshot.schema.kind("rec:Room").index)
    elements = dict(zip(snapshot.local_ids(rows), snapshot.ids(rows), strict=True))
    return elements, tuple(sorted(snapshot.local_ids(rooms)))


def _write_models(
    folder: Path, points: tuple[DemoPoint, ...], elements: dict[str, str], rooms: tuple[str, ...]
) -> None:
    for site in SITES:
        mine = [point for point in points if point.site == site]
        text = turtle(mine, BASE.format(site=site), elements if site == "campus" else {})
        if site == "campus":
            text += _economics(elements, rooms)
        name = "campus-brick.ttl" if site == "campus" else f"{site}-points.ttl"
        (folder / name).write_text(text, "utf-8")


def _economics(elements: dict[str, str], rooms: tuple[str, ...]) -> str:
    values = {room: ROOM_VALUES.get(room.rsplit(".")[-1], OFFICE_VALUE) for room in rooms}
    stated = {**ECONOMICS, **{room: f"tm:valuePerHour {value}" for room, value in values.items()}}
    return "".join(f"\n<{elements[name]}> {facts} .\n" for name, facts in stated.items())
