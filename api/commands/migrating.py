"""`migrate`: sites of an older format brought to this one; `--check` only looks ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.commands.console import EXIT_DONE, EXIT_PROBLEM, note, problem_json, say, say_json
from graph.migrating import migrate_folder, plan_migration, site_folders
from graph.stores.layout import FORMAT_VERSION
from ontology.schema import load_schema

if TYPE_CHECKING:
    from pathlib import Path

    from graph.migrating import Step


def run_migrate(data: Path, *, check: bool, as_json: bool) -> int:
    """Exit code 1 where a site cannot be migrated; with `check` nothing is changed."""
    schema = load_schema()
    if check:
        steps = [plan_migration(folder, schema) for folder in site_folders(data)]
    else:
        steps = migrate_folder(data, schema)
    if as_json:
        say_json({"format": FORMAT_VERSION, "checked": check, "sites": [_json(step) for step in steps]})
    else:
        _tell(steps, check)
    return EXIT_PROBLEM if any(step.problems for step in steps) else EXIT_DONE


def _tell(steps: list[Step], check: bool) -> None:
    for step in steps:
        for problem in step.problems:
            note(f"error: {step.site}: {problem}")
        if not step.problems:
            say(f"{step.site}: {_said(step, check)}")
    if not steps:
        say(f"every site has format {FORMAT_VERSION}, nothing to do")


def _said(step: Step, check: bool) -> str:
    if not step.due:
        return f"has format {step.format}, nothing to do"
    if step.format == FORMAT_VERSION:
        return f"readings {'can become' if check else 'are'} Parquet files; the old file stays beside them"
    if not check:
        return f"{step.revision} commits have format {FORMAT_VERSION} now; the old journal is in {step.kept}"
    room = f"needs {step.bytes_needed:,} bytes of {step.bytes_free:,} that are free"
    return f"format {step.format} with {step.revision} commits can become {FORMAT_VERSION}; {room}"


def _json(step: Step) -> dict[str, object]:
    return {
        "site": step.site,
        "format": step.format,
        "due": step.due,
        "revision": str(step.revision),
        "bytesNeeded": step.bytes_needed,
        "bytesFree": step.bytes_free,
        "kept": str(step.kept) if step.due else None,
        "problems": [problem_json(problem) for problem in step.problems],
    }
