"""Folders and small files that are there after a power loss: a name is safe once its folder was synced."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make a folder and what is missing above it, durable on return. Raises OSError."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(new):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    with _opened(folder) as number:
        os.fsync(number)


def write_file(path: Path, content: bytes) -> None:
    """Write a small file: whole and durable on return, or not there at all. Raises OSError."""
    draft = path.with_name(f"{path.name}.draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


@contextmanager
def _opened(folder: Path) -> Generator[int]:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield number
    finally:
        os.close(number)
