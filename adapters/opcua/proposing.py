# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportArgumentType=false, reportPrivateImportUsage=false
"""Browsing a server for variables that could be bound. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncua import ua

from adapters.opcua.connecting import connected
from adapters.proposing import Candidate
from ontology.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncua.client.client import Client

    from adapters.opcua.config import Line

NODES_MAX = 200_000
NODES_PER_CALL = 200
NAMES_MAX = 4  # browse names upwards that make up a path
INTEGERS = frozenset(range(2, 10)) | {26, 27, 28}  # SByte to UInt64, and the abstract number types
VALUE_TYPES = {
    1: "boolean",
    10: "number",
    11: "number",
    12: "text",
    21: "text",
    **dict.fromkeys(INTEGERS, "integer"),
}


@dataclass(frozen=True, slots=True)
class _Found:
    node: ua.NodeId
    path: tuple[str, ...]


async def browsed(line: Line) -> tuple[Candidate, ...]:
    """All scalar variables below Objects, without those of the standard namespace. Raises LimitError
    OPCUA_NODES, InputError and LINE_ERRORS as `connected`."""
    async with connected(line) as client:
        namespaces = await client.get_namespace_array()
        variables = await _variables(client)
        candidates: list[Candidate] = []
        for start in range(0, len(variables), NODES_PER_CALL):
            candidates += await _described(client, variables[start : start + NODES_PER_CALL], namespaces)
        return tuple(candidates)


async def _variables(client: Client) -> list[_Found]:
    """Breadth first; a node that is reached twice keeps its first path."""
    root = _Found(ua.NodeId(ua.ObjectIds.ObjectsFolder), ())
    seen, layer, variables = {root.node}, [root], []
    while layer:
        following: list[_Found] = []
        for start in range(0, len(layer), NODES_PER_CALL):
            for found, node_class in await _children(client, layer[start : start + NODES_PER_CALL]):
                if found.node in seen or found.node.NamespaceIndex == 0:
                    continue
                seen.add(found.node)
                if len(seen) > NODES_MAX:
                    raise LimitError(f"the server has more than {NODES_MAX} nodes", code="OPCUA_NODES")
                following.append(found)
                if node_class is ua.NodeClass.Variable:
                    variables.append(found)
        layer = following
    return variables


async def _children(client: Client, parents: Sequence[_Found]) -> list[tuple[_Found, ua.NodeClass]]:
    session = client.uaclient.session
    request = ua.BrowseParameters()
    request.RequestedMaxReferencesPerNode = 0
    request.NodesToBrowse = [_forward(parent.node) for parent in parents]
    children: list[tuple[_Found, ua.NodeClass]] = []
    results = list(zip(parents, await session.browse(request), strict=True))
    while results:
        more: list[tuple[_Found, bytes]] = []
        for parent, result in results:
            for reference in result.References or []:
                path = (*parent.path, str(reference.BrowseName.Name))[-NAMES_MAX:]
                target = reference.NodeId
                node = ua.NodeId(target.Identifier, target.NamespaceIndex)
                children.append((_Found(node, path), reference.NodeClass))
            if result.ContinuationPoint:
                more.append((parent, result.ContinuationPoint))
        if not more:
            break
        asked = ua.BrowseNextParameters(ContinuationPoints=[point for _, point in more])
        results = list(zip([parent for parent, _ in more], await session.browse_next(asked), strict=True))
    return children


def _forward(node: ua.NodeId) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Forward,
        ReferenceTypeId=ua.NodeId(ua.ObjectIds.HierarchicalReferences),
        IncludeSubtypes=True,
        NodeClassMask=ua.NodeClass.Object | ua.NodeClass.Variable,
        ResultMask=ua.BrowseResultMask.All,
    )


async def _described(client: Client, found: Sequence[_Found], namespaces: Sequence[str]) -> list[Candidate]:
    session, nodes = client.uaclient.session, [one.node for one in found]
    types = await session.read_attributes(nodes, ua.AttributeIds.DataType)
    ranks = await session.read_attributes(nodes, ua.AttributeIds.ValueRank)
    described: list[Candidate] = []
    for one, data_type, rank in zip(found, types, ranks, strict=True):
        if rank.Value is not None and isinstance(rank.Value.Value, int) and rank.Value.Value >= 0:
            continue  # arrays carry no reading
        described.append(Candidate(_text(one.node, namespaces), _names(one), _value_type(data_type)))
    return described


def _value_type(data_type: ua.DataValue) -> str | None:
    node = None if data_type.Value is None else data_type.Value.Value
    if not isinstance(node, ua.NodeId) or node.NamespaceIndex != 0:
        return None
    return VALUE_TYPES.get(int(node.Identifier)) if isinstance(node.Identifier, int) else None


def _names(found: _Found) -> tuple[str, ...]:
    """The node id's own text, then paths of browse names, the longest first."""
    own = (found.node.Identifier,) if isinstance(found.node.Identifier, str) else ()
    paths = tuple(".".join(found.path[start:]) for start in range(len(found.path)))
    return tuple(dict.fromkeys((*own, *paths)))


def _text(node: ua.NodeId, namespaces: Sequence[str]) -> str:
    """The node id with the URI of its namespace: indexes change when a server is set up anew."""
    own = node.to_string().rpartition(f"ns={node.NamespaceIndex};")[2]
    return f"nsu={namespaces[node.NamespaceIndex]};{own}"
