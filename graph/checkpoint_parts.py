"""What texts and indexes are saved as: the arrays they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graph.checkpoint_file import Section
from graph.interning import InternedParts
from graph.multimap import merge_runs
from graph.strings import PAD_BYTES, Strings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from graph.checkpoint_file import CheckpointFile
    from graph.multimap import Run


def interned_sections(name: str, parts: InternedParts) -> Iterator[Section]:
    """The strings of a table and the index over them."""
    strings, used = parts.strings, int(parts.strings.offsets[-1])
    # What lies behind the last string may be written right now: zeros are saved in its place.
    pieces = (strings.data[:used], np.zeros(PAD_BYTES, np.uint8))
    yield Section(f"{name}.data", np.dtype(np.uint8), (used + PAD_BYTES,), lambda: iter(pieces))
    yield Section.of(f"{name}.offsets", strings.offsets)
    yield index_section(name, parts.runs)


def load_interned(file: CheckpointFile, name: str, seed: bytes) -> InternedParts:
    strings = Strings(file.array(f"{name}.data"), file.array(f"{name}.offsets"))
    return InternedParts(strings, load_index(file, name), seed)


def index_section(name: str, runs: Sequence[Run]) -> Section:
    """An index as one sorted run."""
    merged = np.zeros(0, np.int64)
    for run in reversed(runs):  # the last ones are the shortest
        merged = merge_runs(run, merged) if len(merged) else run
    return Section.of(f"index.{name}", merged)


def load_index(file: CheckpointFile, name: str) -> tuple[Run, ...]:
    run = file.array(f"index.{name}")
    return (run,) if len(run) else ()
