"""Packages of npm by name and version, in a cache of the checkout that git ignores."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import missing

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".tools" / "npm"
INSTALL_S_MAX = 240


def node() -> str:
    """Path of node, which must be there with npm."""
    found = shutil.which("node")
    if not found or not shutil.which("npm"):
        missing("node and npm are not installed")
    return found or ""


def package(name: str, version: str) -> Path:
    """The folder of an installed package; installs it at first use. Skips by name where that fails."""
    node()
    folder = CACHE / f"{name.replace('/', '__')}-{version}"
    found = folder / "node_modules" / name
    if not (found / "package.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        done = subprocess.run(
            ["npm", "install", *options, "--prefix", str(folder), f"{name}@{version}"],
            capture_output=True, text=True, timeout=INSTALL_S_MAX, cwd=folder,
        )  # fmt: skip
        if done.returncode != 0:
            missing(f"npm cannot install {name}@{version}: {done.stderr.strip()[-200:]}")
    return found
