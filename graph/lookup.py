"""Which twin a text means: an IRI, `site:localId`, or a local id where only one site has it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from graph.ids import is_iri, local_iri
from ontology.errors import InputError, NotFoundError, suggestion

if TYPE_CHECKING:
    from graph.snapshot import Snapshot

# A suggestion for a misspelt id looks at this many twins, and compares this many names closely.
_LOOKED_AT_MAX = 20_000
_COMPARED_MAX = 2_000


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


def _nearest(snapshot: Snapshot, text: str) -> str | None:
    """Suggestions among twins whose local id begins alike: bounded work for any size."""
    start = text.rpartition("/")[2][:2].lower()
    rows = np.flatnonzero(snapshot.alive)[:_LOOKED_AT_MAX].tolist()
    names = map(snapshot.local_id, rows)
    near = (name for name in names if name.rpartition("/")[2].lower().startswith(start))
    return suggestion(text, islice(near, _COMPARED_MAX))
