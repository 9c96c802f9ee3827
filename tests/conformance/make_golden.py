"""Make a golden data folder and what is expected of it with the program of today.

Run once per disk format, when it is settled:
`python tests/conformance/make_golden.py tests/conformance/golden/format-N`.
The result is committed and never made again: later programs must read it as it is.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from golden_listing import content_listing, digests, site_listing
from golden_recipe import CAMPUS, campus_changes, plant_changes, record_readings, ticking

from adapters.exporting import export_document
from graph.mesh import Mesh
from graph.twin import Twin
from ontology.schema import load_schema
from ontology.units import load_units

EXPORTS = ("nq", "graphml", "csv")


def main(target: Path) -> None:
    schema, units = load_schema(), load_units()
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        Mesh.open(data, schema, units=units).close()
        expected = _write_sites(data, schema, units)
        shutil.copytree(data, target / "data", ignore=shutil.ignore_patterns("lock", "*-shm"))
        with Mesh.open(data, schema, units=units, read_only=True) as mesh:
            for format in EXPORTS:
                (target / f"export.{format}").write_bytes(export_document(mesh, format))
            expected["content"] = {site: content_listing(mesh.twin(site).snapshot()) for site in mesh.sites}
    text = json.dumps(expected, indent=1, ensure_ascii=False, sort_keys=True)
    (target / "expected.json").write_text(text + "\n", encoding="utf-8")


def _write_sites(data: Path, schema, units) -> dict[str, object]:
    campus = Twin.open(
        data / "sites" / "campus", schema, site="campus", base=CAMPUS, units=units, clock=ticking()
    )
    expected: dict[str, object] = {}
    with campus:
        expected["answers"] = _apply(campus, campus_changes())
        record_readings(campus)
        expected["campus"] = site_listing(campus)
        expected["digests"] = {"campus": digests(campus)}
    # Left open: its last commits stand in the write-ahead log only, as after a crash. It has no readings.
    plant = Twin.open(data / "sites" / "plant", schema, site="plant", units=units, clock=ticking())
    expected["answers"] |= _apply(plant, plant_changes())
    expected["plant"] = site_listing(plant)
    expected["digests"]["plant"] = digests(plant)
    return expected


def _apply(twin: Twin, changes) -> dict[str, object]:
    answers = {}
    for change in changes:
        applied = twin.apply(change)
        if change.idempotency_key:
            items = [[item.id, str(item.status), item.code, item.message] for item in applied.items]
            answers[change.idempotency_key] = {"revision": applied.revision, "items": items}
    return answers


if __name__ == "__main__":
    main(Path(sys.argv[1]))
