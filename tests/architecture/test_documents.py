"""Documents tell the truth: commands exist, codes are described, rooms are drawn."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ontology", "graph", "simulation", "adapters", "federation", "api")


def test_every_error_code_is_described() -> None:
    """`make docs` writes docs/errors.md from the source; here it must be what the source says now."""
    done = subprocess.run([sys.executable, ROOT / "scripts" / "make_error_docs.py", "--check"])
    assert done.returncode == 0, "docs/errors.md is out of date: run `make docs`"
    rows = re.findall(
        r"^\| `[A-Z0-9_]+` \|[^|]*\|", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) > 100
    assert [row for row in rows if row.endswith("|  |")] == []


def test_readme_commands_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", readme))
    assert {"demo", "test"} <= named <= targets


def test_architecture_names_every_package() -> None:
    drawn = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert [name for name in PACKAGES if f"{name}/" not in drawn] == []


def test_licences_are_here() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    assert all(name in notice for name in ("Brick", "RealEstateCore", "QUDT", "IfcOpenShell"))
