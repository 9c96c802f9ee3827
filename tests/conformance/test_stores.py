"""What every store of commits must do, whatever database is behind it: the whole `Store` protocol.

A store joins by a `Shelf`: how to make one, how to open it once more, how to damage it behind its back. Add
it to `SHELVES` and `shelf`; nothing else here may know which store it is.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
from typing import TYPE_CHECKING, Protocol

import pytest

from graph.stores.chain import first_digest, make_entry
from graph.stores.neo4j.connection import Connection, Neo4jPlace
from graph.stores.neo4j.store import Neo4jStore
from graph.stores.protocol import Answer, Header, Store
from graph.stores.sqlite import SqliteStore
from ontology.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from bench.neo4j_server import Server

HEADER = Header("campus", "https://campus.example/")


class Shelf(Protocol):
    """Where one store stands."""

    def create(self) -> Store:
        """A new, empty store that says HEADER."""
        ...

    def open(self, *, read_only: bool = False) -> Store:
        """The store that is there, as another process would open it."""
        ...

    def change_payload(self, sequence: int) -> None: ...

    def delete(self, sequence: int) -> None: ...

    def swap(self, first: int, second: int) -> None:
        """Exchange what two commits say, their numbers stay."""
        ...


class SqliteShelf:
    def __init__(self, place: Path) -> None:
        self._path = place / "journal.sqlite"

    def create(self) -> Store:
        return SqliteStore.create(self._path, HEADER)

    def open(self, *, read_only: bool = False) -> Store:
        return SqliteStore.open(self._path, read_only=read_only)

    def change_payload(self, sequence: int) -> None:
        self._run("UPDATE commits SET payload = x'00' WHERE sequence = ?", sequence)

    def delete(self, sequence: int) -> None:
        self._run("DELETE FROM commits WHERE sequence = ?", sequence)

    def swap(self, first: int, second: int) -> None:
        for old, new in ((first, -1), (second, first), (-1, second)):
            self._run("UPDATE commits SET sequence = ? WHERE sequence = ?", new, old)

    def _run(self, statement: str, *values: int) -> None:
        with contextlib.closing(sqlite3.connect(self._path)) as connection, connection:
            assert connection.execute(statement, values).rowcount == 1


class Neo4jShelf:
    def __init__(self, server: Server) -> None:
        self._server = server
        self.connection = Connection(Neo4jPlace(server.url, password=server.password))

    def create(self) -> Store:
        return Neo4jStore.create(self.connection, HEADER)

    def open(self, *, read_only: bool = False) -> Store:
        return Neo4jStore.open(self.connection, HEADER.site)

    def change_payload(self, sequence: int) -> None:
        self._run("MATCH (c:_Commit {sequence: $a}) SET c.payload = $b RETURN 1 AS n", a=sequence, b=b"\0")

    def delete(self, sequence: int) -> None:
        self._run("MATCH (c:_Commit {sequence: $a}) DELETE c RETURN 1 AS n", a=sequence)

    def swap(self, first: int, second: int) -> None:
        for old, new in ((first, -1), (second, first), (-1, second)):
            self._run("MATCH (c:_Commit {sequence: $a}) SET c.sequence = $b RETURN 1 AS n", a=old, b=new)

    def _run(self, statement: str, **values: int | bytes) -> None:
        assert self._server.run(statement, **values) == [{"n": 1}]


SHELVES = ("sqlite", "neo4j")


@pytest.fixture(params=SHELVES)
def shelf(request, tmp_path):
    if request.param == "sqlite":
        yield SqliteShelf(tmp_path)
        return
    found = Neo4jShelf(request.getfixturevalue("neo4j"))
    yield found
    found.connection.close()


@pytest.fixture
def opened(shelf):
    """Opens stores; closes them at the end."""
    with contextlib.ExitStack() as stack:

        def open_one(*, new=False, read_only=False):
            store = shelf.create() if new else shelf.open(read_only=read_only)
            stack.callback(store.close)
            return store

        yield open_one


@pytest.fixture
def store(opened):
    """A new store, ready to be written."""
    made = opened(new=True)
    made.take_over()
    return made


def entries_after(digest, sequence, count, *, payload=b"payload", step_ns=10):
    """`count` entries that follow a commit, in a chain."""
    made = []
    for number in range(sequence + 1, sequence + 1 + count):
        entry = make_entry(digest, number, number * step_ns, "me", f"commit {number}", payload)
        digest = entry.digest
        made.append(entry)
    return made


def filled(store, count):
    head = store.head()
    made = entries_after(head.digest, head.sequence, count)
    for entry in made:
        store.append([entry], [])
    return made


def answer(key, revision=1):
    return Answer(key, b"r" * 32, revision, b"result of " + key.encode())


def code_of(work):
    with pytest.raises(StoreError) as caught:
        work()
    return caught.value.code


# Empty


def test_a_new_store_says_whose_it_is_and_holds_nothing(opened):
    for store in (opened(new=True), opened(), opened(read_only=True)):
        assert store.header == HEADER
        assert (store.head().sequence, store.head().digest) == (0, first_digest(HEADER))
        assert list(store.entries()) == []
        assert (store.sequence_at(2**62), store.answer("k")) == (0, None)
        assert (store.digest_at(0), store.digest_at(1)) == (first_digest(HEADER), None)
        assert store.verify() == []


# Writing and reading


def test_what_was_appended_is_read_back_in_order_by_everybody(opened, store):
    made = filled(store, 7)
    for reader in (store, opened(), opened(read_only=True)):
        assert list(reader.entries()) == made
        assert list(reader.entries(2, 5)) == made[2:5]
        assert list(reader.entries(7)) == []
        assert list(reader.entries(5, 100)) == made[5:]
        head = reader.head()
        assert (head.sequence, head.time_ns, head.digest) == (7, 70, made[-1].digest)
        assert [reader.digest_at(n) for n in range(9)] == [
            first_digest(HEADER), *(entry.digest for entry in made), None]  # fmt: skip
        assert reader.verify() == []


@pytest.mark.parametrize(
    "payload", [b"", b"\x00\xff" * 10, bytes(range(256)) * 8_192], ids=["empty", "zeros", "2 MiB"]
)
def test_any_bytes_and_any_text_come_back_as_they_were(opened, store, payload):
    digest = store.head().digest
    entry = make_entry(digest, 1, 2**62, "Zoë \U0001f980 'x\"", "a\nb\tc;--\x01", payload)
    store.append([entry], [])
    assert list(opened().entries()) == [entry]
    assert opened().verify() == []


def test_many_entries_and_answers_go_in_one_transaction(opened, store):
    made = entries_after(store.head().digest, 0, 600)
    store.append(made, [answer("a"), answer("b", 600)])
    again = opened()
    assert list(again.entries()) == made
    assert [again.answer(key) for key in "abc"] == [answer("a"), answer("b", 600), None]
    assert list(again.answers()) == [answer("a"), answer("b", 600)]


def test_answers_without_a_commit_are_kept_too(opened, store):
    store.append([], [answer("a", 0)])
    assert (opened().answer("a"), opened().head().sequence) == (answer("a", 0), 0)
    assert opened().verify() == []


def test_readers_see_a_commit_as_soon_as_it_is_acknowledged(opened, store):
    reader = opened(read_only=True)
    for entry in entries_after(store.head().digest, 0, 20):
        store.append([entry], [answer(f"k{entry.sequence}")])
        assert reader.head().digest == entry.digest
        assert list(reader.entries(entry.sequence - 1)) == [entry]
        assert reader.answer(f"k{entry.sequence}") is not None


def test_a_reading_that_goes_on_meanwhile_is_whole(opened, store):
    """It may end where the store ended when it began, or later; it has no hole and nothing torn."""
    made = filled(store, 5)
    walk = opened(read_only=True).entries()
    first = next(walk)
    made += filled(store, 5)
    found = [first, *walk]
    assert found == made[: len(found)]
    assert len(found) >= 5


def test_times_lead_to_sequences(store):
    digest, rng, times = store.head().digest, random.Random(3), []
    time_ns = 0
    for sequence in range(1, 40):
        time_ns += rng.choice((1, 2, 50))
        times.append(time_ns)
        entry = make_entry(digest, sequence, time_ns, "", "", b"")
        store.append([entry], [])
        digest = entry.digest
    for asked in range(-1, time_ns + 3):
        assert store.sequence_at(asked) == sum(each <= asked for each in times)


# All or nothing


def test_a_transaction_that_fails_leaves_nothing(opened, store):
    made = filled(store, 3)
    good, bad = entries_after(made[-1].digest, 3, 1)[0], made[1]
    with pytest.raises(StoreError):
        store.append([good, bad], [answer("lost")])  # the second number is taken
    for reader in (opened(), opened(read_only=True)):
        assert list(reader.entries()) == made
        assert reader.answer("lost") is None
        assert reader.verify() == []


def test_after_a_failure_and_recovery_writing_goes_on(opened, store):
    made = filled(store, 2)
    with pytest.raises(StoreError):
        store.append([made[0]], [])
    store.recover()
    assert store.head().digest == made[-1].digest
    more = filled(store, 2)
    assert list(opened().entries()) == made + more


def test_an_answer_is_given_to_a_key_once(opened, store):
    store.append([], [answer("a", 1)])
    with pytest.raises(StoreError):
        store.append(entries_after(store.head().digest, 0, 1), [answer("a", 2)])
    assert (opened().answer("a"), opened().head().sequence) == (answer("a", 1), 0)


# One writer


def test_who_did_not_take_over_cannot_write(opened):
    store = opened(new=True)
    work = entries_after(store.head().digest, 0, 1)
    assert store.epoch == 0
    assert code_of(lambda: store.append(work, [])) == "STORE_FENCED"
    assert code_of(lambda: opened().append(work, [])) == "STORE_FENCED"
    assert list(opened().entries()) == []


def test_a_new_writer_fences_the_old_one_off(opened, store):
    made = filled(store, 2)
    second = opened()
    assert second.take_over() == second.epoch > store.epoch
    work = entries_after(made[-1].digest, 2, 1)
    assert code_of(lambda: store.append(work, [answer("late")])) == "STORE_FENCED"
    assert code_of(store.recover) == "STORE_FENCED"
    assert code_of(lambda: store.append(work, [])) == "STORE_FENCED"
    assert list(opened().entries()) == made
    assert opened().answer("late") is None
    assert list(opened().entries()) + filled(second, 1) == list(second.entries())


def test_epochs_ascend_over_reopening(opened, store):
    epochs = [store.epoch]
    for _ in range(3):
        epochs.append(opened().take_over())
    assert epochs == sorted(set(epochs))
    assert opened().verify() == []


# Damage


@pytest.mark.parametrize("place", [1, 4, 8])
def test_a_commit_that_was_changed_is_named(shelf, opened, store, place):
    filled(store, 8)
    store.close()
    shelf.change_payload(place)
    found = opened(read_only=True).verify()
    assert [problem.code for problem in found] == ["JOURNAL_CORRUPT"] * len(found)
    assert found[0].place.item == f"commit {place}"


@pytest.mark.parametrize("place", [1, 4, 8])
def test_a_commit_that_is_missing_is_noticed(shelf, opened, store, place):
    """In the middle the one after it stands out of order; at the end only the head knows of it."""
    filled(store, 8)
    store.close()
    shelf.delete(place)
    found = opened(read_only=True).verify()
    assert found[0].place.item == (f"commit {place + 1}" if place < 8 else "commit 7")


def test_commits_that_changed_places_are_noticed(shelf, opened, store):
    filled(store, 8)
    store.close()
    shelf.swap(3, 6)
    items = {problem.place.item for problem in opened(read_only=True).verify()}
    assert {"commit 3", "commit 6"} <= items


# All of it together


@pytest.mark.parametrize("seed", range(5))
def test_random_work_equals_a_plain_list(opened, store, seed):
    rng, plain, answers, digest = random.Random(seed), [], {}, store.head().digest
    for step in range(60):
        match rng.choice(("append", "append", "append", "fail", "reopen", "recover")):
            case "append":
                work = entries_after(digest, len(plain), rng.randint(0, 4), payload=rng.randbytes(9))
                replies = [answer(f"{step}-{n}", step) for n in range(rng.randint(0, 2))]
                store.append(work, replies)
                plain += work
                answers |= {reply.key: reply for reply in replies}
                digest = plain[-1].digest if plain else digest
            case "fail" if plain:
                with pytest.raises(StoreError):
                    store.append([rng.choice(plain)], [answer(f"{step}-never")])
                store.recover()
            case "recover":
                store.recover()
            case "reopen":
                store.close()
                store = opened()
                store.take_over()
        assert store.head().digest == digest
        after, until = sorted((rng.randint(0, len(plain)), rng.randint(0, len(plain))))
        assert list(store.entries(after, until)) == plain[after:until]
        assert store.answer(f"{step}-never") is None
    assert {key: store.answer(key) for key in answers} == answers
    assert opened(read_only=True).verify() == []
