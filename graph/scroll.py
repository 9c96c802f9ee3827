"""A match that is read to its end: rows found and ordered once, then handed out page by page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from graph.plan import PageRequest


@dataclass(frozen=True, slots=True, eq=False)
class ScrollPage:
    """Some rows of a scroll, as a page. It has no cursors: only its scroll goes on from it."""

    rows: npt.NDArray[np.int32]
    has_previous: bool
    has_next: bool
    total: int

    def cursor(self, index: int) -> str:
        raise InputError(f"place {index} of an export has no cursor", code="EXPORT_INVALID")


@dataclass(slots=True, eq=False)
class Scroll:
    """One match of one moment. `rows_per_page` may be changed between pages."""

    rows_per_page: int
    _rows: npt.NDArray[np.int32] | None = field(default=None)
    _taken: int = field(default=0)

    @property
    def has_begun(self) -> bool:
        return self._rows is not None

    @property
    def has_next(self) -> bool:
        """Whether rows are left; True before the first page."""
        return self._rows is None or self._taken < len(self._rows)

    @property
    def taken(self) -> int:
        return self._taken

    def go_back(self, taken: int) -> None:
        """Hand out again what came after so many rows."""
        self._taken = taken

    def next_page(self, request: PageRequest, find: Callable[[], npt.NDArray[np.int32]]) -> ScrollPage:
        """The next rows. `first` bounds all pages together. InputError EXPORT_INVALID for cursors."""
        if self._rows is None:
            self._rows = _bounded(request, find)
        begin = self._taken
        self._taken = min(begin + self.rows_per_page, len(self._rows))
        rows = self._rows[begin : self._taken]
        return ScrollPage(rows, begin > 0, self.has_next, len(self._rows))


def _bounded(request: PageRequest, find: Callable[[], npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
    if request.after is not None or request.before is not None or request.last is not None:
        message = "an export takes no `after`, `before` or `last`"
        raise InputError(message, code="EXPORT_INVALID", hint="`first` bounds the whole")
    if request.first is not None and request.first < 0:
        raise InputError("an export cannot have a negative size", code="PAGE_INVALID")
    return find()[: request.first]
