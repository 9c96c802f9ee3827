"""What the fault tests share: seeds that are printed, and what they need of the machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import missing


@pytest.fixture
def seed() -> int:
    """Fresh in every run, printed with every result; TWINMESH_SEED repeats one."""
    return int(os.environ.get("TWINMESH_SEED") or int.from_bytes(os.urandom(4)))


@pytest.fixture(scope="session")
def fiu_run() -> str:
    """The program that makes calls of libc fail on purpose."""
    found = shutil.which("fiu-run")
    if not found:
        missing("fiu-run is not installed (Debian: fiu-utils)")
    return found or ""


@pytest.fixture(scope="session")
def fusermount() -> str:
    """What a file system of our own needs: FUSE and the right to mount."""
    found = shutil.which("fusermount3")
    if not found or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        missing("fuse3 is not installed or /dev/fuse cannot be used")
    if not any(Path(folder, "libfuse3.so.3").exists() for folder in _library_folders()):
        missing("libfuse3 is not installed")
    return found or ""


def _library_folders() -> list[str]:
    return ["/lib", "/usr/lib", *map(str, Path("/usr/lib").glob("*-linux-gnu"))]
