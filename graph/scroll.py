"""A match that is read to its end: rows found and ordered once, then handed out page by page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from graph.plan import PageRequest

T = TypeVar("T")


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
    """What was found at one moment, handed out in parts. `rows_per_page` may be changed between them.

    cut: why there may be more than was found, where that is so
    """

    rows_per_page: int
    cut: str | None = field(default=None)
    _found: object = field(default=None)
    _count: int | None = field(default=None)
    _taken: int = field(default=0)

    @property
    def has_begun(self) -> bool:
        return self._count is not None

    @property
    def has_next(self) -> bool:
        """Whether rows are left; True before the first part."""
        return self._count is None or self._taken < self._count

    @property
    def taken(self) -> int:
        return self._taken

    def go_back(self, taken: int) -> None:
        """Hand out again what came after so many rows."""
        self._taken = taken

    def next_part(self, first: int | None, find: Callable[[], tuple[T, int]]) -> tuple[T, slice]:
        """What was found, and which of it comes next. find: gives it with its length, called once.

        first: bounds all parts together. InputError PAGE_INVALID.
        """
        if self._count is None:
            if first is not None and first < 0:
                raise InputError("an export cannot have a negative size", code="PAGE_INVALID")
            self._found, count = find()
            self._count = count if first is None else min(first, count)
        begin = self._taken
        self._taken = min(begin + self.rows_per_page, self._count)
        return cast("T", self._found), slice(begin, self._taken)

    def next_page(self, request: PageRequest, find: Callable[[], npt.NDArray[np.int32]]) -> ScrollPage:
        """The next rows of a match. InputError EXPORT_INVALID for cursors."""
        if request.after is not None or request.before is not None or request.last is not None:
            message = "an export takes no `after`, `before` or `last`"
            raise InputError(message, code="EXPORT_INVALID", hint="`first` bounds the whole")
        rows, part = self.next_part(request.first, lambda: _counted(find()))
        return ScrollPage(rows[part], part.start > 0, self.has_next, len(rows))


def _counted(rows: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], int]:
    return rows, len(rows)
