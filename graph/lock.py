"""One writer per sub-twin: an advisory lock on a file that says who holds it and where to reach it."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from pathlib import Path


class WriterLock:
    """Held from `take` to `release`; the system releases it when the process dies, however it dies."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self._path = path
        self._file = file

    @classmethod
    def take(cls, path: Path, url: str | None = None) -> WriterLock:
        """Raises StoreError STORE_LOCKED, with the holder's URL where it serves one."""
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise locked(path) from error
        lock = cls(path, file)
        lock.announce(url)
        return lock

    def announce(self, url: str | None) -> None:
        """Say where the holder can be reached."""
        self._file.seek(0)
        self._file.truncate()
        json.dump({"pid": os.getpid(), "url": url}, self._file)
        self._file.flush()

    @property
    def released(self) -> bool:
        return self._file.closed

    def release(self) -> None:
        # The file stays: removing it would let two processes lock two different files of the same name.
        if not self._file.closed:
            with suppress(OSError):  # then it says who was the last
                self._file.truncate(0)
            self._file.close()


def locked(path: Path) -> StoreError:
    """The refusal for whoever may not write: the site belongs to the process that holds this lock."""
    holder = _holder(path)
    url = holder.get("url")
    if not holder:
        hint = "start `twinmesh serve` on the folder, and write through it"
        message = "only the process that serves this folder may write to it, and none says that it does"
        return StoreError(message, code="STORE_LOCKED", place=Place(path=str(path.parent)), hint=hint)
    message = f"another process (pid {holder.get('pid', 'unknown')}) writes to this folder"
    hint = f"use --url {url}" if url else "stop it, or open the folder read-only"
    text = f"{message}; it serves {url}" if url else message
    return StoreError(text, code="STORE_LOCKED", place=Place(path=str(path.parent)), hint=hint)


def _holder(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # it has only just taken the lock, or died while writing
