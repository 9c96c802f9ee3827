"""Clocks of programs that are wrong, and jump while they run: libfaketime stands before the real one."""

from __future__ import annotations

from pathlib import Path

NAME = "libfaketimeMT.so.1"


def library() -> str | None:
    """Where it is; None where it is not installed."""
    found = sorted(Path("/usr/lib").glob(f"*/faketime/{NAME}"))
    return str(found[0]) if found else None


class Clock:
    """Of programs that are started with its `environment`. Only the time of day is wrong, as in the world."""

    def __init__(self, path: Path, hours: float) -> None:
        self._path = path
        self.jump(hours)

    def jump(self, hours: float) -> None:
        """From now on it is so many hours ahead. The file is never half written."""
        draft = self._path.with_suffix(".draft")
        draft.write_text(f"{round(hours * 3600):+d}\n")
        draft.replace(self._path)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": library() or "",
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
