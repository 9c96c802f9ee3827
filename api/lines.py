"""Objects of a JSON list as lines, without looking at any of them one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graph.jit import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

_QUOTE, _BACKSLASH, _COMMA, _NEWLINE = 34, 92, 44, 10
_OPEN_LIST, _OPEN_OBJECT, _CLOSE_LIST, _CLOSE_OBJECT = 91, 123, 93, 125


def lines_of(items: memoryview | bytes) -> bytes:
    """`{...},{...}` as one object a line. JSON has no raw line breaks in its texts."""
    if not len(items):
        return b""
    made = np.empty(len(items) + 1, np.uint8)
    made[:-1] = np.frombuffer(items, np.uint8)
    made[-1] = _NEWLINE
    _break(made[:-1])
    return made.tobytes()


@kernel
def _break(text: npt.NDArray[np.uint8]) -> None:
    """Commas outside of all objects and texts become line breaks."""
    depth = 0
    place = 0
    while place < len(text):
        byte = text[place]
        if byte == _QUOTE:
            place += 1
            while place < len(text) and text[place] != _QUOTE:
                place += 2 if text[place] == _BACKSLASH else 1
        elif byte in (_OPEN_OBJECT, _OPEN_LIST):
            depth += 1
        elif byte in (_CLOSE_OBJECT, _CLOSE_LIST):
            depth -= 1
        elif byte == _COMMA and depth == 0:
            text[place] = _NEWLINE
        place += 1
