"""What benchmarks of live data print."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def show(found: dict[str, Any], title: str, arguments: Sequence[str]) -> int:
    """Print what a benchmark found; its exit code."""
    if "--json" in arguments:
        print(json.dumps(found))
        return 0
    print(title)
    for row in found["rows"]:
        print(f"{row['what']:40} {row['value']:>14,}")
    for aim in found["aims"]:
        print(f"{'met' if aim['met'] else 'NOT MET':8} {aim['name']}: {aim['value']} (aim {aim['aim']})")
    return 0


def is_quick(arguments: Sequence[str]) -> bool:
    return "--quick" in arguments or os.environ.get("TWINMESH_BENCH_QUICK", "0") not in ("", "0")
