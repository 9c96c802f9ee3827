"""Where a verb works: a data folder on this machine, or a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.commands.client import Client
from ontology.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """Exactly one of `folder` and `server` is set."""

    folder: Path | None
    server: Client | None

    @property
    def data_folder(self) -> Path:
        """The folder; only where there is no server."""
        assert self.folder is not None
        return self.folder

    @classmethod
    def of(cls, folder: Path | None, url: str | None, token: str | None) -> Place:
        """UsageError where neither or both of --data and --url are given, or the URL is none."""
        if folder is None and url is None:
            raise UsageError("give --data DIR or --url URL", code="PLACE_MISSING")
        if folder is not None and url is not None:
            raise UsageError("give --data or --url, not both", code="PLACE_TWICE")
        if url is not None and not url.startswith(("http://", "https://")):
            raise UsageError(f"{url!r} is no http or https URL", code="URL_INVALID")
        return cls(folder, Client(url.rstrip("/"), token) if url else None)
