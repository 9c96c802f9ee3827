"""Problems found in one file, collected until all of it was looked at."""

from __future__ import annotations

from ontology.errors import InputError, Place, Problem

PROBLEMS_MAX = 100


class Problems:
    """Notes what is wrong with a file, at most PROBLEMS_MAX entries; the rest is only counted."""

    def __init__(self, path: str, limit: int = PROBLEMS_MAX) -> None:
        self._path = path
        self._limit = limit
        self._found: list[Problem] = []
        self._left_out = 0

    def __len__(self) -> int:
        return len(self._found) + self._left_out

    @property
    def full(self) -> bool:
        """True if further problems are only counted, so that nobody needs to think of hints."""
        return len(self._found) >= self._limit

    def add(
        self,
        code: str,
        message: str,
        *,
        line: int | None = None,
        column: int | None = None,
        item: str | None = None,
        hint: str | None = None,
    ) -> None:
        """Note one problem. `line` counts from 1; `column` too: a character, in tables a cell."""
        if self.full:
            self._left_out += 1
            return
        self._found.append(Problem(code, message, Place(self._path, line, column, item), hint))

    def all(self) -> tuple[Problem, ...]:
        """Everything noted; where some were left out, the last entry says how many."""
        if not self._left_out:
            return tuple(self._found)
        more = Problem("MORE_PROBLEMS", f"{self._left_out} more are not listed", Place(self._path))
        return (*self._found, more)

    def raise_if_any(self) -> None:
        """Raises InputError with all problems, if there are any."""
        if self._found:
            raise InputError.of(self.all())
