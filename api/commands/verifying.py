"""`verify`: the hash chain of every journal, checked from its first entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.commands.console import EXIT_DONE, EXIT_PROBLEM, note, problem_json, say, say_json
from api.commands.folders import open_to_read

if TYPE_CHECKING:
    from pathlib import Path


def run_verify(folder: Path, *, as_json: bool) -> int:
    """Exit code 1 where any site's journal is not what it was when it was written."""
    with open_to_read(folder) as mesh:
        found = {site: mesh.twin(site).verify() for site in mesh.sites}
        revisions = {site: mesh.twin(site).snapshot().revision for site in mesh.sites}
    sound = not any(found.values())
    if as_json:
        sites = [
            {"site": site, "revision": str(revisions[site]), "problems": [problem_json(p) for p in problems]}
            for site, problems in found.items()
        ]
        say_json({"sound": sound, "sites": sites})
        return EXIT_DONE if sound else EXIT_PROBLEM
    for site, problems in found.items():
        for problem in problems:
            note(f"error: {site}: {problem}")
        if not problems:
            say(f"{site}: {revisions[site]} commits, chain unbroken")
    return EXIT_DONE if sound else EXIT_PROBLEM
