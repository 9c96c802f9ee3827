"""Subscriptions of a server over graphql-transport-ws, told as `watch` tells them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from ontology.errors import AccessError, InputError, Place, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.sync.client import ClientConnection

    from api.commands.client import Client

PAGE = 1_000
POINTS_MAX = 10_000
PROTOCOL = Subprotocol("graphql-transport-ws")
CHANGES = """subscription Changes($filter: TwinFilter) {
  changes(filter: $filter) { site revision time author message touched touchesMore } }"""
READINGS = """subscription Readings($points: [ID!]!) {
  readings(points: $points) {
    point { site id localId } value text state unit time quality qualityReason } }"""
POINTS = """query Points($filter: TwinFilter, $first: Int!, $after: String) {
  twins(kind: "tm:Point", filter: $filter, first: $first, after: $after) {
    nodes { id } pageInfo { hasNextPage endCursor } } }"""


def subscribe(server: Client, filter_: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Commits, and readings of the points that are there now, as they come."""
    points = _points(server, filter_)
    wanted: dict[str, tuple[str, dict[str, object]]] = {"changes": (CHANGES, {"filter": filter_})}
    if points:
        wanted["readings"] = (READINGS, {"points": points})
    try:
        with connect(server.url.replace("http", "ws", 1) + "/graphql", subprotocols=[PROTOCOL]) as socket:
            _open(socket, server.token)
            for name, (text, variables) in wanted.items():
                _send(socket, "subscribe", name, {"query": text, "variables": variables})
            yield from _events(socket)
    except (OSError, ConnectionClosed, InvalidHandshake) as error:
        place = Place(server.url)
        raise StoreError(f"the connection ended: {error}", code="SERVER_UNREACHABLE", place=place) from error


def _points(server: Client, filter_: dict[str, Any] | None) -> list[str]:
    ids: list[str] = []
    after: str | None = None
    while len(ids) < POINTS_MAX:
        page = server.data(POINTS, {"filter": filter_, "first": PAGE, "after": after})["twins"]
        ids += [node["id"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    return ids[:POINTS_MAX]


def _open(socket: ClientConnection, token: str | None) -> None:
    payload = {"Authorization": f"Bearer {token}"} if token else {}
    socket.send(json.dumps({"type": "connection_init", "payload": payload}))
    answer = json.loads(socket.recv())
    if answer["type"] != "connection_ack":
        raise AccessError("the server does not let us in", code="UNAUTHENTICATED")


def _send(socket: ClientConnection, kind: str, name: str, payload: object) -> None:
    socket.send(json.dumps({"type": kind, "id": name, "payload": payload}))


def _events(socket: ClientConnection) -> Iterator[dict[str, Any]]:
    for text in socket:
        message = json.loads(text)
        if message["type"] == "ping":
            socket.send(json.dumps({"type": "pong"}))
        elif message["type"] == "error":
            raise InputError(str(message["payload"][0]["message"]), code="SUBSCRIPTION_FAILED")
        elif message["type"] == "next":
            data = message["payload"]["data"]
            yield _change(data["changes"]) if message["id"] == "changes" else _reading(data["readings"])


def _change(event: dict[str, Any]) -> dict[str, Any]:
    return {"type": "commit", **event}


def _reading(event: dict[str, Any]) -> dict[str, Any]:
    values = (event["value"], event["text"], event["state"])
    value = next((value for value in values if value is not None), None)
    kept = {name: event[name] for name in ("unit", "time", "quality", "qualityReason")}
    return {"type": "reading", **event["point"], "value": value, **kept}
