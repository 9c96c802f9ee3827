"""Many byte strings in one array, and a hash of them that works on all at once."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from graph.columns import Rows

# Bytes behind the last string, so that reading eight bytes at any place in it never leaves the array.
PAD_BYTES = 8
SEED_BYTES = 16
_WORD_BYTES = 8
_KEYS_MIN = 64
_CUT_SHARE_BITS = 4
_FEW_STRINGS = 12  # one by one is faster then
_HALF_BITS = np.uint64(32)
_HALF_MASK = np.uint64(0xFFFFFFFF)
# How much of a word counts where only so many bytes of it (0 to 8) belong to the string.
_MASKS = np.array([(1 << (8 * count)) - 1 for count in range(_WORD_BYTES + 1)], np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """n byte strings. String i is data[offsets[i]:offsets[i + 1]]; uint8[k + PAD_BYTES], int64[n + 1]."""

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of the strings themselves."""
        return int(self.offsets[-1] - self.offsets[0])

    def get(self, place: int) -> bytes:
        return self.data[self.offsets[place] : self.offsets[place + 1]].tobytes()

    def all(self) -> list[bytes]:
        first = int(self.offsets[0])
        data = self.data[first : int(self.offsets[-1])].tobytes()
        ends = (self.offsets - first).tolist()
        return [data[begin:end] for begin, end in pairwise(ends)]

    def slice(self, first: int, last: int) -> Strings:
        """Strings first to last - 1, without copying them."""
        return Strings(self.data, self.offsets[first : last + 1])

    def texts_at(self, places: Rows) -> list[str]:
        """Some of them, read as UTF-8."""
        if len(places) <= _FEW_STRINGS:
            return [decode_text(self.get(place)) for place in places.tolist()]
        # Cutting from one decoded text is much faster a piece, but all between must be decoded for it.
        low, high = int(places.min()), int(places.max()) + 1
        if len(places) < (high - low) >> _CUT_SHARE_BITS:
            return [decode_text(self.get(place)) for place in places.tolist()]
        first = int(self.offsets[low])
        data = self.data[first : int(self.offsets[high])].tobytes()
        if len(places) == high - low and bool((places[1:] > places[:-1]).all()):
            # All of a range, in order: one ends where the next begins.
            cuts = pairwise((self.offsets[low : high + 1] - first).tolist())
        else:
            begin, end = self.offsets[places] - first, self.offsets[np.asarray(places) + 1] - first
            cuts = zip(begin.tolist(), end.tolist(), strict=True)
        if not data.isascii():
            return [decode_text(data[start:stop]) for start, stop in cuts]
        text = data.decode("ascii")
        return [text[start:stop] for start, stop in cuts]

    def take(self, places: Rows) -> Strings:
        """Some of them, in the order of `places`, as an array of their own."""
        begin = self.offsets[places]
        lengths = self.offsets[np.asarray(places) + 1] - begin
        offsets = np.zeros(len(begin) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        data = np.zeros(int(offsets[-1]) + PAD_BYTES, np.uint8)
        data[: int(offsets[-1])] = self.data[
            np.arange(int(offsets[-1])) + np.repeat(begin - offsets[:-1], lengths)
        ]
        return Strings(data, offsets)

    def begin_with(self, prefix: bytes, places: Rows) -> npt.NDArray[np.bool_]:
        """bool[k]: whether the string at each of `places` begins so."""
        begin, wanted = self.offsets[places], np.frombuffer(prefix, np.uint8)
        same = self.offsets[np.asarray(places) + 1] - begin >= len(wanted)
        live = np.flatnonzero(same)
        bytes_at = self.data[begin[live][:, None] + np.arange(len(wanted))]
        same[live] = (bytes_at == wanted).all(axis=1)
        return same

    def equal(self, places: Rows, others: Strings, other_places: Rows) -> npt.NDArray[np.bool_]:
        """bool[k]: whether the string at each of `places` is that of `others` at `other_places`."""
        mine, theirs = self.offsets[places], others.offsets[other_places]
        lengths = self.offsets[np.asarray(places) + 1] - mine
        same = lengths == others.offsets[np.asarray(other_places) + 1] - theirs
        live, step = np.flatnonzero(same & (lengths > 0)), 0
        while len(live):
            left = lengths[live] - step
            mask = _MASKS[np.minimum(left, _WORD_BYTES)]
            agree = (
                _words(self.data)[mine[live] + step] ^ _words(others.data)[theirs[live] + step]
            ) & mask == 0
            same[live[~agree]] = False
            live, step = live[agree & (left > _WORD_BYTES)], step + _WORD_BYTES
        return same


def encode_text(text: str) -> bytes:
    # Lone surrogates may be asked for; they must be not found, and not an error.
    return text.encode("utf-8", "surrogatepass")


def decode_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def pack_texts(texts: Sequence[str]) -> Strings:
    """Texts as UTF-8."""
    joined = "".join(texts)
    if not joined.isascii():
        return pack_bytes([encode_text(text) for text in texts])
    return _packed(joined.encode("ascii"), list(map(len, texts)))


def pack_bytes(parts: Sequence[bytes]) -> Strings:
    return _packed(b"".join(parts), list(map(len, parts)))


def _packed(data: bytes, lengths: list[int]) -> Strings:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return Strings(np.frombuffer(data + bytes(PAD_BYTES), np.uint8), offsets)


class Hasher:
    """Hashes of 32 bits under a secret seed.

    Multilinear over words of 32 bits with random keys of 64 (Lemire and Kaser, "Strongly universal string
    hashing is fast", 2014): whoever does not know the seed cannot make texts that collide on purpose.
    """

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self._keys = np.zeros(0, np.uint64)
        self._reach(_KEYS_MIN)

    def of(self, data: bytes) -> int:
        """The hash of one string."""
        length = len(data)
        padded = length.to_bytes(4, "little") + data + bytes(-length % _WORD_BYTES)
        words = np.frombuffer(padded, "<u4").astype(np.uint64)
        self._reach(len(words))
        return int(np.dot(words, self._keys[: len(words)])) >> 32

    def of_all(self, strings: Strings) -> npt.NDArray[np.uint32]:
        """uint32[n]: as `of`, for all strings."""
        begin, lengths = strings.offsets[:-1], np.diff(strings.offsets)
        self._reach(3 + 2 * (int(lengths.max(initial=0)) // _WORD_BYTES + 1))
        words, keys = _words(strings.data), self._keys
        total = lengths.astype(np.uint64) * keys[0]
        live, step = np.flatnonzero(lengths > 0), 0
        while len(live):
            left = lengths[live] - step
            word = words[begin[live] + step] & _MASKS[np.minimum(left, _WORD_BYTES)]
            low, high = keys[1 + step // 4], keys[2 + step // 4]
            total[live] += (word & _HALF_MASK) * low + (word >> _HALF_BITS) * high
            live, step = live[left > _WORD_BYTES], step + _WORD_BYTES
        return (total >> _HALF_BITS).astype(np.uint32)

    def of_numbers(self, *columns: npt.NDArray[np.int32]) -> npt.NDArray[np.uint32]:
        """uint32[n]: hashes of tuples of numbers from 0 to 2**32 - 1, given column by column."""
        total = np.zeros(len(columns[0]), np.uint64)
        for key, column in zip(self._keys, columns, strict=False):
            total += column.astype(np.uint64) * key
        return (total >> _HALF_BITS).astype(np.uint32)

    def of_tuple(self, *numbers: int) -> int:
        """As `of_numbers`, for one tuple."""
        return int(np.dot(np.array(numbers, np.uint64), self._keys[: len(numbers)])) >> 32

    def _reach(self, count: int) -> None:
        if count <= len(self._keys):
            return
        blocks = (max(count, 2 * len(self._keys)) + 7) // 8
        stream = b"".join(
            blake2b(block.to_bytes(8, "little"), key=self.seed).digest() for block in range(blocks)
        )
        self._keys = np.frombuffer(stream, "<u8")


def _words(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """The eight bytes that begin at every place."""
    return np.ndarray((len(data) - _WORD_BYTES + 1,), "<u8", data, strides=(1,))
