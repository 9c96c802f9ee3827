"""Files -> one Change: parse each in the sandbox, resolve ends, apply all or nothing, report."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adapters.formats import format_of, importer_of
from adapters.merging import Assembly, assemble
from adapters.model import ImportRequest, Parsed
from adapters.packing import read_packed, unpack
from adapters.problems import Problems
from adapters.readings import find_point, resolve_readings, typed_readings
from adapters.replay.source import to_readings
from adapters.report import FileReport, ImportReport
from adapters.resolving import Known, Resolver
from adapters.sandbox import run_limited
from graph.check import Checker
from graph.collector import collector_paused
from graph.drafting import draft_change
from graph.ids import default_base, is_site_name, is_valid_iri
from graph.pools import Pools
from graph.state import State
from graph.values import Applied, ItemStatus
from ontology.errors import ChangeError, InputError, Problem, TwinmeshError, UsageError
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from adapters.model import ReadingRows
    from graph.mesh import Mesh
    from graph.values import Change, RelationshipRecord
    from ontology.schema import Schema
    from ontology.units import Units

__all__ = ["ImportLimits", "ImportReport", "import_files", "resolve_readings"]

_PARSED_AT_ONCE_MAX = 4


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """What the child process that reads one file may use."""

    memory_mb: int = 4096
    cpu_s: int = 300
    wall_s: float = 600.0


@dataclass(slots=True)
class _File:
    """One file on its way through an import."""

    path: Path
    source: str
    format: str | None
    errors: Problems
    warnings: Problems
    parsed: Parsed | None = None
    relationships: tuple[RelationshipRecord, ...] = ()
    readings: ReadingRows | None = None
    recorded: int = 0
    counts: dict[ItemStatus, int] = field(default_factory=dict[ItemStatus, int])

    def note(self, error: TwinmeshError) -> None:
        for problem in error.problems:
            self.take(problem)

    def take(self, problem: Problem, line: int | None = None, *, warning: bool = False) -> None:
        place = problem.place
        (self.warnings if warning else self.errors).add(
            problem.code,
            problem.message,
            line=place.line if line is None else line,
            column=place.column,
            item=place.item,
            hint=problem.hint,
        )


def import_files(
    mesh: Mesh,
    files: Sequence[Path],
    *,
    site: str,
    units: Units | None = None,
    source: str | None = None,
    base: str | None = None,
    format: str | None = None,
    replace: bool = False,
    dry_run: bool = False,
    author: str = "local",
    limits: ImportLimits | None = None,
) -> ImportReport:
    """Import files into a site as one change; errors in any file refuse all of them and are in the report.

    source: owner of all items (default: each file's name without suffix); base: of a new site; replace:
    remove what the sources stated before and no longer do; dry_run: check and count only. A site that is not
    there is made, but only once the change has passed all checks.

    Raises UsageError SITE_NAME_INVALID, BASE_INVALID or FORMAT_UNKNOWN, ConflictError SITE_BASE_FIXED,
    StoreError.
    """
    work = _Import(mesh, site, _base_of(mesh, site, base), units or load_units(), author, dry_run=dry_run)
    if format is not None:
        importer_of(format)
    batch = [_open(path, source, format) for path in files]
    _parse_all(batch, work, limits or ImportLimits())
    if not _failed(batch):
        work.run(batch, replace=replace)
    return work.report(batch)


def _base_of(mesh: Mesh, site: str, base: str | None) -> str:
    """The base IRI of a site, old or new."""
    if base is not None and not (is_valid_iri(base) and base.endswith(("/", "#"))):
        hint = "such as https://example.org/plant/"
        raise UsageError(f"{base!r} is no base IRI ending in / or #", code="BASE_INVALID", hint=hint)
    if site in mesh.sites:
        return mesh.create_site(site, base).base  # raises if the base is fixed already
    if not is_site_name(site):
        hint = "letters, digits, '.', '_' and '-', starting with a letter or digit"
        raise UsageError(f"{site!r} cannot name a site", code="SITE_NAME_INVALID", hint=hint)
    return base or default_base(site)


def _open(path: Path, source: str | None, format_name: str | None) -> _File:
    file = _File(path, source or path.stem, format_name, Problems(str(path)), Problems(str(path)))
    try:
        found = format_of(path)
        file.format = format_name or found
    except InputError as error:
        if format_name is None or error.code != "FORMAT_UNKNOWN":
            file.note(error)
    return file


def _parse_all(batch: Sequence[_File], work: _Import, limits: ImportLimits) -> None:
    """Every file is read before any is applied, a few at a time, each in a child of its own."""
    workers = min(len(batch), os.cpu_count() or 1, _PARSED_AT_ONCE_MAX)
    with ThreadPoolExecutor(max(workers, 1), thread_name_prefix="import") as pool:
        for waiting in [pool.submit(_parse, file, work, limits) for file in batch]:
            waiting.result()


def _parse(file: _File, work: _Import, limits: ImportLimits) -> None:
    if len(file.errors) or file.format is None:
        return
    request = ImportRequest(work.site, work.base, file.source)
    try:
        packed = run_limited(
            read_packed,
            importer_of(file.format),
            file.path,
            request,
            work.schema,
            work.units,
            memory_mb=limits.memory_mb,
            cpu_s=limits.cpu_s,
            wall_s=limits.wall_s,
        )
        with collector_paused(len(packed.columns)):
            file.parsed = unpack(packed, file.path)
    except TwinmeshError as error:
        file.note(error)
        return
    for problem in file.parsed.warnings:
        file.take(problem, warning=True)


def _failed(batch: Sequence[_File]) -> bool:
    return any(len(file.errors) for file in batch)


class _Import:
    """One import into one site."""

    def __init__(self, mesh: Mesh, site: str, base: str, units: Units, author: str, *, dry_run: bool) -> None:
        self.mesh = mesh
        self.site = site
        self.base = base
        self.units = units
        self.schema: Schema = mesh.schema
        self._author = author
        self._dry_run = dry_run
        self._is_new = site not in mesh.sites
        self._applied: Applied | None = None
        self._missing: dict[str, int] = {}
        self._removed = 0

    def run(self, batch: Sequence[_File], *, replace: bool) -> None:
        """Resolve, check, apply. Whatever is wrong is noted in the files."""
        parsed = [file.parsed for file in batch if file.parsed is not None]
        schema = self.schema.with_kinds([kind for one in parsed for kind in one.kinds])
        snapshots = {name: self.mesh.twin(name).snapshot() for name in self.mesh.sites}
        known = Known.of(self.site, self.base, parsed, snapshots)
        resolver = Resolver(known, schema)
        for file in batch:
            _resolve(file, resolver)
        if _failed(batch):
            return
        stated = [(file.parsed, file.relationships) for file in batch if file.parsed is not None]
        assembly = assemble(stated, known, self.schema, replace=replace)
        self._missing = assembly.missing
        if self._apply(assembly.change(self._author, dry_run=self._dry_run), assembly, batch):
            self._record(batch)

    def _apply(self, change: Change, assembly: Assembly, batch: Sequence[_File]) -> bool:
        """True if the change went through (or would have, in a dry run)."""
        try:
            rehearsed = self._rehearse(change) if self._is_new else None
            if rehearsed is not None and self._dry_run:
                self._applied = rehearsed
            else:
                self._applied = self.mesh.create_site(self.site, self.base).apply(change)
        except ChangeError as error:
            for problem in error.problems:
                owner = assembly.owner_of(problem.place.item, self.schema)
                batch[owner.file].take(problem, owner.line)
            return False
        self._count(assembly, self._applied, batch)
        return True

    def _rehearse(self, change: Change) -> Applied:
        """What a change would come to in a new site, without making the site."""
        empty = State(self.site, self.base, self.schema, Pools())
        draft = draft_change(empty, change, Checker(self.schema, self.units))
        return Applied(None, draft.items, False, draft.twin_blocks, draft.relationship_blocks)

    def _count(self, assembly: Assembly, applied: Applied, batch: Sequence[_File]) -> None:
        for file, block in assembly.counts(applied):
            counts = batch[file].counts
            for status in (ItemStatus.CREATED, ItemStatus.UPDATED, ItemStatus.UNCHANGED):
                counts[status] = counts.get(status, 0) + getattr(block, status.lower())
        for item in applied.items:
            # Of stubs the resolver told already, with the line of the file.
            if item.code is not None and item.code != "END_EXTERNAL":
                owner = assembly.owner_of(item.id, self.schema)
                batch[owner.file].warnings.add(item.code, item.message or "", line=owner.line, item=item.id)
        self._removed = sum(item.status is ItemStatus.REMOVED for item in applied.items)

    def _record(self, batch: Sequence[_File]) -> None:
        if self._dry_run:
            return
        twin = self.mesh.twin(self.site)
        snapshot = twin.snapshot()
        for file in batch:
            if file.readings is not None:
                rows = to_readings(file.readings, snapshot, twin, str(file.path))
                file.recorded = twin.record(rows)

    def report(self, batch: Sequence[_File]) -> ImportReport:
        applied = self._applied
        reported: set[str] = set()
        files: list[FileReport] = []
        for file in batch:
            # Files of one source share what it no longer states: the first one tells.
            missing = 0 if file.source in reported else self._missing.get(file.source, 0)
            reported.add(file.source)
            files.append(_file_report(file, missing))
        return ImportReport(
            tuple(files),
            self.site,
            applied=applied is not None and not self._dry_run,
            revision=applied.revision if applied else None,
            removed=self._removed,
        )


def _resolve(file: _File, resolver: Resolver) -> None:
    parsed = file.parsed
    if parsed is None:
        return
    file.relationships = resolver.relationships(parsed, file.errors, file.warnings)
    if parsed.readings is not None:
        file.readings = typed_readings(
            parsed.readings, lambda text: find_point(text, resolver.known, resolver.schema), file.errors
        )


def _file_report(file: _File, missing: int) -> FileReport:
    counts = file.counts
    return FileReport(
        str(file.path),
        file.format,
        file.source,
        created=counts.get(ItemStatus.CREATED, 0),
        updated=counts.get(ItemStatus.UPDATED, 0),
        unchanged=counts.get(ItemStatus.UNCHANGED, 0),
        missing=missing,
        readings=file.recorded,
        warnings=file.warnings.all(),
        errors=file.errors.all(),
    )
