"""rdflib's face on our data: the triples lie in Oxigraph, so that its SPARQL runs and not rdflib's."""

# rdflib and oxrdflib are partly untyped.
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false, reportUnknownVariableType=false
from __future__ import annotations

from typing import TYPE_CHECKING

from oxrdflib import OxigraphStore
from pyoxigraph import Quad, RdfFormat, Store, parse
from rdflib import Graph
from rdflib.graph import DATASET_DEFAULT_GRAPH_ID

from adapters.rdf.config import EXPORT_PREFIXES
from adapters.rdf.sink import site_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from adapters.selection import Selection


def to_rdflib(selections: Sequence[Selection]) -> Graph:
    """The triples of an export as an rdflib graph; a copy, so writing to it changes nothing in the sites."""
    return graph_of(line for one in selections for line in site_lines(one))


def graph_of(lines: Iterable[str]) -> Graph:
    """Lines of N-Quads as one rdflib graph; the names of their graphs are dropped."""
    store = Store()
    store.extend(_flat(lines))
    # The wrapper sees Oxigraph's default graph only under this name.
    graph = Graph(store=OxigraphStore(store=store), identifier=DATASET_DEFAULT_GRAPH_ID)
    for prefix, namespace in EXPORT_PREFIXES.items():
        graph.bind(prefix, namespace)
    return graph


def _flat(lines: Iterable[str]) -> Iterator[Quad]:
    text = "\n".join(lines).encode()
    for quad in parse(text, RdfFormat.N_QUADS):
        if isinstance(quad, Quad):
            yield Quad(quad.subject, quad.predicate, quad.object)
