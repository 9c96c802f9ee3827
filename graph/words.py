"""The words of twins' texts, cut out of the bytes of many texts at once. Case does not count.

A word is a run of letters and digits of any script; everything else stands between words, `_` too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from graph.strings import Strings, encode_text, pack_texts
from graph.text_order import words_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from graph.snapshot import Snapshot

    Rows = npt.NDArray[np.int32]

TOKEN: Final = r"[^\W_]"
_WORDS: Final = re.compile(rf"{TOKEN}+")
_ROWS_AT_ONCE: Final = 1 << 16
_LOWER: Final = np.frombuffer(bytes(range(256)).lower(), np.uint8)
_IS_WORD: Final = np.array([chr(byte).isascii() and chr(byte).isalnum() for byte in range(256)], np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Words of some rows. first, second: uint64[k], their first and next eight bytes; left: bytes in all."""

    rows: Rows
    first: npt.NDArray[np.uint64]
    second: npt.NDArray[np.uint64]
    left: npt.NDArray[np.int64]


def words_in(text: str) -> list[str]:
    return _WORDS.findall(text.casefold())


def haystacks(snapshot: Snapshot, rows: Rows) -> list[str]:
    """Name, local id and outside ids of each row, a line each, without case."""
    names, local_ids = snapshot.names(rows), snapshot.local_ids(rows)
    outside = snapshot.pools.external_ids.values(snapshot.twins.external.take(rows).tolist())
    return [
        "\n".join([name or "", local_id, *(item.id for item in items or ())]).casefold()
        for name, local_id, items in zip(names, local_ids, outside, strict=True)
    ]


def tokens_of(snapshot: Snapshot, rows: Rows) -> Tokens:
    """All words of some rows of one site."""
    parts: list[Tokens] = [_tokens(np.zeros(0, np.int32), pack_texts([]))]
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        for some, strings in _texts(snapshot, rows[start : start + _ROWS_AT_ONCE]):
            parts.extend(_of_strings(some, strings))
    return Tokens(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.second for part in parts]),
        np.concatenate([part.left for part in parts]),
    )


def _texts(snapshot: Snapshot, rows: Rows) -> Iterator[tuple[Rows, Strings]]:
    """The texts of some rows, as bytes; what has to be read one by one is read so."""
    twins, pools = snapshot.twins, snapshot.pools
    codes = twins.name.take(rows)
    named = codes > 0
    yield rows[named], pools.texts.table.take(codes[named] - 1)
    (table,) = twins.ids.tables(rows)
    strings = table.strings.take(table.numbers)
    is_plain = (twins.local.take(rows) == 0) & _is_plain(strings, encode_text(snapshot.bases[0]))
    yield rows[is_plain], _without(strings, np.flatnonzero(is_plain), len(encode_text(snapshot.bases[0])))
    odd = rows[~is_plain]
    yield odd, pack_texts(snapshot.local_ids(odd))
    external = twins.external.take(rows)
    known = pools.external_ids.values(external[external > 0].tolist())
    yield rows[external > 0], pack_texts(["\n".join(one.id for one in ids or ()) for ids in known])


def _is_plain(strings: Strings, base: bytes) -> npt.NDArray[np.bool_]:
    """bool[n]: IRIs that are the base and a local id that reads as it stands: letters, digits, - and _."""
    lengths = np.diff(strings.offsets)
    is_plain = lengths > len(base)
    for place, byte in enumerate(base):
        at = strings.offsets[:-1][is_plain] + place
        is_plain[is_plain] = strings.data[at] == byte
    allowed = _IS_WORD[strings.data[: strings.nbytes]]
    allowed |= (strings.data[: strings.nbytes] == ord("-")) | (strings.data[: strings.nbytes] == ord("_"))
    count = np.append(np.zeros(1, np.int64), np.cumsum(~allowed))
    begin = np.minimum(strings.offsets[:-1] + len(base), strings.offsets[1:])
    return is_plain & (count[strings.offsets[1:]] == count[begin])


def _without(strings: Strings, places: npt.NDArray[np.int64], cut: int) -> Strings:
    """Some strings without their first bytes, which become what stands between words."""
    kept = strings.take(places)
    data = kept.data.copy()
    begin = np.repeat(kept.offsets[:-1], np.diff(kept.offsets))
    data[: kept.nbytes][np.arange(kept.nbytes) - begin < cut] = 0
    return Strings(data, kept.offsets)


def _of_strings(rows: Rows, strings: Strings) -> Iterator[Tokens]:
    data = strings.data[: strings.nbytes]
    foreign = np.flatnonzero(data >= 128)
    if len(foreign):
        is_foreign = np.zeros(len(rows), np.bool_)
        is_foreign[np.searchsorted(strings.offsets[1:], foreign, side="right")] = True
        yield _read(rows[is_foreign], strings.texts_at(np.flatnonzero(is_foreign)))
        strings, rows = strings.take(np.flatnonzero(~is_foreign)), rows[~is_foreign]
    yield _tokens(rows, Strings(_LOWER[strings.data], strings.offsets))


def _read(rows: Rows, texts: Sequence[str]) -> Tokens:
    """Words of texts in any script, one text after the other."""
    found = [(row, word) for row, text in zip(rows.tolist(), texts, strict=True) for word in words_in(text)]
    strings = pack_texts([word for _, word in found])
    lengths = np.diff(strings.offsets)
    return _cut(np.array([row for row, _ in found], np.int32), strings.data, strings.offsets[:-1], lengths)


def _tokens(rows: Rows, strings: Strings) -> Tokens:
    """Words of ASCII texts in small letters."""
    is_word = np.append(_IS_WORD[strings.data[: strings.nbytes]], np.False_)
    follows = np.append(np.False_, is_word[:-1])
    follows[strings.offsets[:-1]] = False  # a text begins: nothing stands before
    begin = np.flatnonzero(is_word & ~follows)
    ends = np.append(~is_word[1:], np.True_)
    ends[strings.offsets[1:-1] - 1] = True
    end = np.flatnonzero(is_word & ends)
    owner = np.searchsorted(strings.offsets[1:], begin, side="right")
    return _cut(rows[owner], strings.data, begin, end + 1 - begin)


def _cut(
    rows: Rows, data: npt.NDArray[np.uint8], begin: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> Tokens:
    return Tokens(rows, words_at(data, begin, lengths), words_at(data, begin + 8, lengths - 8), lengths)
