"""What `twinmesh doctor` found out about one thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. Only `problem` makes the exit code 1; `absent` is an option left out."""

    name: str
    state: Literal["ok", "absent", "warning", "problem"]
    detail: str
    hint: str | None = None
