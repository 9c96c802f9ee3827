"""Make a golden data folder and what is expected of it with the program of today.

Run once per disk format, when it is settled:
`python tests/conformance/make_golden.py tests/conformance/golden/format-N`.
The result is committed and never made again: later programs must read it as it is.
"""

from __future__ import annotations

import json
import lzma
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from golden_bulk import bulk_changes, bulk_plant_changes
from golden_listing import applied_listing, content_listing, digests, site_listing
from golden_recipe import CAMPUS, campus_changes, plant_changes, record_readings, ticking

from adapters.exporting import export_document
from graph.checkpoints import CheckpointPolicy
from graph.mesh import Mesh
from graph.twin import Twin
from ontology.schema import load_schema
from ontology.units import load_units

EXPORTS = ("nq", "graphml", "csv")
# A checkpoint at each closing.
EAGER = CheckpointPolicy(closing_commits=1)


def main(target: Path) -> None:
    schema, units = load_schema(), load_units()
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        Mesh.open(data, schema, units=units).close()
        expected = _write_sites(data, schema, units)
        _pack(data, target / "data.tar.xz")
        with Mesh.open(data, schema, units=units, read_only=True) as mesh:
            for format in EXPORTS:
                document = export_document(mesh, format)
                (target / f"export.{format}.xz").write_bytes(lzma.compress(document, preset=9))
            expected["content"] = {site: content_listing(mesh.twin(site).snapshot()) for site in mesh.sites}
    text = json.dumps(expected, indent=1, ensure_ascii=False, sort_keys=True)
    (target / "expected.json.xz").write_bytes(lzma.compress(f"{text}\n".encode(), preset=9))


def _pack(data: Path, archive: Path) -> None:
    """Sparse logs and pages of zeros: packed they are small."""
    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for path in sorted(data.rglob("*")):
            if path.is_file() and path.name != "lock" and not path.name.endswith("-shm"):
                packed.add(path, path.relative_to(data).as_posix())


def _write_sites(data: Path, schema, units) -> dict[str, object]:
    expected: dict[str, object] = {"answers": {}, "digests": {}}
    folder, clock = data / "sites" / "campus", ticking()
    # Two times, so that there are two checkpoints.
    for changes in (campus_changes(), bulk_changes()):
        options = {"base": CAMPUS, "units": units, "clock": clock, "checkpoints": EAGER}
        with Twin.open(folder, schema, site="campus", **options) as campus:
            first = not campus.snapshot().revision
            expected["answers"] |= _apply(campus, changes)
            if first:
                record_readings(campus)
            expected["campus"] = site_listing(campus)
            expected["digests"]["campus"] = digests(campus)
    # Left open: its last commits stand in the write-ahead log only, as after a crash. It has no readings.
    plant = Twin.open(data / "sites" / "plant", schema, site="plant", units=units, clock=ticking())
    for changes in (plant_changes(), bulk_plant_changes()):
        expected["answers"] |= _apply(plant, changes)
    expected["plant"] = site_listing(plant)
    expected["digests"]["plant"] = digests(plant)
    return expected


def _apply(twin: Twin, changes) -> dict[str, object]:
    answers = {}
    for change in changes:
        applied = twin.apply(change)
        if change.idempotency_key:
            answers[change.idempotency_key] = applied_listing(applied)
    return answers


if __name__ == "__main__":
    main(Path(sys.argv[1]))
