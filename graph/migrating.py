"""Journals of older formats, brought to this one: by copy, compared, with a verified backup left beside.

The chain of hashes is carried over as it is: a migrated journal ends with the same digest.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graph.content import content_of
from graph.files import failing, sync_file, sync_tree
from graph.folders import sync_folder
from graph.lock import WriterLock
from graph.readings.old import OLD, migrate_history
from graph.rebuild import rebuild
from graph.sealing import break_seal, write_seal
from graph.stores.copying import copy_database
from graph.stores.faults import store_errors
from graph.stores.layout import ANSWERS_MAX, FORMAT_VERSION
from graph.stores.protocol import Answer
from graph.stores.reading import connect_unchanged, open_unchanged
from graph.stores.sqlite import SqliteStore
from ontology.errors import Place, Problem, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from graph.rebuild import Rebuilt
    from graph.stores.protocol import Entry
    from ontology.schema import Schema

JOURNAL, LOCK = "journal.sqlite", "lock"
_COMMITS_AT_ONCE = 4096
_BYTES_AT_ONCE = 4 * 1024 * 1024
_LOG = logging.getLogger("twinmesh.graph")


@dataclass(frozen=True, slots=True)
class Step:
    """What a migration of one site is to do, or did. `kept`: the folder of the backup that stays."""

    site: str
    format: int
    revision: int
    bytes_needed: int
    bytes_free: int
    kept: Path
    problems: tuple[Problem, ...] = ()
    old_history: bool = False  # readings are, or were, in the file of before

    @property
    def due(self) -> bool:
        return self.format < FORMAT_VERSION or self.old_history


def plan_migration(folder: Path, schema: Schema) -> Step:
    """What a migration of a site folder would do; reads it through as the migration will. Changes nothing."""
    journal, kept = folder / JOURNAL, folder / f"before-format-{FORMAT_VERSION}"
    problems: list[Problem] = []
    version = revision = 0
    try:
        with closing(open_unchanged(journal)) as store:
            version, revision = store.version, store.head().sequence
            if version < FORMAT_VERSION:
                problems += store.verify()
        if version < FORMAT_VERSION and not problems:
            rebuild(journal, schema)
    except StoreError as error:
        problems += error.problems
    sizes = [path.stat().st_size for path in folder.glob(f"{JOURNAL}*")]
    free = shutil.disk_usage(folder).free
    # The backup, the new journal, and its write-ahead log while it is made.
    needed = 3 * sum(sizes) if version < FORMAT_VERSION else 0
    old_history = (folder / OLD).exists()
    needed += (folder / OLD).stat().st_size if old_history else 0
    if needed > free:
        message = f"migrating needs {needed:,} bytes, the disk has {free:,}"
        problems.append(
            Problem("MIGRATION_SPACE", message, Place(path=str(folder)), "make room, then repeat")
        )
    return Step(folder.name, version, revision, needed, free, kept, tuple(problems), old_history)


def migrate_site(folder: Path, schema: Schema) -> Step | None:
    """Bring a site folder to the format of this program; None where it has it. The caller holds its lock.

    The old journal is copied to `before-format-N/` and proved there; a new one is written beside, proved to
    end with the same digest and to say the same; then they change places in one step. Interrupted at any
    moment, the old journal is still the one that counts, and the next open begins again.

    Raises StoreError MIGRATION_SPACE, MIGRATION_FAILED (the disk refused, or the copy says something else),
    MIGRATION_BUSY (another process reads the journal), JOURNAL_CORRUPT, STORE_VERSION for a newer format.
    """
    journal = folder / JOURNAL
    if not journal.exists() or _is_current(journal):
        return None
    step = plan_migration(folder, schema)
    if step.problems:
        first = step.problems[0]
        raise StoreError(first.message, code=first.code, place=first.place, hint=first.hint)
    _LOG.warning("site %s: migrating from format %s to %s", step.site, step.format, FORMAT_VERSION)
    with failing("MIGRATION_FAILED", folder):
        before = _keep(journal, step.kept, schema)
        fresh = folder / f"{JOURNAL}.migrating"
        _clear(fresh)
        try:
            _rewrite(step.kept / JOURNAL, fresh)
            _compare(before, rebuild(fresh, schema), fresh)
            sync_file(fresh)
            _put_out_of_use(journal)
            fresh.replace(journal)
        finally:
            _clear(fresh)
        sync_folder(folder)
    _LOG.warning("site %s: migrated; the old journal stays in %s", step.site, step.kept)
    return step


def migrate_folder(data: Path, schema: Schema) -> list[Step]:
    """Migrate all sites of a data folder that nobody serves; those done, in order of name.

    Raises as `migrate_site`, and StoreError STORE_LOCKED where a process serves a site, STORE_MISSING.
    """
    done: list[Step] = []
    for folder in site_folders(data):
        if _is_current(folder / JOURNAL) and not (folder / OLD).exists():
            continue
        lock = WriterLock.take(folder / LOCK)
        try:
            break_seal(folder)
            step = migrate_site(folder, schema) or plan_migration(folder, schema)
            migrate_history(folder)
            write_seal(folder)
        finally:
            lock.release()
        done.append(step)
    return done


def site_folders(data: Path) -> list[Path]:
    """The folders of all sites. StoreError STORE_MISSING where that is no data folder."""
    if not (data / "twinmesh.toml").exists():
        message = "this is no data folder of twinmesh"
        raise StoreError(message, code="STORE_MISSING", place=Place(path=str(data)))
    return sorted(journal.parent for journal in (data / "sites").glob(f"*/{JOURNAL}"))


def _is_current(journal: Path) -> bool:
    """Whether there is nothing to migrate: this format, or what a crash right after its making leaves."""
    with store_errors(journal), closing(connect_unchanged(journal)) as connection:
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            return True
        return connection.execute("PRAGMA user_version").fetchone() == (FORMAT_VERSION,)


def _keep(journal: Path, kept: Path, schema: Schema) -> Rebuilt:
    """The backup that stays: proved and durable before it gets its name. What an earlier try left goes."""
    fresh = kept.with_name(f"{kept.name}.new")
    for old in (fresh, kept):
        shutil.rmtree(old, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    copy_database(journal, fresh / JOURNAL, "MIGRATION_FAILED")
    rebuilt = rebuild(fresh / JOURNAL, schema)
    write_seal(fresh)
    sync_tree(fresh)
    fresh.rename(kept)
    sync_folder(kept.parent)
    return rebuilt


def _rewrite(old: Path, fresh: Path) -> None:
    with (
        store_errors(fresh),
        closing(open_unchanged(old)) as source,
        closing(SqliteStore.create(fresh, source.header)) as target,
    ):
        target.take_over()
        for batch in batches(source.entries()):
            target.append(batch, [])
        target.append([], list(_answers(old)))
        if problems := target.verify():
            raise StoreError(problems[0].message, code="MIGRATION_FAILED", place=problems[0].place)


def batches(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Commits that share a transaction: few enough to fit into memory."""
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += len(entry.payload)
        if len(batch) == _COMMITS_AT_ONCE or size > _BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _answers(old: Path) -> Iterator[Answer]:
    """The newest answers of a journal, oldest first."""
    query = """SELECT key, request, revision, result FROM
        (SELECT * FROM answers ORDER BY revision DESC, key LIMIT ?) ORDER BY revision, key"""
    with closing(connect_unchanged(old)) as connection:
        for row in connection.execute(query, (ANSWERS_MAX,)):
            yield Answer(*row)


def _compare(before: Rebuilt, after: Rebuilt, fresh: Path) -> None:
    differences: list[str] = []
    if before.head != after.head:
        differences.append(f"the copy ends at commit {after.head.sequence}, not {before.head.sequence}")
    differences += content_of(before.snapshot).differences(content_of(after.snapshot))
    if differences:
        place, hint = Place(path=str(fresh)), "nothing was changed; please report this"
        raise StoreError("; ".join(differences), code="MIGRATION_FAILED", place=place, hint=hint)


def _put_out_of_use(journal: Path) -> None:
    """Leave no write-ahead log behind: SQLite would play it into the journal that takes this one's place."""
    place, hint = Place(path=str(journal)), "stop what reads it (followers, backups), then repeat"
    try:
        with closing(sqlite3.connect(journal, isolation_level=None, timeout=1.0)) as connection:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    except sqlite3.OperationalError as error:
        message = f"another process reads the journal: {error}"
        raise StoreError(message, code="MIGRATION_BUSY", place=place, hint=hint) from error
    if mode != "delete":
        raise StoreError("another process reads the journal", code="MIGRATION_BUSY", place=place, hint=hint)


def _clear(fresh: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
