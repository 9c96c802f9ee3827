"""Documents tell the truth: commands exist, codes are described, rooms are drawn."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ontology", "graph", "simulation", "adapters", "federation", "api")
CODE = re.compile(r"""code\s*=\s*"([A-Z][A-Z0-9_]+)"|Problem\(\s*"([A-Z][A-Z0-9_]+)"|default_code\s*=\s*"([A-Z][A-Z0-9_]+)\"""")


def codes_in_source() -> set[str]:
    texts = [path.read_text(encoding="utf-8") for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    return {next(filter(None, match)) for text in texts for match in CODE.findall(text)}


def test_every_error_code_is_described() -> None:
    described = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")))
    assert len(codes_in_source()) > 40
    assert codes_in_source() - described == set()


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
