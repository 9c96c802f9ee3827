"""The file of a checkpoint: arrays come back as they were; any byte that changes is found with its place."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest

from graph.checkpoint_file import (
    BLOCK_BYTES,
    FORMAT_VERSION,
    Section,
    open_checkpoint,
    verify_checkpoint,
    write_checkpoint,
)
from ontology.errors import StoreError


class About(msgspec.Struct):
    name: str


LARGE = np.arange(3 * BLOCK_BYTES // 8 + 5, dtype=np.int64)
ARRAYS = {
    "none": np.zeros(0, np.float64),
    "one": np.array([7], np.uint8),
    "table": np.arange(12, dtype=np.int16).reshape(3, 4),
    "large": LARGE,
    "flags": np.array([True, False, True]),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "checkpoints" / "1.tmc"
    write_checkpoint(path, About("x"), (Section.of(name, array) for name, array in ARRAYS.items()))
    return path


def test_arrays_come_back_mapped_and_aligned(path):
    file = open_checkpoint(path)
    assert file.about(msgspec.msgpack.Decoder(About)) == About("x")
    assert verify_checkpoint(path) == []
    for name, array in ARRAYS.items():
        found = file.array(name)
        assert found.dtype == array.dtype
        assert np.array_equal(found, array)
        assert not found.flags.writeable
    assert all(entry.start % 64 == 0 for entry in file.table.sections)
    assert "none" in file
    assert "other" not in file


def test_a_section_written_in_pieces_is_one_array(tmp_path):
    pieces = [LARGE[first : first + 1000] for first in range(0, len(LARGE), 1000)]
    section = Section("large", LARGE.dtype, LARGE.shape, lambda: iter(pieces))
    write_checkpoint(tmp_path / "a.tmc", About("x"), [section])
    write_checkpoint(tmp_path / "b.tmc", About("x"), [Section.of("large", LARGE)])
    assert (tmp_path / "a.tmc").read_bytes() == (tmp_path / "b.tmc").read_bytes()


def test_every_bit_of_a_small_file_counts(tmp_path):
    path = tmp_path / "1.tmc"
    small = {name: array for name, array in ARRAYS.items() if name != "large"}
    write_checkpoint(path, About("x"), [Section.of(name, array) for name, array in small.items()])
    sound = path.read_bytes()
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        problems = verify_checkpoint(path)
        assert len(problems) == 1, place
        assert problems[0].place.path == str(path)
        assert problems[0].place.item is not None


def test_a_damaged_block_is_named(path):
    start = next(entry.start for entry in open_checkpoint(path).table.sections if entry.name == "large")
    with path.open("r+b") as file:
        file.seek(start + BLOCK_BYTES + 17)
        file.write(b"\xff")
    (problem,) = verify_checkpoint(path)
    assert problem.code == "CHECKPOINT_CORRUPT"
    first, last = start + BLOCK_BYTES, start + 2 * BLOCK_BYTES
    assert problem.place.item == f"section large, bytes {first} to {last}"


def test_random_damage_is_found(path):
    """Blocks zeroed, swapped, cut off, doubled, added."""
    sound, rng = path.read_bytes(), random.Random(5)
    for _ in range(60):
        damaged = bytearray(sound)
        size = rng.choice([1, 8, 512, 4096])
        first, second = sorted(rng.sample(range(len(sound) - size), 2))
        match rng.randrange(5):
            case 0:
                damaged[first : first + size] = bytes(size)
            case 1:
                damaged[first : first + size] = sound[second : second + size]
            case 2:
                del damaged[first : first + size]
            case 3:
                damaged = damaged[:second]
            case _:
                damaged += sound[first : first + size]
        path.write_bytes(damaged)
        assert bool(verify_checkpoint(path)) == (bytes(damaged) != sound)


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3\0" * 100, bytes(4096)])
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "1.tmc"
    path.write_bytes(content)
    with pytest.raises(StoreError) as raised:
        open_checkpoint(path)
    assert raised.value.code == "CHECKPOINT_CORRUPT"
    assert [problem.code for problem in verify_checkpoint(path)] == ["CHECKPOINT_CORRUPT"]


def test_a_missing_file_is_an_error_of_the_store(tmp_path):
    assert [problem.code for problem in verify_checkpoint(tmp_path / "1.tmc")] == ["STORE_FAILED"]


def test_a_newer_format_is_not_read(path, monkeypatch):
    monkeypatch.setattr("graph.checkpoint_file.FORMAT_VERSION", FORMAT_VERSION + 1)
    write_checkpoint(path, About("x"), [Section.of("one", ARRAYS["one"])])
    monkeypatch.undo()
    assert [problem.code for problem in verify_checkpoint(path)] == ["CHECKPOINT_VERSION"]


def test_what_fails_while_writing_leaves_nothing(path):
    sound = path.read_bytes()

    def failing():
        yield np.zeros(4)
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError) as raised:
        write_checkpoint(path, About("y"), [Section("x", np.dtype(np.float64), (8,), failing)])
    assert raised.value.code == "STORE_FAILED"
    assert path.read_bytes() == sound
    assert [found.name for found in path.parent.iterdir()] == [path.name]
