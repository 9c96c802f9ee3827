"""The hash chain over commits: any bit changed, any commit dropped, added or moved breaks it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from graph.stores.protocol import Entry

if TYPE_CHECKING:
    from graph.stores.protocol import Header


def first_digest(header: Header) -> bytes:
    """What the first commit is chained to: a journal moved to another site does not verify."""
    return sha256(msgspec.msgpack.encode(("twinmesh journal", header.site, header.base))).digest()


def chain(previous: bytes, sequence: int, time_ns: int, author: str, message: str, payload: bytes) -> bytes:
    """sha256(previous digest + header + payload)"""
    digest = sha256(previous)
    digest.update(msgspec.msgpack.encode((sequence, time_ns, author, message)))
    digest.update(payload)
    return digest.digest()


def make_entry(
    previous: bytes, sequence: int, time_ns: int, author: str, message: str, payload: bytes
) -> Entry:
    digest = chain(previous, sequence, time_ns, author, message, payload)
    return Entry(sequence, time_ns, author, message, payload, digest)


def follows(entry: Entry, previous: bytes, sequence: int) -> str | None:
    """Why an entry is not the one that belongs after `previous` (of this sequence), or None if it is."""
    if entry.sequence != sequence + 1:
        return f"commit {entry.sequence} stands where {sequence + 1} belongs"
    try:
        made = chain(previous, entry.sequence, entry.time_ns, entry.author, entry.message, entry.payload)
    except (TypeError, ValueError, OverflowError) as error:
        # A bit that flips in the head of a record gives a column another type.
        return f"commit {entry.sequence} holds a value of the wrong type: {error}"
    return None if made == entry.digest else f"commit {entry.sequence} does not match its digest"
