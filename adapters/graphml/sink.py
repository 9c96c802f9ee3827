"""Twins and relationships -> GraphML through networkx."""

# networkx ships no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportMissingTypeArgument=false, reportUnknownParameterType=false
from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import networkx as nx

from adapters.csv.sink import cell_of, title_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapters.selection import Selection
    from graph.values import Value

# XML 1.0 section 2.2: characters that no document may hold, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REPLACEMENT = "\ufffd"


def graphml(selections: Sequence[Selection]) -> bytes:
    """A GraphML document, UTF-8: nodes and edges carry ids (IRIs), kind or relation, and attributes.

    A unit stands in the name of its attribute (`ratedPower [kW]`). Characters that XML forbids become U+FFFD.
    """
    network = nx.MultiDiGraph()
    for selection in selections:
        _add_nodes(network, selection)
    for selection in selections:
        _add_edges(network, selection)
    stream = io.BytesIO()
    nx.write_graphml_xml(network, stream, encoding="utf-8", prettyprint=True, named_key_ids=False)
    return stream.getvalue()


def _add_nodes(network: nx.MultiDiGraph, selection: Selection) -> None:
    snapshot = selection.snapshot
    for row in selection.rows.tolist():
        record = snapshot.record(row)
        names = [kind.name if (kind := snapshot.schema.kind_by_iri(iri)) else iri for iri in record.kinds]
        data = {"label": record.name or snapshot.local_id(row), "kind": names[0], "kinds": " ".join(names)}
        data |= {"localId": snapshot.local_id(row), "site": selection.site}
        data |= {f"external:{other.system}": other.id for other in record.external_ids}
        network.add_node(_clean(record.id), **_cleaned(data), **_values(record.attributes))


def _add_edges(network: nx.MultiDiGraph, selection: Selection) -> None:
    snapshot = selection.snapshot
    for edge in selection.edges.tolist():
        record = snapshot.relationship(edge)
        data = {"relation": snapshot.schema.compact(record.relation)}
        data |= {"group": record.group} if record.group else {}
        key = _clean(snapshot.edge_id(edge))
        ends = _clean(record.source), _clean(record.target)
        network.add_edge(*ends, key=key, **_cleaned(data), **_values(record.attributes))


def _values(attributes: Mapping[str, Value]) -> dict[str, str | float | bool]:
    data: dict[str, str | float | bool] = {}
    for name, value in attributes.items():
        plain = value.value
        simple = isinstance(plain, bool | float) or (isinstance(plain, int) and abs(plain) < 2**31)
        data[_clean(title_of(name, value))] = plain if simple else _clean(cell_of(plain))  # type: ignore[assignment]
    return data


def _cleaned(data: Mapping[str, str]) -> dict[str, str]:
    return {_clean(name): _clean(text) for name, text in data.items()}


def _clean(text: str) -> str:
    return _NOT_XML.sub(_REPLACEMENT, text)
