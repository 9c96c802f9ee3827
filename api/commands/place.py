"""Where a verb works: a data folder on this machine, or a server."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.world import Mesh

from ontology.errors import NotFoundError, UsageError
from ontology.errors import Place as Spot
from ontology.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """Exactly one of `folder` and `url` is set."""

    folder: Path | None
    url: str | None
    token: str | None

    @classmethod
    def of(cls, folder: Path | None, url: str | None, token: str | None) -> Place:
        """UsageError where neither or both of --data and --url are given, or the URL is none."""
        if (folder is None) == (url is None):
            raise UsageError(
                "give --data DIR or --url URL", code="PLACE_MISSING" if url is None else "PLACE_TWICE"
            )
        if url is not None and not url.startswith(("http://", "https://")):
            raise UsageError(f"{url!r} is no http or https URL", code="URL_INVALID")
        return cls(folder, url.rstrip("/") if url else None, token)


@contextlib.contextmanager
def open_to_read(folder: Path) -> Iterator[Mesh]:
    """The sites of a folder, followed: works beside a server that writes them. NotFoundError FOLDER_UNKNOWN."""
    if not (folder / "sites").is_dir():
        message = "holds no sites" if folder.is_dir() else "no such data folder"
        raise NotFoundError(
            message, code="FOLDER_UNKNOWN", place=Spot(str(folder)), hint="twinmesh import --data makes one"
        )
    with contextlib.closing(Mesh.open(folder, load_schema(), read_only=True)) as mesh:
        yield mesh


@contextlib.contextmanager
def open_to_write(folder: Path) -> Iterator[Mesh]:
    """The sites of a folder as their one writer. StoreError STORE_LOCKED where another process is that."""
    with contextlib.closing(Mesh.open(folder, load_schema())) as mesh:
        yield mesh
