"""`verify`: every file of a data folder or backup against everything that says what it must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.commands.console import EXIT_DONE, EXIT_PROBLEM, note, problem_json, say, say_json
from api.commands.folders import journals_of
from graph.content import content_of
from graph.manifest import is_backup
from graph.mesh import Mesh
from graph.verifying import FolderReport, SiteReport, verify_folder
from ontology.schema import load_schema
from ontology.units import load_units

if TYPE_CHECKING:
    from pathlib import Path

    from graph.journals import Journals


def run_verify(folder: Path, *, as_json: bool) -> int:
    """Exit code 1 where anything is not what it was when it was written. Changes nothing."""
    shared = None if is_backup(folder) else journals_of(folder)
    report = verify_folder(folder, load_schema()) if shared is None else _verify_shared(folder, shared)
    if as_json:
        say_json(_json(report))
    else:
        _tell(report)
    return EXIT_DONE if report.sound else EXIT_PROBLEM


def _verify_shared(folder: Path, journals: Journals) -> FolderReport:
    """Sites whose journals are in a database: their chains, their replay, and what is kept beside."""
    report = FolderReport()
    with Mesh.open(folder, load_schema(), units=load_units(), read_only=True, journals=journals) as mesh:
        for name in mesh.sites:
            twin = mesh.twin(name)
            snapshot = twin.snapshot()
            site = SiteReport(name, snapshot.revision, problems=twin.verify())
            digest = twin.digest_at(snapshot.revision)
            site.digest, site.hash = (digest.hex() if digest else None), content_of(snapshot).hash
            site.checked += ["the hash chain of the journal, its head and its answers", "the graph beside it"]
            problems, gaps = journals.compared(snapshot)
            site.problems += problems
            site.gaps += gaps
            report.sites.append(site)
    return report


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
