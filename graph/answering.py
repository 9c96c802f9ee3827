"""What an idempotency key was answered, as bytes and back."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any, cast

import msgspec

from graph.bulk import BlockResult
from graph.values import Applied, ItemResult, ItemStatus


def pack_applied(applied: Applied) -> bytes:
    """A list of items; where there were columns, a map that holds it beside their counts."""
    items = [(item.id, item.status, item.code, item.message) for item in applied.items]
    blocks = [list(map(astuple, one)) for one in (applied.twin_blocks, applied.relationship_blocks)]
    return msgspec.msgpack.encode({"items": items, "blocks": blocks} if any(blocks) else items)


def unpack_applied(revision: int, packed: bytes) -> Applied:
    """The first answer again."""
    read = msgspec.msgpack.decode(packed)
    parts = cast("dict[str, Any]", read if isinstance(read, dict) else {"items": read, "blocks": [[], []]})
    items, blocks = parts["items"], parts["blocks"]
    results = tuple(ItemResult(iri, ItemStatus(status), code, told) for iri, status, code, told in items)
    counted = [tuple(BlockResult(*counts) for counts in one) for one in blocks]
    return Applied(revision, results, True, counted[0], counted[1])
