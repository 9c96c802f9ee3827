"""SQLite's write-ahead log, read as bytes: where it is damaged and not merely unfinished.

SQLite takes the first frame that does not add up for the end of the log and drops the rest without a word:
right after a power loss, wrong where a bit flipped in what was acknowledged long ago. A transaction is synced
before the next one begins, so a frame that does not add up before a whole later transaction is damage.
Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from ontology.errors import Place, Problem

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_LITTLE, _BIG = 0x377F0682, 0x377F0683
_FRAMES_AT_ONCE = 1024
_MASK = 0xFFFFFFFF
_HINT_DAMAGE = "restore a backup; keep the -wal file, it holds what can still be saved"
_HINT_TAIL = (
    "after a kill or a power loss this is normal and holds nothing acknowledged: start the server once, then "
    "verify again; otherwise restore a backup"
)


@dataclass(frozen=True, slots=True)
class _Log:
    """What the header of a log says."""

    order: str  # of the words in checksums, as numpy spells it
    page_bytes: int
    salts: bytes
    checksum: tuple[int, int]

    @property
    def frame_bytes(self) -> int:
        return _FRAME_HEADER_BYTES + self.page_bytes


@dataclass(slots=True)
class _Scan:
    """How far a log adds up, and what stands behind that. Frames count from 0."""

    sum: tuple[int, int]
    frames: int = 0  # that add up
    stopped: bool = False
    damaged: bool = False  # the frame that does not add up is of this log, not of an earlier round of it
    commit_behind: bool = False  # a transaction ends at or behind the wrong frame
    followed: bool = False  # and another one begins after it
    open_end: bool = False  # the last frames that add up belong to no finished transaction


def check_log(path: Path, *, live: bool = False) -> list[Problem]:
    """Damage in a write-ahead log; empty where there is no log, or a whole one. OSError.

    live: another process writes it, so that an unfinished end means nothing.
    """
    if not path.exists() or path.stat().st_size == 0:
        return []
    with path.open("rb") as source:
        log = _read_header(source.read(_HEADER_BYTES))
        if log is None:
            message = "the head of the write-ahead log is damaged: all commits in it would be dropped"
            return [] if live else [_problem(path, message, 0, _HEADER_BYTES, _HINT_DAMAGE)]
        scan = _Scan(log.checksum)
        rest = _scan(source, log, scan)
    return _judge(path, log, scan, rest, live=live)


def _judge(path: Path, log: _Log, scan: _Scan, rest: int, *, live: bool) -> list[Problem]:
    start = _HEADER_BYTES + scan.frames * log.frame_bytes
    if scan.damaged and (scan.followed or (scan.commit_behind and rest)):
        message = "a page in the write-ahead log is damaged: the commits in and after it would be dropped"
        return [_problem(path, message, start, start + log.frame_bytes, _HINT_DAMAGE)]
    if live or not (scan.damaged or scan.open_end or rest):
        return []
    message = "the last transaction in the write-ahead log is not whole"
    return [_problem(path, message, start, path.stat().st_size, _HINT_TAIL)]


def _problem(path: Path, message: str, start: int, end: int, hint: str) -> Problem:
    return Problem("JOURNAL_LOG", message, Place(path=str(path), item=f"bytes {start} to {end}"), hint)


def _read_header(header: bytes) -> _Log | None:
    if len(header) < _HEADER_BYTES:
        return None
    magic = int.from_bytes(header[:4], "big")
    order = {_LITTLE: "<u4", _BIG: ">u4"}.get(magic)
    page_bytes = int.from_bytes(header[8:12], "big")
    if order is None or not 512 <= page_bytes <= 65_536 or page_bytes & (page_bytes - 1):
        return None
    _, sums = _sums(np.frombuffer(header[:24], order).reshape(1, -1))
    made = int(sums[0, 0]), int(sums[0, 1])
    stored = int.from_bytes(header[24:28], "big"), int.from_bytes(header[28:32], "big")
    return _Log(order, page_bytes, header[16:24], stored) if made == stored else None


def _scan(source: IO[bytes], log: _Log, scan: _Scan) -> int:
    """Read all frames; returns how many bytes at the end belong to this log but are no whole frame."""
    while block := source.read(log.frame_bytes * _FRAMES_AT_ONCE):
        whole = len(block) // log.frame_bytes
        frames = np.frombuffer(block, np.uint8, whole * log.frame_bytes).reshape(whole, log.frame_bytes)
        _scan_frames(frames, log, scan)
        rest = block[whole * log.frame_bytes :]
        if rest:
            # Frames of an earlier round of the log carry other salts: they are old, not cut off.
            return len(rest) if len(rest) < 16 or rest[8:16] == log.salts else 0
    return 0


def _scan_frames(frames: npt.NDArray[np.uint8], log: _Log, scan: _Scan) -> None:
    heads = [head.tobytes() for head in frames[:, :_FRAME_HEADER_BYTES]]
    summed = np.concatenate((frames[:, :8], frames[:, _FRAME_HEADER_BYTES:]), axis=1)
    power, sums = _sums(np.ascontiguousarray(summed).view(log.order))
    for head, (low, high) in zip(heads, sums.tolist(), strict=True):
        ours, is_commit = head[8:16] == log.salts, head[4:8] != bytes(4)
        if scan.stopped:
            scan.damaged |= ours
            scan.followed |= ours and scan.commit_behind
            scan.commit_behind |= ours and is_commit
            continue
        made = _step(power, scan.sum, low, high)
        if ours and made == (int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")):
            scan.sum, scan.open_end = made, not is_commit
            scan.frames += 1
        else:
            scan.stopped, scan.damaged, scan.commit_behind = True, ours, is_commit


def _sums(words: npt.NDArray[np.uint32]) -> tuple[tuple[int, int, int, int], npt.NDArray[np.uint32]]:
    """What rows of words add to a checksum, and what they multiply it by.

    SQLite adds words x, y in turn: s0 += x + s1; s1 += y + s0. That is linear in (s0, s1), with the matrix
    (1 1, 1 2) for each pair, so that all rows are summed at once. words: uint32[n, 2p]; sums: uint32[n, 2].
    """
    pairs = words.shape[1] // 2
    powers = np.empty((pairs + 1, 4), np.uint32)
    a, b, c, d = 1, 0, 0, 1
    for place in range(pairs, -1, -1):
        powers[place] = a, b, c, d
        a, b, c, d = (a + c) & _MASK, (b + d) & _MASK, (a + 2 * c) & _MASK, (b + 2 * d) & _MASK
    first = words[:, 0::2].astype(np.uint32)
    second = first + words[:, 1::2].astype(np.uint32)
    weight = powers[1:]
    low = (first * weight[:, 0] + second * weight[:, 1]).sum(axis=1, dtype=np.uint32)
    high = (first * weight[:, 2] + second * weight[:, 3]).sum(axis=1, dtype=np.uint32)
    whole = powers[0].tolist()
    return (whole[0], whole[1], whole[2], whole[3]), np.stack((low, high), axis=1)


def _step(power: tuple[int, int, int, int], sums: tuple[int, int], low: int, high: int) -> tuple[int, int]:
    a, b, c, d = power
    return (a * sums[0] + b * sums[1] + low) & _MASK, (c * sums[0] + d * sums[1] + high) & _MASK
