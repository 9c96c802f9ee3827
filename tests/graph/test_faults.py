"""A journal whose own description is damaged: refused with its place, by whoever opens it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from graph.stores.protocol import Header
from graph.stores.reading import open_unchanged
from graph.stores.sqlite import SqliteStore
from ontology.errors import StoreError

WAYS = ["open", "take over", "open unchanged"]


@pytest.fixture
def journal(tmp_path):
    path = tmp_path / "journal.sqlite"
    SqliteStore.create(path, Header("campus", "https://campus.example/")).close()
    return path


def use(way, path):
    opened = open_unchanged(path) if way == "open unchanged" else SqliteStore.open(path)
    with closing(opened) as store:
        return store.take_over() if way == "take over" else store.head()


def not_utf8(path, word):
    """Put a byte that begins no character into the definition of a table."""
    whole = bytearray(path.read_bytes())
    place = whole.index(word)
    whole[place] = 0xCC
    path.write_bytes(whole)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("word", [b"CREATE TABLE head", b"TABLE commits"])
def test_a_definition_that_is_no_text_is_told_as_corrupt(journal, way, word):
    not_utf8(journal, word)
    with pytest.raises(StoreError) as caught:
        use(way, journal)
    assert (caught.value.code, caught.value.place.path) == ("JOURNAL_CORRUPT", str(journal))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("table", ["header", "head", "commits"])
def test_a_table_that_is_gone_is_told_as_corrupt(journal, way, table):
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute(f"DROP TABLE {table}")
    with pytest.raises(StoreError) as caught:
        for each in (way, "open", "take over"):
            use(each, journal)
    assert caught.value.code == "JOURNAL_CORRUPT"


@pytest.mark.parametrize("way", WAYS)
def test_a_header_without_a_row_is_told_as_corrupt(journal, way):
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("DELETE FROM header")
    with pytest.raises(StoreError, match="the header is missing") as caught:
        use(way, journal)
    assert caught.value.code == "JOURNAL_CORRUPT"


def test_a_head_that_was_changed_is_not_sealed_anew(journal):
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("UPDATE head SET answers_last = 7")
    with pytest.raises(StoreError, match="does not match its seal"):
        use("take over", journal)
    with closing(SqliteStore.open(journal, read_only=True)) as store:
        assert "head" in {problem.place.item for problem in store.verify()}
