"""What a field of the query becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.pushdown.reading import Reading, Row


@dataclass(frozen=True, slots=True)
class Statement:
    """Text, parameters, and what makes data of the one row that it gives; or what is to be asked next.

    is_kept: False where it holds for the graph of this moment only.
    """

    text: str
    values: dict[str, Any]
    read: Callable[[Row, Reading], Any]  # data, or another Statement
    min_revision: int | None = None
    is_kept: bool = True
