"""Import beside IfcOpenShell's own walk: seconds and ratio on real and synthetic files, with agreeing counts.

    uv run twinmesh bench import [--json]

The walk is what one writes with IfcOpenShell's utilities to learn the same: open, the container or whole of
every product, `get_psets` of every product, both owners of every connection. Ours also checks the file,
resolves units and kinds, and makes the records of the graph. `sandbox_s` adds the child process.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ifcopenshell
import ifcopenshell.util.element as element_util

from adapters.ifc.config import CONNECTED_TO, FEEDS
from adapters.ifc.source import read_ifc
from adapters.model import ImportRequest, Parsed
from adapters.sandbox import run_limited
from ontology.schema import load_schema
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
FILES = (
    "ifc-synthetic/synthetic_mep_medium.ifc",
    "ifc-synthetic/synthetic_mep_small.ifc",
    "ifc/duplex_architecture.ifc",
    "ifc/fzk_haus_ifc4.ifc",
    "ifc/large_building.ifc",
)
REPEATS = 5
# Attributes that we make of the object itself; a walk over property sets has no counterpart.
OWN = frozenset({"ifcClass", "ifcType", "typeName", "longName", "description", "medium", "elevation"})
OWN_PLACES = frozenset({"latitude", "longitude"})


def walk(path: Path) -> dict[str, int]:
    """What the file holds, by IfcOpenShell alone."""
    model = ifcopenshell.open(str(path))
    products = [one for one in model.by_type("IfcProduct") if not one.is_a("IfcPort")]
    groups = model.by_type("IfcGroup")
    placed = sum(element_util.get_parent(one) is not None for one in products)
    properties = 0
    for one in [*products, *groups]:
        for values in element_util.get_psets(one).values():
            if model.by_id(values["id"]).is_a() in ("IfcPropertySet", "IfcElementQuantity"):
                properties += sum(value is not None for value in values.values()) - 1
    flows = {pair for one in model.by_type("IfcRelConnectsPorts") if (pair := _owners(one)) is not None}
    return {
        "twins": len(products) + len(groups),
        "placed": placed,
        "properties": properties,
        "flows": len(flows),
    }


def _owners(connection: ifcopenshell.entity_instance) -> tuple[int, int, str] | None:
    """Both elements of a connection, and what flows."""
    ends = (connection.RelatingPort, connection.RelatedPort)
    owners = [port.Nests[0].RelatingObject.id() for port in ends if port.Nests]
    return (*sorted(owners), ends[0].SystemType or "") if len(owners) == 2 else None


def counts(parsed: Parsed) -> dict[str, int]:
    """The same numbers of our import."""
    own = OWN | OWN_PLACES
    return {
        "twins": len(parsed.twins),
        "placed": len(
            {one.source for one in parsed.relationships if one.relation.endswith(("partOf", "locatedIn"))}
        ),
        "properties": sum(len(twin.attributes.keys() - own) for twin in parsed.twins),
        "flows": sum(one.relation in (FEEDS, CONNECTED_TO) for one in parsed.relationships),
    }


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Least seconds of a few runs, and the last result. No garbage collector, as in the child process."""
    seconds: list[float] = []
    result = None
    for _ in range(REPEATS):
        gc.collect()
        gc.disable()
        started = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - started)
        gc.enable()
    return min(seconds), result


def measure(path: Path, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """One row: both readings of one file."""
    theirs_s, theirs = timed(lambda: walk(path))
    ours_s, parsed = timed(lambda: read_ifc(path, *arguments))
    sandbox_s, _ = timed(lambda: run_limited(read_ifc, path, *arguments))
    ours = counts(parsed)
    # The site has no whole but the project, which is no twin.
    theirs["placed"] -= sum(twin.attributes["ifcClass"].value == "IfcSite" for twin in parsed.twins)
    return {
        "file": path.name,
        "MB": round(path.stat().st_size / 1e6, 2),
        **ours,
        "ifcopenshell_s": round(theirs_s, 3),
        "twinmesh_s": round(ours_s, 3),
        "ratio": round(theirs_s / ours_s, 2),
        "sandbox_s": round(sandbox_s, 3),
        "agree": ours == theirs,
        "ifcopenshell": theirs,
    }


def run() -> dict[str, Any]:
    """Measure all files that are there. Keys: machine, versions, rows, aims."""
    arguments = (
        ImportRequest("bench", "https://twinmesh.invalid/bench/", "bench"),
        load_schema(),
        load_units(),
    )
    rows = [measure(SHARED / name, arguments) for name in FILES if (SHARED / name).is_file()]
    agreeing = sum(row["agree"] for row in rows)
    slowest = min((row["ratio"] for row in rows), default=0.0)
    return {
        "machine": {
            "processors": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "versions": {"ifcopenshell": version("ifcopenshell"), "twinmesh": version("twinmesh")},
        "rows": rows,
        "aims": [
            {
                "name": "counts equal IfcOpenShell's own",
                "aim": len(rows),
                "value": agreeing,
                "met": bool(rows) and agreeing == len(rows),
            },
            {
                "name": "a first ratio beside IfcOpenShell's own walk",
                "aim": None,
                "value": slowest,
                "met": bool(rows),
            },
        ],
    }


def main(arguments: list[str]) -> int:
    result = run()
    if "--json" in arguments:
        print(json.dumps(result))
        return 0
    columns = (
        "file",
        "MB",
        "twins",
        "properties",
        "flows",
        "ifcopenshell_s",
        "twinmesh_s",
        "ratio",
        "sandbox_s",
        "agree",
    )
    print(" | ".join(columns))
    for row in result["rows"]:
        print(" | ".join(str(row[column]) for column in columns))
    for aim in result["aims"]:
        print(f"{'met' if aim['met'] else 'NOT MET'}: {aim['name']}: {aim['value']} (aim {aim['aim']})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
