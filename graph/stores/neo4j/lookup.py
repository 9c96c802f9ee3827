"""Which twin a text means, looked up in Neo4j: as `graph.lookup` does in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.ids import is_iri, local_iri
from graph.stores.neo4j.script import refuse
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from graph.stores.neo4j.script import Script


def iris_of(script: Script, texts: Sequence[str]) -> list[str | None]:
    """The IRIs of the twins in sight that some texts mean; IRIs stay, whether they are there or not.

    InputError AMBIGUOUS_ID where a text means several; PUSHDOWN_UNSUPPORTED where nothing can be looked up.
    """
    others = list(dict.fromkeys(text for text in texts if not is_iri(text)))
    known = _looked_up(script, others) if others else {}
    return [text if is_iri(text) else known[text] for text in texts]


def _looked_up(script: Script, texts: Sequence[str]) -> dict[str, str | None]:
    if script.around is None:
        refuse("an id that is no IRI")
    probe, bases = script.apart(), script.around.bases
    rows: list[list[object]] = []
    for text in texts:
        site, local = site_of(bases, text)
        rows.append([candidates(bases, text), local, [site] if site else list(bases)])
    named = "n.id IN row[0] OR (n._local = row[1] AND n._site IN row[2])"
    found = f"COLLECT {{ MATCH (n:Entity) WHERE ({named}) AND {probe.here('n')} RETURN n.id }}"
    [lists] = script.ask(f"UNWIND {probe.value(rows)} AS row RETURN collect({found})", probe.values)
    for text, ids in zip(texts, lists, strict=True):
        if len(ids) > 1:
            message = f"{text!r} means several twins"
            raise InputError(message, code="AMBIGUOUS_ID", hint="write site:localId")
    return {text: ids[0] if ids else None for text, ids in zip(texts, lists, strict=True)}


def site_of(bases: Mapping[str, str], text: str) -> tuple[str | None, str]:
    """The site that a text that is no IRI names, and the local id."""
    site, colon, rest = text.partition(":")
    return (site, rest) if colon and site in bases else (None, text)


def candidates(bases: Mapping[str, str], text: str) -> list[str]:
    """The IRIs that may be meant by a text that is none."""
    site, local = site_of(bases, text)
    if is_iri(local):
        return [local]
    return [local_iri(base, local) for name, base in bases.items() if site in (None, name)]
