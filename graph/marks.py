"""Marks of files: how long they are, and digests of their blocks, so that a place can be named."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import IO, TYPE_CHECKING

from ontology.errors import Place, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK_BYTES = 16 * 1024
_BLOCK_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class FileMark:
    """One file: its path below the marked folder, its size, and its digests.

    blocks: 16 hexadecimal digits for each 16 KiB, joined.
    """

    path: str
    bytes: int
    sha256: str
    blocks: str


def mark_file(folder: Path, path: str) -> FileMark:
    """Read a file and mark it. OSError where it cannot be read."""
    with (folder / path).open("rb") as source:
        return mark_blocks(path, blocks_of(source))


def mark_blocks(path: str, blocks: Iterator[bytes]) -> FileMark:
    """The mark of a file whose blocks somebody reads (each but the last of BLOCK_BYTES)."""
    whole, size, parts = sha256(), 0, list[str]()
    for block in blocks:
        whole.update(block)
        size += len(block)
        parts.append(blake2b(block, digest_size=_BLOCK_DIGEST_BYTES).hexdigest())
    return FileMark(path, size, whole.hexdigest(), "".join(parts))


def blocks_of(source: IO[bytes]) -> Iterator[bytes]:
    while block := source.read(BLOCK_BYTES):
        yield block


def compare_marks(folder: Path, expected: FileMark, found: FileMark, code: str, hint: str) -> list[Problem]:
    """Where a file is not what its mark says; empty if it is."""
    if expected == found:
        return []
    place = Place(path=str(folder / expected.path), item=_first_difference(expected, found))
    if expected.bytes != found.bytes:
        message = f"the file has {found.bytes:,} bytes, it had {expected.bytes:,}"
    else:
        message = "the bytes are not those that were written"
    return [Problem(code, message, place, hint)]


def _first_difference(expected: FileMark, found: FileMark) -> str:
    """The first block that differs, as a range of bytes."""
    width = 2 * _BLOCK_DIGEST_BYTES
    blocks = [
        mark.blocks[at : at + width] for mark in (expected, found) for at in range(0, len(mark.blocks), width)
    ]
    count = len(expected.blocks) // width
    pairs = zip(blocks[:count], blocks[count:], strict=False)
    same = next((number for number, (mine, its) in enumerate(pairs) if mine != its), None)
    start = min(expected.bytes, found.bytes) if same is None else same * BLOCK_BYTES
    end = max(expected.bytes, found.bytes) if same is None else min(start + BLOCK_BYTES, expected.bytes)
    return f"bytes {start} to {end}"
