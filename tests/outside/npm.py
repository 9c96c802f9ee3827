"""Packages of npm by name and version or by a lock file, in a cache of the checkout that git ignores."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.conftest import missing

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".tools" / "npm"
INSTALL_S_MAX = 240


def trusting() -> dict[str, str]:
    """The environment, with the certificates that Python and uv were told to trust for node as well."""
    known = os.environ.get("NODE_EXTRA_CA_CERTS") or os.environ.get("SSL_CERT_FILE")
    return {**os.environ, **({"NODE_EXTRA_CA_CERTS": known} if known else {})}


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
            capture_output=True, text=True, timeout=INSTALL_S_MAX, cwd=folder, env=trusting(),
        )  # fmt: skip
        if done.returncode != 0:
            missing(f"npm cannot install {name}@{version}: {done.stderr.strip()[-200:]}")
    return found


def locked(folder: Path) -> Path:
    """A folder whose `node_modules` are those of a folder's package-lock.json, installed at first use."""
    node()
    lock = (folder / "package-lock.json").read_bytes()
    made = CACHE / f"{folder.name}-{hashlib.sha256(lock).hexdigest()[:16]}"
    if made.is_dir():
        return made
    CACHE.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=CACHE))
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, draft / name)
        options = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        done = subprocess.run(
            ["npm", "ci", *options],
            capture_output=True, text=True, timeout=INSTALL_S_MAX, cwd=draft, env=trusting(),
        )  # fmt: skip
        if done.returncode != 0:
            missing(f"npm cannot install what {folder.name} locks: {done.stderr.strip()[-200:]}")
        with contextlib.suppress(OSError):  # another process was faster
            draft.rename(made)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return made
