"""The ledger: what was written is read, and whatever somebody does to it is found."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import numpy as np
import pytest

from federation.keys import OwnKey
from federation.ledger import TWINS_MAX, Disclosure, Ledger
from federation.store import FEDERATION_FILE, FederationStore
from ontology.errors import StoreError
from tests.federation.trust_helpers import make_key
from tests.simulation.cascade_worlds import fresh_seed

ATTRIBUTES = ("area", "ratedPower", "name", "assetTag")


def random_disclosure(random: Random, partner: str) -> Disclosure:
    twins = [
        f"https://twinmesh.invalid/campus/T-{random.randrange(1_000)}" for _ in range(random.randrange(30))
    ]
    names = random.sample(ATTRIBUTES, random.randrange(len(ATTRIBUTES) + 1))
    told = np.array([[random.random() < 0.5 for _ in names] for _ in twins], np.bool_)
    figures = {"count": random.randrange(5, 99)} if random.random() < 0.3 else None
    return Disclosure(
        partner,
        random.randrange(1, 9),
        random.choice(("query", "cascade")),
        "ask",
        random.randrange(10_000),
        twins,
        names,
        random.sample(("feeds", "supplies"), random.randrange(3)),
        told.reshape(len(twins), len(names)),
        figures,
    )


def facts_of(disclosure: Disclosure) -> list[tuple[str, str]]:
    """Every fact, by loops over what was said."""
    assert disclosure.told is not None
    return [
        (twin, name)
        for row, twin in enumerate(disclosure.twins)
        for column, name in enumerate(disclosure.attributes)
        if disclosure.told[row, column]
    ]


def filled(folder: Path, key: OwnKey, count: int, label: str) -> list[Disclosure]:
    random = Random(fresh_seed(label))
    said = [random_disclosure(random, random.choice("pq") * 43) for _ in range(count)]
    with FederationStore.open(folder) as store:
        ledger = Ledger(store, key)
        for number, disclosure in enumerate(said, 1):
            assert list(ledger.record(disclosure, 1_000 + number)) == [number]
    return said


def test_what_left_is_told(tmp_path: Path) -> None:
    key = make_key(tmp_path)
    said = filled(tmp_path, key, 300, "ledger")
    with FederationStore.open(tmp_path) as store:
        ledger = Ledger(store, key)
        entries = list(ledger.entries())
        assert [entry.number for entry in entries] == list(range(1, 301))
        for entry, disclosure in zip(entries, said, strict=True):
            assert list(entry.facts()) == facts_of(disclosure)
            assert entry.partner == disclosure.partner
            assert (entry.version, entry.purpose, entry.size_bytes) == (
                disclosure.version, disclosure.purpose, disclosure.size_bytes,
            )  # fmt: skip
            assert list(entry.relations) == list(disclosure.relations)
            assert dict(entry.figures) == dict(disclosure.figures or {})
        mine = [entry.number for entry in ledger.entries(partner="p" * 43, after=100)]
        expected = [n for n, each in enumerate(said, 1) if each.partner[0] == "p" and n > 100]
        assert mine == expected
        assert ledger.verify() == []


def test_entries_are_bounded(tmp_path: Path) -> None:
    """More twins than an entry holds become several entries, and none is lost."""
    with FederationStore.open(tmp_path) as store:
        ledger = Ledger(store, make_key(tmp_path))
        twins = [f"urn:t:{n}" for n in range(2 * TWINS_MAX + 1)]
        numbers = ledger.record(Disclosure("p", 1, "sync", "rows", 5, twins, ("a", "b")), 7)
        entries = list(ledger.entries())
        assert [entry.number for entry in entries] == list(numbers) == [1, 2, 3]
        assert [len(entry.twins) for entry in entries] == [TWINS_MAX, TWINS_MAX, 1]
        assert sum(entry.size_bytes for entry in entries) == 5
        facts = [fact for entry in entries for fact in entry.facts()]
        assert facts == [(twin, name) for twin in twins for name in ("a", "b")]
        assert ledger.verify() == []


def test_columns_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with FederationStore.open(tmp_path) as store:
        ledger = Ledger(store, make_key(tmp_path))
        with pytest.raises(ValueError, match="do not fit"):
            ledger.record(Disclosure("p", 1, "q", "k", 0, ("a",), ("x",), told=np.ones((2, 1), np.bool_)), 1)
        with pytest.raises(ValueError, match="at most"):
            ledger.record(Disclosure("p", 1, "q", "k", 0, ("a",), tuple(map(str, range(1_001)))), 1)
        assert list(ledger.entries()) == []


COUNT = 40


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[OwnKey, bytes]:
    """A key and the bytes of a closed file with COUNT entries."""
    folder = tmp_path_factory.mktemp("ledger")
    key = make_key(folder)
    filled(folder, key, COUNT, "damaged ledger")
    return key, (folder / FEDERATION_FILE).read_bytes()


def problems_after(
    folder: Path, written: tuple[OwnKey, bytes], statements: Sequence[tuple[str, tuple[object, ...]]]
) -> list[str]:
    """Where `verify` says that something is wrong after somebody wrote to the file with SQLite."""
    key, content = written
    path = folder / FEDERATION_FILE
    for stale in folder.glob(f"{FEDERATION_FILE}*"):
        stale.unlink()
    path.write_bytes(content)
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement, values in statements:
            connection.execute(statement, values)
    with FederationStore.open(folder) as store:
        problems = Ledger(store, key).verify()
    assert {problem.code for problem in problems} <= {"FEDERATION_CORRUPT"}
    return [problem.place.item or "" for problem in problems]


def test_an_unchanged_file_is_whole(tmp_path: Path, written: tuple[OwnKey, bytes]) -> None:
    assert problems_after(tmp_path, written, []) == []


def test_every_changed_cell_is_found(tmp_path: Path, written: tuple[OwnKey, bytes]) -> None:
    """Any column of any row, and the row is named."""
    random = Random(fresh_seed("changed cells"))
    changed = {"time_ns": 5, "partner": "z", "version": 77, "content": b"x", "digest": bytes(32)}
    for column, value in changed.items():
        for number in {1, COUNT, *random.sample(range(1, COUNT + 1), 8)}:
            found = problems_after(
                tmp_path, written, [(f"UPDATE ledger SET {column} = ? WHERE number = ?", (value, number))]
            )
            assert f"row {number}" in found, (column, number)


def test_every_flipped_bit_of_a_content_is_found(tmp_path: Path, written: tuple[OwnKey, bytes]) -> None:
    random = Random(fresh_seed("flipped bits"))
    for _ in range(60):
        number = random.randrange(1, COUNT + 1)
        with closing(sqlite3.connect(tmp_path / "read")) as connection:
            connection.deserialize(_rollback(written[1]))
            (content,) = connection.execute(
                "SELECT content FROM ledger WHERE number = ?", (number,)
            ).fetchone()
        place, bit = random.randrange(len(content)), 1 << random.randrange(8)
        flipped = content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
        statement = ("UPDATE ledger SET content = ? WHERE number = ?", (flipped, number))
        assert f"row {number}" in problems_after(tmp_path, written, [statement])


def _rollback(content: bytes) -> bytes:
    """The file marked as one without a write-ahead log: in memory there is none."""
    return content[:18] + b"\1\1" + content[20:]


def test_every_deleted_row_is_found(tmp_path: Path, written: tuple[OwnKey, bytes]) -> None:
    for number in range(1, COUNT + 1):
        found = problems_after(tmp_path, written, [("DELETE FROM ledger WHERE number = ?", (number,))])
        assert found, number
    assert problems_after(tmp_path, written, [("DELETE FROM ledger", ())])
    assert problems_after(tmp_path, written, [("DELETE FROM ledger", ()), ("DELETE FROM ends", ())]) == [], (
        "a file from which everything is gone is a new file: only a copy elsewhere tells"
    )


def test_every_swap_and_every_renumbering_is_found(tmp_path: Path, written: tuple[OwnKey, bytes]) -> None:
    random = Random(fresh_seed("swaps"))
    for _ in range(40):
        one, other = random.sample(range(1, COUNT + 1), 2)
        swap = [
            ("UPDATE ledger SET number = -1 WHERE number = ?", (one,)),
            ("UPDATE ledger SET number = ? WHERE number = ?", (one, other)),
            ("UPDATE ledger SET number = ? WHERE number = -1", (other,)),
        ]
        assert problems_after(tmp_path, written, swap), (one, other)
    closed_up = [
        ("DELETE FROM ledger WHERE number = 5", ()),
        ("UPDATE ledger SET number = -number WHERE number > 5", ()),
        ("UPDATE ledger SET number = -number - 1 WHERE number < 0", ()),
    ]
    assert problems_after(tmp_path, written, closed_up)


def test_who_knows_the_rules_but_not_the_key_cannot_cut_the_end(
    tmp_path: Path, written: tuple[OwnKey, bytes]
) -> None:
    """The end is moved back to a row whose digest is right; the signature is not."""
    cut = [
        ("DELETE FROM ledger WHERE number > 30", ()),
        ("UPDATE ends SET number = 30, digest = (SELECT digest FROM ledger WHERE number = 30)", ()),
    ]
    assert problems_after(tmp_path, written, cut) == ["end"]


def test_nothing_is_written_behind_a_damaged_end(tmp_path: Path, written: tuple[OwnKey, bytes]) -> None:
    """So nothing leaves either: an entry comes before the bytes."""
    problems_after(tmp_path, written, [("DELETE FROM ledger WHERE number = ?", (COUNT,))])
    with FederationStore.open(tmp_path) as store, pytest.raises(StoreError) as caught:
        Ledger(store, written[0]).record(Disclosure("p", 1, "q", "k", 0), 1)
    assert caught.value.code == "FEDERATION_CORRUPT"


def test_flipped_bytes_of_the_file_are_found_or_change_nothing(
    tmp_path: Path, written: tuple[OwnKey, bytes]
) -> None:
    """Any byte of the file: found, refused, or what is told is the same."""
    key, content = written
    random = Random(fresh_seed("flipped bytes of the file"))
    with FederationStore.open(tmp_path) as store:
        pass
    path = tmp_path / FEDERATION_FILE
    path.write_bytes(content)
    with FederationStore.open(tmp_path) as store:
        before = list(Ledger(store, key).entries())
    found = 0
    for _ in range(150):
        for stale in tmp_path.glob(f"{FEDERATION_FILE}-*"):
            stale.unlink()
        place = random.randrange(100, len(content))
        path.write_bytes(
            content[:place] + bytes([content[place] ^ (1 << random.randrange(8))]) + content[place + 1 :]
        )
        try:
            with FederationStore.open(tmp_path) as store:
                ledger = Ledger(store, key)
                wrong = ledger.verify()
                if not wrong:
                    assert list(ledger.entries()) == before, place
                found += bool(wrong)
        except StoreError:
            found += 1
    assert found >= 5  # about 22; most bytes of the file hold nothing


WRITE = """
import sys, pathlib
from federation.keys import own_key
from federation.ledger import Disclosure, Ledger
from federation.store import FederationStore
folder = pathlib.Path(sys.argv[1])
with FederationStore.open(folder) as store:
    ledger = Ledger(store, own_key(folder))
    for number in range(50):
        ledger.record(Disclosure(sys.argv[2] * 43, 1, "q", "k", number), number)
"""


def test_processes_write_one_chain(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    names = ("a", "b", "c")
    running = [
        subprocess.Popen([sys.executable, "-c", WRITE, str(tmp_path), name], cwd=root) for name in names
    ]
    assert [process.wait() for process in running] == [0, 0, 0]
    with FederationStore.open(tmp_path) as store:
        ledger = Ledger(store, make_key(tmp_path))
        assert ledger.verify() == []
        entries = list(ledger.entries())
    assert len(entries) == 150
    for name in names:
        assert [each.size_bytes for each in entries if each.partner == name * 43] == list(range(50))
