"""What the command line says: results on stdout, the rest on stderr, one JSON document with `--json`."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ontology.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from ontology.errors import Problem, TwinmeshError

EXIT_DONE, EXIT_PROBLEM, EXIT_USAGE = 0, 1, 2


def say(text: str) -> None:
    """A line on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_json(document: object) -> None:
    """One JSON document on stdout."""
    say(json.dumps(document, ensure_ascii=False, indent=2))


def note(text: str) -> None:
    """A line on stderr, for people."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def fail(error: TwinmeshError, *, as_json: bool) -> int:
    """Report an error: code, place and hint on stderr; with `as_json` on stdout too. The exit code."""
    for problem in error.problems:
        note(f"error: {problem}")
    if as_json:
        say_json({"errors": [problem_json(problem) for problem in error.problems]})
    return EXIT_USAGE if isinstance(error, UsageError) else EXIT_PROBLEM


def problem_json(problem: Problem) -> dict[str, object]:
    place = problem.place
    return {
        "code": problem.code,
        "message": problem.message,
        "path": place.path,
        "line": place.line,
        "item": place.item,
        "hint": problem.hint,
    }


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> Iterator[str]:
    """Lines of a plain table: columns as wide as their widest cell, numbers to the right, no colour."""
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in (list(columns), *cells)) for i in range(len(columns))]
    right = [all(isinstance(row.get(column), int | float | None) for row in rows) for column in columns]
    for line in (list(columns), *cells):
        parts = (
            text.rjust(width) if numeric else text.ljust(width)
            for text, width, numeric in zip(line, widths, right, strict=True)
        )
        yield "  ".join(parts).rstrip()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


@contextlib.contextmanager
def progress(label: str, *, quiet: bool) -> Generator[Callable[[float], None]]:
    """A bar on stderr where that is a terminal; the function takes the share that is done, 0 to 1."""
    if quiet or not sys.stderr.isatty():
        yield lambda _share: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=1.0)
        yield lambda share: bar.update(task, completed=share)
