"""The numbers of points and texts in a history. A name is durable before the first reading that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from graph.readings.frames import AppendFile, read_file, whole_frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

NAMES: Final = "names.tml"
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(tuple[list[str], list[str]])
"""Made once: msgspec may crash where two threads meet a type for the first time."""


class Numbered:
    """Names in order of their numbers; only ever added to."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.names)

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            self.numbers[name] = len(self.names)
            self.names.append(name)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those without a number, each once."""
        return list(dict.fromkeys(name for name in names if name not in self.numbers))


class Names:
    """Names of points and texts, read from a file of frames."""

    def __init__(self) -> None:
        self.points = Numbered()
        self.texts = Numbered()
        self.size = 0  # of the file, as far as it was read

    @classmethod
    def load(cls, folder: Path) -> Names:
        """StoreError HISTORY_CORRUPT, OSError."""
        names = cls()
        if (folder / NAMES).exists():
            payloads, names.size = read_file(folder / NAMES)
            names._take(payloads)
        return names

    def refresh(self, folder: Path) -> None:
        """Take over what another process added. OSError."""
        path = folder / NAMES
        if path.exists() and path.stat().st_size > self.size:
            with path.open("rb") as file:
                file.seek(self.size)
                payloads, read = whole_frames(file.read())
            self.size += read
            self._take(payloads)

    def _take(self, payloads: Sequence[memoryview]) -> None:
        for payload in payloads:
            points, texts = _DECODER.decode(payload)
            self.points.add(points)
            self.texts.add(texts)


class NamesFile:
    """Where new names are kept. One thread at a time."""

    def __init__(self, folder: Path, names: Names) -> None:
        """OSError."""
        self._names = names
        self.file = AppendFile(folder / NAMES, names.size)

    def add(self, points: Iterable[str], texts: Iterable[str]) -> None:
        """Give numbers to those that have none; durable on return. OSError: then none was given."""
        new_points = self._names.points.missing(points)
        new_texts = self._names.texts.missing(texts)
        if new_points or new_texts:
            self.file.append(_ENCODER.encode((new_points, new_texts)))
            self._names.points.add(new_points)
            self._names.texts.add(new_texts)
