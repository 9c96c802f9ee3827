"""Which twin a text means: an IRI, `site:localId`, or a local id where only one site has it."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, cast

import numpy as np

from graph.ids import is_iri, local_id_of, local_iri
from ontology.errors import InputError, NotFoundError, suggestion

if TYPE_CHECKING:
    from graph.columns import Rows
    from graph.snapshot import Snapshot

# A suggestion for a misspelt id looks at this many twins, and compares this many names closely.
_LOOKED_AT_MAX = 20_000
_COMPARED_MAX = 2_000
# What percent-encoding leaves as it is.
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]+")


def find_twin(snapshot: Snapshot, text: str, site: str | None) -> int:
    """See `Snapshot.find`."""
    found = find_candidates(snapshot, text, site)
    if len(found) == 1:
        return found[0]
    if found:
        places = ", ".join(f"{snapshot.site_row(row)[0]} {snapshot.id(row)}" for row in found)
        hint = "write site:localId or the full IRI"
        raise InputError(f"{text!r} means several twins: {places}", code="AMBIGUOUS_ID", hint=hint)
    raise NotFoundError(f"no twin {text!r}", code="TWIN_UNKNOWN", hint=_nearest(snapshot, text))


def find_candidates(snapshot: Snapshot, text: str, site: str | None) -> list[int]:
    """See `Snapshot.candidates`."""
    if is_iri(text):
        row = snapshot.row(text)
        return [row] if row >= 0 else []
    prefix, colon, rest = text.partition(":")
    if colon and site is None and prefix in snapshot.sites:
        return find_candidates(snapshot, rest, prefix)
    heads = [head for head in snapshot.heads if site in (None, head.name)]
    derived = [snapshot.row(local_iri(head.base, text)) for head in heads]
    names = {head.name for head in heads}
    given = [row for row in snapshot.twins.ids.by_local(text) if _is_local(snapshot, row, text, names)]
    return sorted({row for row in (*derived, *given) if row >= 0})


def _is_local(snapshot: Snapshot, row: int, text: str, sites: set[str]) -> bool:
    """Whether the row has that local id now; a twin that was removed has none."""
    if snapshot.site_row(row)[0] not in sites:
        return False
    return snapshot.pools.texts.value(snapshot.twins.local.at(row)) == text


def rows_of_local(snapshot: Snapshot, text: str) -> list[int]:
    """Living rows of which this is the local id, of every site."""
    ids = snapshot.twins.ids
    iris = {text, *(local_iri(base, text) for base in snapshot.bases)}
    found = {row for iri in iris for row in ids.rows_with(iri)} | set(ids.by_local(text))
    living = (row for row in sorted(found) if snapshot.twins.alive.at(row))
    return [row for row in living if snapshot.local_id(row) == text]


def local_ids_of(snapshot: Snapshot, rows: Rows) -> list[str]:
    """The local ids of some rows; see `Snapshot.local_id`."""
    given = snapshot.pools.texts.values(snapshot.twins.local.take(rows).tolist())
    known, sites = snapshot.bases, cast("list[int]", snapshot.twins.site.take(rows).tolist())
    bases = [known[site] for site in sites]
    return [
        text or _local_part(iri, base)
        for text, iri, base in zip(given, snapshot.ids(rows), bases, strict=True)
    ]


def _local_part(iri: str, base: str) -> str:
    """As `local_id_of`, without decoding what holds nothing to decode."""
    part = iri[len(base) :]
    if iri.startswith(base) and _PLAIN.fullmatch(part) and part not in (".", ".."):
        return part
    return local_id_of(iri, base)


def _nearest(snapshot: Snapshot, text: str) -> str | None:
    """Suggestions among twins whose local id begins alike: bounded work for any size."""
    start = text.rpartition("/")[2][:2].lower()
    rows = np.flatnonzero(snapshot.alive)[:_LOOKED_AT_MAX].tolist()
    names = map(snapshot.local_id, rows)
    near = (name for name in names if name.rpartition("/")[2].lower().startswith(start))
    return suggestion(text, islice(near, _COMPARED_MAX))
