"""The journal of a site as tables: what `graph.stores.neo4j.layout` keeps of it, chain and seals included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from graph.migrating import batches
from graph.readings.arrow import pa
from graph.stores.chain import first_digest, follows
from graph.stores.layout import HeadRow, answer_digest
from graph.stores.neo4j.first_load.cells import listed_bytes, same
from graph.stores.neo4j.layout import FORMAT_VERSION
from ontology.errors import Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from graph.snapshot import Snapshot
    from graph.stores.neo4j.first_load.tables import Tables
    from graph.stores.protocol import Answer, Entry, Store

ENTRIES_AT_ONCE: Final = 4_096
# These nodes have no relationships: their numbers are of a space of their own.
_ID: Final = ":ID(journal)"
_COMMIT: Final = (
    _ID, ":LABEL", "site:string", "sequence:long", "time_ns:long", "author:string", "message:string",
    "payload:byte[]", "digest:byte[]",
)  # fmt: skip
_ANSWER: Final = (
    _ID, ":LABEL", "site:string", "number:long", "key:string", "request:byte[]", "revision:long",
    "result:byte[]", "digest:byte[]",
)  # fmt: skip
_JOURNAL: Final = (
    _ID, ":LABEL", "site:string", "base:string", "format:long", "made:string", "sequence:long",
    "digest:byte[]", "epoch:long", "answers_first:long", "answers_last:long", "seal:byte[]", "turn:long",
)  # fmt: skip
_PROJECTION: Final = (
    _ID, ":LABEL", "site:string", "sequence:long", "revision:long", "size:long", "edge_size:long",
)  # fmt: skip


class JournalTables:
    """Writes the journals of several sites. OSError."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._number = 0

    def write(self, store: Store, snapshot: Snapshot) -> None:
        """The journal up to the snapshot, and that the graph shows it.

        StoreError JOURNAL_CORRUPT where the chain does not hold, and what the store raises.
        """
        head = self._write_commits(store, snapshot)
        answers = [answer for answer in store.answers() if answer.revision <= snapshot.revision]
        self._write_answers(store.header.site, answers)
        row = HeadRow(snapshot.revision, head, epoch=0, answers_last=len(answers))
        sequence, digest, *rest, seal = row.columns
        fields = (store.header.base, FORMAT_VERSION, uuid4().hex, sequence, listed_bytes(digest), *rest)
        self._one(_JOURNAL, "_Journal", store.header.site, *fields, listed_bytes(seal), 0)
        marks = (snapshot.revision, snapshot.revision, snapshot.size, snapshot.edge_count)
        self._one(_PROJECTION, "_Projection", store.header.site, *marks)

    def _write_commits(self, store: Store, snapshot: Snapshot) -> bytes:
        """The digest of the last one."""
        table = self._tables.begin(_COMMIT)
        for entries in batches(_chained(store, snapshot.revision)):
            columns = [
                pa.array([entry.sequence for entry in entries]),
                pa.array([entry.time_ns for entry in entries]),
                _texts(entry.author for entry in entries),
                _texts(entry.message for entry in entries),
                _texts(listed_bytes(entry.payload) for entry in entries),
                _texts(listed_bytes(entry.digest) for entry in entries),
            ]
            self._tables.append(table, self._begun(len(entries), "_Commit", store.header.site) + columns)
        digest = store.digest_at(snapshot.revision)
        assert digest is not None
        return digest

    def _write_answers(self, site: str, answers: Sequence[Answer]) -> None:
        """Numbered anew, without gaps."""
        table = self._tables.begin(_ANSWER)
        numbered = list(enumerate(answers, 1))
        for first in range(0, len(numbered), ENTRIES_AT_ONCE):
            some = numbered[first : first + ENTRIES_AT_ONCE]
            columns = [
                pa.array([number for number, _ in some]),
                _texts(answer.key for _, answer in some),
                _texts(listed_bytes(answer.request) for _, answer in some),
                pa.array([answer.revision for _, answer in some]),
                _texts(listed_bytes(answer.result) for _, answer in some),
                _texts(listed_bytes(answer_digest(number, answer)) for number, answer in some),
            ]
            self._tables.append(table, self._begun(len(some), "_Answer", site) + columns)

    def _one(self, header: tuple[str, ...], label: str, site: str, *fields: str | int) -> None:
        columns = [same(one, 1) if isinstance(one, str) else pa.array([one]) for one in fields]
        self._tables.append(self._tables.begin(header), self._begun(1, label, site) + columns)

    def _begun(self, count: int, label: str, site: str) -> list[Any]:
        """The first columns of some rows."""
        first, self._number = self._number, self._number + count
        return [pa.array(range(first, first + count)), same(label, count), same(site, count)]


def _chained(store: Store, until: int) -> Iterator[Entry]:
    """The commits, each held against the one before."""
    digest, sequence = first_digest(store.header), 0
    for entry in store.entries(0, until):
        wrong = follows(entry, digest, sequence)
        if wrong is not None:
            raise _corrupt(store, wrong)
        digest, sequence = entry.digest, entry.sequence
        yield entry
    if sequence != until:
        raise _corrupt(store, f"the journal ends at commit {sequence}, its site is at {until}")


def _corrupt(store: Store, message: str) -> StoreError:
    place = Place(item=store.header.site)
    return StoreError(message, code="JOURNAL_CORRUPT", place=place, hint="restore a backup")


def _texts(found: Iterator[str]) -> Any:
    return pa.array(found, pa.large_string())
