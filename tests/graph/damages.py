"""Damages to a site folder: what a disk, a careless hand or a bad one may do; each tells where."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

JOURNAL, HISTORY = "journal.sqlite", "history.sqlite"


@dataclass(frozen=True)
class Damage:
    kind: str
    file: str
    byte: int | None = None  # where, if it is one place


def flip(folder: Path, rng: random.Random, file: str) -> Damage:
    raw = bytearray((folder / file).read_bytes())
    place = rng.randrange(len(raw))
    raw[place] ^= 1 << rng.randrange(8)
    (folder / file).write_bytes(raw)
    return Damage("flip", file, place)


def blank(folder: Path, rng: random.Random, file: str) -> Damage:
    """A sector that came back as zeros, or as something else where it was zeros."""
    raw = bytearray((folder / file).read_bytes())
    start = rng.randrange(0, len(raw), 512)
    sector = raw[start : start + 512]
    raw[start : start + 512] = bytes(len(sector)) if any(sector) else rng.randbytes(len(sector))
    (folder / file).write_bytes(raw)
    return Damage("blank", file)


def swap_pages(folder: Path, rng: random.Random, file: str) -> Damage:
    raw = bytearray((folder / file).read_bytes())
    starts = list(range(0, len(raw) - 4095, 4096))
    pairs = [(a, b) for a in starts for b in starts if a < b and raw[a : a + 4096] != raw[b : b + 4096]]
    if not pairs:
        return flip(folder, rng, file)
    first, second = rng.choice(pairs)
    page = raw[first : first + 4096]
    raw[first : first + 4096] = raw[second : second + 4096]
    raw[second : second + 4096] = page
    (folder / file).write_bytes(raw)
    return Damage("swap pages", file)


def cut(folder: Path, rng: random.Random, file: str) -> Damage:
    raw = (folder / file).read_bytes()
    length = rng.randrange(len(raw))
    (folder / file).write_bytes(raw[:length])
    return Damage("cut", file, length)


def append(folder: Path, rng: random.Random, file: str) -> Damage:
    with (folder / file).open("ab") as target:
        target.write(rng.randbytes(rng.randrange(1, 9000)))
    return Damage("append", file)


def remove(folder: Path, rng: random.Random, file: str) -> Damage:
    (folder / file).unlink()
    return Damage("remove", file)


BYTES: list[Callable[[Path, random.Random, str], Damage]] = [
    *[flip] * 8,
    blank,
    swap_pages,
    cut,
    append,
    remove,
]


def by_sql(folder: Path, rng: random.Random) -> Damage:
    """Records deleted, swapped, cut off or replaced by somebody who knows SQL."""
    kind, statements = rng.choice(SQL)
    with closing(sqlite3.connect(folder / JOURNAL, isolation_level=None)) as connection:
        last = connection.execute("SELECT max(sequence) FROM commits").fetchone()[0]
        one, other = rng.sample(range(1, last + 1), 2)
        connection.execute("BEGIN")
        for statement in statements:
            connection.execute(statement, {"one": one, "other": other, "bytes": rng.randbytes(32)})
        assert connection.total_changes, kind
        connection.execute("COMMIT")
    return Damage(f"sql: {kind}", JOURNAL)


def _moved(column: str) -> tuple[str, list[str]]:
    return f"{column} of another", [
        f"UPDATE commits SET {column} = (SELECT {column} FROM commits WHERE sequence = :other) "
        f"WHERE sequence = :one"
    ]


SQL: list[tuple[str, list[str]]] = [
    ("deleted", ["DELETE FROM commits WHERE sequence = :one"]),
    ("cut off", ["DELETE FROM commits WHERE sequence >= :one"]),
    (
        "swapped",
        [
            "UPDATE commits SET sequence = -1 WHERE sequence = :one",
            "UPDATE commits SET sequence = :one WHERE sequence = :other",
            "UPDATE commits SET sequence = :other WHERE sequence = -1",
        ],
    ),
    ("moved behind the end", ["UPDATE commits SET sequence = sequence + 1000 WHERE sequence = :one"]),
    _moved("payload"),
    _moved("digest"),
    _moved("time_ns"),
    ("author", ["UPDATE commits SET author = author || 'x' WHERE sequence = :one"]),
    ("message", ["UPDATE commits SET message = 'other' WHERE sequence = :one"]),
    ("payload replaced", ["UPDATE commits SET payload = :bytes WHERE sequence = :one"]),
    ("head moved", ["UPDATE head SET sequence = sequence + 1"]),
    ("head digest", ["UPDATE head SET digest = :bytes"]),
    ("head gone", ["DELETE FROM head"]),
    ("header", ["UPDATE header SET base = base || 'x/'"]),
    ("header gone", ["DELETE FROM header"]),
    ("answer deleted", ["DELETE FROM answers WHERE number = (SELECT max(number) FROM answers)"]),
    ("answer changed", ["UPDATE answers SET revision = revision + 1 WHERE number % 2 = 0"]),
    ("answer result", ["UPDATE answers SET result = :bytes WHERE number % 3 = 0"]),
    ("epoch", ["UPDATE head SET epoch = epoch - 1"]),
]
