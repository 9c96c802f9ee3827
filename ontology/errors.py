"""The whole error tree.

TwinmeshError                 one base; each has a stable `code`, a message, perhaps a place and a hint
├── UsageError                the command or the request is formed wrongly (exit code 2)
├── InputError                a file, a cell, a document or a scenario is wrong; nothing was applied
├── ChangeError               a change breaks the schema; carries every violation
├── ConflictError             the world moved on: expected revision, idempotency key reused for other work
├── NotFoundError             no such twin, kind, relation, attribute, scenario; carries suggestions
├── AccessError               not signed in, or not allowed
├── LimitError                a stated limit was reached; nothing was done by half
└── StoreError                locked, read-only, corrupt or of another version
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Place:
    """Where an error was found; every part may be missing."""

    path: str | None = None
    line: int | None = None
    column: int | None = None
    item: str | None = None

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)
        return f"{where} ({self.item})" if where and self.item else where or self.item or ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong (or only odd, as a warning), ready to be reported."""

    code: str
    message: str
    place: Place = field(default_factory=Place)
    hint: str | None = None

    def __str__(self) -> str:
        where = str(self.place)
        text = f"{self.code}: {where}: {self.message}" if where else f"{self.code}: {self.message}"
        return f"{text} (hint: {self.hint})" if self.hint else text


class TwinmeshError(Exception):
    """Base of all errors that twinmesh raises on purpose. `code` is stable across versions."""

    default_code = "INTERNAL"

    def __init__(
        self, message: str, *, code: str | None = None, place: Place | None = None, hint: str | None = None
    ) -> None:
        self.code = code or self.default_code
        self.message = message
        self.place = place or Place()
        self.hint = hint
        super().__init__(str(self.problem))

    @property
    def problem(self) -> Problem:
        return Problem(self.code, self.message, self.place, self.hint)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem this error stands for; at least one."""
        return (self.problem,)


class UsageError(TwinmeshError):
    default_code = "USAGE"


class _ManyProblems(TwinmeshError):
    """An error that may carry more than one problem; the first one leads the message."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        place: Place | None = None,
        hint: str | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message, code=code, place=place, hint=hint)
        self._problems = tuple(problems)

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> _ManyProblems:
        """The error for a list of at least one problem."""
        first = problems[0]
        return cls(first.message, code=first.code, place=first.place, hint=first.hint, problems=problems)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self._problems or (self.problem,)


class InputError(_ManyProblems):
    default_code = "INPUT_INVALID"


class ChangeError(_ManyProblems):
    default_code = "CHANGE_INVALID"


class ConflictError(TwinmeshError):
    default_code = "REVISION_CONFLICT"


class NotFoundError(TwinmeshError):
    default_code = "NOT_FOUND"


class AccessError(TwinmeshError):
    default_code = "FORBIDDEN"


class LimitError(TwinmeshError):
    default_code = "LIMIT_EXCEEDED"


class StoreError(TwinmeshError):
    default_code = "STORE_FAILED"


def suggestion(name: str, known: Iterable[str]) -> str | None:
    """A hint naming the known names nearest to `name`, or None."""
    near = get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else None
