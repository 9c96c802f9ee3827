"""Files that must be there whole after a power loss: copied, synced, and the disk's refusals told."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from graph.folders import sync_folder
from graph.marks import blocks_of, mark_blocks
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path
    from typing import IO

    from graph.marks import FileMark

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def failing(code: str, path: Path) -> Generator[None]:
    """An error of the disk as StoreError `code`, with what an operator can do about it."""
    try:
        yield
    except OSError as error:
        full = error.errno in _FULL
        hint = "the disk is full: make room, then repeat" if full else "nothing is left behind; then repeat"
        where = Place(path=str(error.filename or path))
        raise StoreError(error.strerror or str(error), code=code, place=where, hint=hint) from error


def is_empty(folder: Path) -> bool:
    """True for a folder without anything in it; False for a file. OSError."""
    return folder.is_dir() and next(folder.iterdir(), None) is None


def copy_file(source: Path, target: Path) -> None:
    """With its times and permissions. OSError."""
    shutil.copy2(source, target)


def copy_marked(source: Path, target: Path, name: str) -> FileMark:
    """Copy a file and mark what was read; durable on return. OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("xb") as writer:
        mark = mark_blocks(name, _written(blocks_of(reader), writer))
        writer.flush()
        os.fsync(writer.fileno())
    shutil.copymode(source, target)
    return mark


def sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_tree(folder: Path) -> None:
    """Every file and every name below a folder. OSError."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            sync_file(path)
    sync_folder(folder)


def _written(blocks: Iterator[bytes], target: IO[bytes]) -> Iterator[bytes]:
    for block in blocks:
        target.write(block)
        yield block
