"""What an import did, file by file (INTERFACE section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ontology.errors import InputError

if TYPE_CHECKING:
    from graph.values import JSONValue
    from ontology.errors import Problem


@dataclass(frozen=True, slots=True)
class FileReport:
    """Counts of twins and relationships; `missing`: stated by this source before, no longer in the file."""

    path: str
    format: str | None
    source: str
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    missing: int = 0
    readings: int = 0
    warnings: tuple[Problem, ...] = ()
    errors: tuple[Problem, ...] = ()

    def to_json(self) -> dict[str, JSONValue]:
        return {
            "path": self.path,
            "format": self.format,
            "source": self.source,
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "missing": self.missing,
            "readings": self.readings,
            "warnings": [problem_json(problem) for problem in self.warnings],
            "errors": [problem_json(problem) for problem in self.errors],
        }


@dataclass(frozen=True, slots=True)
class ImportReport:
    """`applied` is False after errors and dry runs; `revision` is that of the site, None if nothing was."""

    files: tuple[FileReport, ...]
    site: str
    applied: bool = False
    revision: int | None = None
    removed: int = 0  # twins and relationships taken away by `replace`

    @property
    def ok(self) -> bool:
        return not self.errors

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The errors of all files."""
        return tuple(problem for file in self.files for problem in file.errors)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(problem for file in self.files for problem in file.warnings)

    def raise_for_errors(self) -> None:
        """Raises InputError with every error, if there are any."""
        if self.errors:
            raise InputError.of(self.errors)

    def to_json(self) -> dict[str, JSONValue]:
        return {
            "files": [file.to_json() for file in self.files],
            "site": self.site,
            "applied": self.applied,
            "revision": None if self.revision is None else str(self.revision),
            "removed": self.removed,
        }


def problem_json(problem: Problem) -> dict[str, JSONValue]:
    """A problem as the report writes it."""
    return {
        "code": problem.code,
        "message": problem.message,
        "line": problem.place.line,
        "column": problem.place.column,
        "item": problem.place.item,
        "hint": problem.hint,
    }
