"""`migrate --from URL --to URL`: sites brought from one store to another."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from socket import gethostname
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from api.commands.console import EXIT_DONE, note, say, say_json
from api.config import load_store
from graph.journals import LocalJournals
from graph.mesh import open_folder
from graph.opening import prepare, take_lock
from graph.sealing import write_seal
from graph.stores.choosing import open_journals
from graph.transferring import transfer
from ontology.errors import NotFoundError, StoreError
from ontology.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Generator

    from graph.journals import Journals
    from graph.stores.protocol import Store
    from graph.transferring import Transferred
    from ontology.schema import Schema


@dataclass(frozen=True, slots=True)
class TransferCommand:
    """source, target: a data folder, or the URL of a Neo4j. site: only this one."""

    source: str
    target: str
    site: str | None


def run_transfer(command: TransferCommand, *, as_json: bool) -> int:
    """Interrupted at any moment, the same command goes on where it was. StoreError MIGRATION_FOREIGN."""
    schema = load_schema()
    done: list[Transferred] = []
    holder = f"migrate {command.source} on {gethostname()}"
    with _place(command.source) as source, _place(command.target, holder=holder, make=True) as target:
        for site in _sites(source, command.site):
            done.append(_transfer(source, target, site, schema, command))
            if not as_json:
                say(f"{site}: {done[-1].revision} commits, content {done[-1].content} on both sides")
    if as_json:
        say_json({"sites": [{**asdict(one), "revision": str(one.revision)} for one in done]})
    elif not done:
        say("there is no site, nothing to do")
    return EXIT_DONE


def _sites(source: Journals, site: str | None) -> list[str]:
    names = source.names()
    if site is not None and site not in names:
        raise NotFoundError(f"no site {site!r}", code="SITE_UNKNOWN", hint=f"there are {', '.join(names)}")
    return names if site is None else [site]


def _transfer(
    source: Journals, target: Journals, site: str, schema: Schema, command: TransferCommand
) -> Transferred:
    with (
        _locked(command.source, site),
        closing(source.journal(site).open_reader()) as reader,
        _locked(command.target, site),
        closing(_opened(target, site, reader, command.target, schema)) as writer,
    ):
        return transfer(reader, writer, schema, _Told(site, reader.head().sequence))


def _opened(target: Journals, site: str, reader: Store, place: str, schema: Schema) -> Store:
    journal = target.journal(site)
    if not _is_url(place):
        prepare(Path(place) / "sites" / site, journal, schema)
    return journal.open_writer(site, reader.header.base)


@contextmanager
def _locked(place: str, site: str) -> Generator[None]:
    """Nobody else writes the site's folder meanwhile; it is sealed again. STORE_LOCKED."""
    if _is_url(place):
        yield
        return
    folder = Path(place) / "sites" / site
    lock = take_lock(folder, None)
    try:
        yield
        try:
            write_seal(folder)
        except OSError as error:
            raise StoreError(f"cannot write here: {error}") from error
    finally:
        lock.release()


@contextmanager
def _place(place: str, *, holder: str | None = None, make: bool = False) -> Generator[Journals]:
    """The journals of a data folder, or of a Neo4j (user and password as in the settings).

    holder: of what is written there; the same for a command that is repeated.
    """
    with ExitStack() as stack:
        if _is_url(place):
            store = load_store(None, os.environ)
            scratch = Path(stack.enter_context(TemporaryDirectory(prefix="twinmesh-migrate-")))
            password, database = store.password or "", store.database or None
            journals = open_journals(
                scratch, place, user=store.user, password=password, database=database, holder=holder
            )
            assert journals is not None
        else:
            open_folder(Path(place), read_only=not make)
            journals = LocalJournals(Path(place))
        stack.callback(journals.close)
        yield journals


def _is_url(place: str) -> bool:
    return "://" in place


@dataclass(frozen=True, slots=True)
class _Told:
    """Progress on a terminal."""

    site: str
    last: int

    def __call__(self, sequence: int) -> None:
        if sys.stderr.isatty():
            note(f"{self.site}: commit {sequence} of {self.last}")
