"""Benchmarks live in the checkout, not in the wheel: found beside the packages, run as programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ontology.errors import UsageError, suggestion

BENCHES = Path(__file__).resolve().parent.parent.parent / "bench"


def run_bench(name: str, *, as_json: bool) -> int:
    """Run bench/NAME.py; its exit code. UsageError where there is no checkout or no such benchmark."""
    if not BENCHES.is_dir():
        raise UsageError(
            "benchmarks are not part of the installed package",
            code="BENCH_NO_CHECKOUT",
            hint="run it from a checkout of the project: uv run twinmesh bench NAME",
        )
    known = sorted(path.stem for path in BENCHES.glob("*.py") if _is_program(path))
    if name not in known:
        hint = suggestion(name, known) or f"there are {', '.join(known)}"
        raise UsageError(f"no benchmark {name!r}", code="BENCH_UNKNOWN", hint=hint)
    # By its module: a file beside it must not be taken for a package of the same name (bench/graphql.py).
    program = [sys.executable, "-m", f"bench.{name}", *(["--json"] if as_json else [])]
    return subprocess.run(program, cwd=BENCHES.parent, check=False).returncode


def _is_program(path: Path) -> bool:
    """Beside the benchmarks lies what they share."""
    return 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
