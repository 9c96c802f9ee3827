"""Whether this machine is fit: Python, packages, services, and that nobody shadows our package names."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path
from typing import TYPE_CHECKING

from api.commands.console import EXIT_DONE, EXIT_PROBLEM, say, say_json
from api.commands.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PACKAGES = ("ontology", "graph", "simulation", "adapters", "federation", "api")
PYTHON_MIN = (3, 11)
SERVICES = {"mosquitto": "live telemetry of the demo and its tests"}
SERVICE_PATH = ":".join(("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"))


def run_checkup(data: Path | None, url: str | None, token: str | None, *, as_json: bool) -> int:
    """As `run_doctor`, with what a folder and a server tell where they are given."""
    if data is None and url is None:
        return run_doctor(as_json=as_json)
    from api.commands.binding_health import binding_findings, served  # noqa: PLC0415
    from api.commands.history_health import history_findings  # noqa: PLC0415
    from api.commands.lag_health import lag_findings  # noqa: PLC0415
    from api.commands.outward_health import outward_findings  # noqa: PLC0415
    from api.commands.peer_health import peer_findings  # noqa: PLC0415
    from api.commands.store_health import store_findings  # noqa: PLC0415

    doctors = (store_findings, peer_findings, binding_findings, outward_findings, history_findings)
    of_folder = [] if data is None else [finding for find in doctors for finding in find(data)]
    of_server = [] if url is None else [*lag_findings(url, token), *served(url, token)]
    return run_doctor([*of_folder, *of_server], as_json=as_json)


def run_doctor(more: Sequence[Finding] = (), *, as_json: bool) -> int:
    """Tell what was found here, and `more`. Imports little: it has to run where packages are in disorder."""
    findings = [_python(), _layout(), *_requirements(), *_services(), *more]
    healthy = all(finding.state != "problem" for finding in findings)
    if as_json:
        say_json({"healthy": healthy, "findings": [asdict(finding) for finding in findings]})
        return EXIT_DONE if healthy else EXIT_PROBLEM
    for finding in findings:
        hint = f" (hint: {finding.hint})" if finding.hint else ""
        say(f"{finding.state:8}{finding.name:22}{finding.detail}{hint}")
    return EXIT_DONE if healthy else EXIT_PROBLEM


def _python() -> Finding:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    fit = sys.version_info[:2] >= PYTHON_MIN
    return Finding("python", "ok" if fit else "problem", detail, None if fit else "3.11 or later is needed")


def _layout() -> Finding:
    """Our top-level names are common words: another distribution may have put its own package in front."""
    home = Path(__file__).resolve().parent.parent.parent
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent.parent if spec and spec.origin else None
        if found != home:
            where = f"{name} comes from {found}" if found else f"{name} is missing"
            return Finding("packages", "problem", where, "install twinmesh in an environment of its own")
    strangers = sorted(_foreign_files(home))
    if strangers:
        return Finding(
            "packages", "problem", f"other distributions own {', '.join(strangers)}", "reinstall twinmesh"
        )
    return Finding("packages", "ok", f"{len(PACKAGES)} packages share one folder")


def _foreign_files(home: Path) -> Iterator[str]:
    """Names of ours that the record of another distribution in the same folder claims as well."""
    for record in home.glob("*.dist-info/RECORD"):
        if record.parent.name.startswith("twinmesh-"):
            continue
        tops = {line.split("/", 1)[0] for line in record.read_text("utf-8").splitlines() if "/" in line}
        yield from (f"{name} ({record.parent.name})" for name in PACKAGES if name in tops)


def _requirements() -> Iterator[Finding]:
    try:
        wanted = requires("twinmesh") or []
    except PackageNotFoundError:
        yield Finding("twinmesh", "problem", "is not installed as a distribution", "uv sync")
        return
    for line in wanted:
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        yield _requirement(name, optional="extra ==" in line)


def _requirement(name: str, *, optional: bool) -> Finding:
    try:
        return Finding(name, "ok", distribution(name).version)
    except PackageNotFoundError:
        detail = "not installed" + (" (an extra)" if optional else "")
        return Finding(name, "absent" if optional else "problem", detail, None if optional else "uv sync")


def _services() -> Iterator[Finding]:
    for name, use in SERVICES.items():
        found = shutil.which(name) or shutil.which(name, path=SERVICE_PATH)
        state = "ok" if found else "absent"
        yield Finding(name, state, found or f"not found: {use}", None if found else f"apt-get install {name}")
