"""`verify`: every file of a data folder or backup against everything that says what it must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.commands.console import EXIT_DONE, EXIT_PROBLEM, note, problem_json, say, say_json
from graph.verifying import verify_folder
from ontology.schema import load_schema

if TYPE_CHECKING:
    from pathlib import Path

    from graph.verifying import FolderReport, SiteReport


def run_verify(folder: Path, *, as_json: bool) -> int:
    """Exit code 1 where anything is not what it was when it was written. Changes nothing."""
    report = verify_folder(folder, load_schema())
    if as_json:
        say_json(_json(report))
    else:
        _tell(report)
    return EXIT_DONE if report.sound else EXIT_PROBLEM


def _tell(report: FolderReport) -> None:
    for problem in report.problems:
        note(f"error: {problem}")
    if report.files is not None and not report.problems:
        say(f"backup: {report.files} files as the manifest has them")
    for site in report.sites:
        for problem in site.problems:
            note(f"error: {site.site}: {problem}")
        if not site.problems:
            say(f"{site.site}: {site.revision} commits, chain unbroken, content {site.hash}")
        for gap in site.gaps:
            say(f"{site.site}: {gap}")


def _json(report: FolderReport) -> dict[str, object]:
    return {
        "sound": report.sound,
        "files": report.files,
        "problems": [problem_json(problem) for problem in report.problems],
        "sites": [_site_json(site) for site in report.sites],
    }


def _site_json(site: SiteReport) -> dict[str, object]:
    return {
        "site": site.site,
        "revision": str(site.revision),
        "format": site.format,
        "digest": site.digest,
        "content": site.hash,
        "checked": site.checked,
        "gaps": site.gaps,
        "problems": [problem_json(problem) for problem in site.problems],
    }
