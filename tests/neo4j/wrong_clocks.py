"""Clocks of programs that are wrong, and jump while they run.

The program is the real one; before it begins, Python itself (by a `sitecustomize`) gets a time of day that is
the real one moved by what stands in a file. Not by libfaketime: with 0.9.10 `time.sleep` of Python 3.11 fails
(EINVAL), and Neo4j does not start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CUSTOM = """
import os
import time

PATH, REAL_NS = os.environ["WRONG_CLOCK"], time.time_ns


def time_ns():
    with open(PATH) as file:
        return REAL_NS() + int(file.read()) * 10**9


time.time_ns = time_ns
time.time = lambda: time_ns() / 1e9
"""


class Clock:
    """Of programs that are started with its `environment`. Only the time of day is wrong, as in the world."""

    def __init__(self, folder: Path, hours: float) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(CUSTOM)
        self._folder = folder
        self.jump(hours)

    def jump(self, hours: float) -> None:
        """From now on it is so many hours ahead. The file is never half written."""
        draft = self._folder / "draft"
        draft.write_text(f"{round(hours * 3600)}")
        draft.replace(self._folder / "offset_s")

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self._folder), "WRONG_CLOCK": str(self._folder / "offset_s")}
