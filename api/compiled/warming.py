"""Getting the kernels ready before the first question: compiled once per version, then loaded from disk."""

from __future__ import annotations

import numpy as np

from api.compiled.arena import Arena, Thread, lists_of
from api.compiled.kernels import local_parts
from api.compiled.leaves import PLAIN
from graph.id_order import copy_all, in_order, sort_groups
from graph.jit import read_only
from graph.strings import PAD_BYTES, Strings


def warm() -> None:
    """Run a few bytes through every kernel. Some seconds after an update, else a tenth of one."""
    text = np.frombuffer(b'ab"' + bytes(PAD_BYTES), np.uint8)
    start, length = np.zeros(2, np.int64), np.array([2, 3])
    arena = Arena()
    texts = arena.quoted(text, start, length)
    strings = Strings(text, np.array([0, 2]))
    arena.numbered(strings, np.zeros(1, np.int32), first=1)
    numbers = arena.numbers(np.array([0.5, 1.5]))
    woven = arena.woven(Thread.of((b"{", b":", b"},")), (texts, numbers), 2)
    lists_of(np.array([0, 2]), arena.joined(woven))
    arena.times(np.array([0, 1]))
    local_parts(text, start.copy(), length.copy(), np.frombuffer(b"a", np.uint8), PLAIN)
    copy_all(text, start, np.zeros(8, np.uint8), start, length)
    sort_groups(read_only(text), start, length, np.array([0, 2]), np.arange(2))
    rows = read_only(np.arange(2, dtype=np.int32))
    in_order(rows, rows, np.array([0, 2]))
