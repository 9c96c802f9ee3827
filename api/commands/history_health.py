"""What the histories of a data folder take, for `doctor`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from api.commands.finding import Finding
from graph.readings.checking import measure
from graph.readings.opened import resolution_name
from ontology.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def history_findings(data: Path) -> Iterator[Finding]:
    """One for each site with readings: how many, in how many bytes, how fine."""
    for folder in sorted((data / "sites").glob("*/history")):
        name = f"history {folder.parent.name}"
        try:
            sizes = measure(folder.parent)
        except (StoreError, OSError) as error:
            yield Finding(name, "problem", str(error), "run twinmesh verify, then restore a backup")
            continue
        tiers = Counter(resolution_name(entry.resolution_ns) for entry in sizes.segments)
        segments = ", ".join(f"{count} of {tier}" for tier, count in sorted(tiers.items())) or "none"
        detail = f"{sizes.rows + sizes.log_rows:,} readings in {sizes.bytes:,} bytes; segments: {segments}"
        yield Finding(name, "ok", detail)
