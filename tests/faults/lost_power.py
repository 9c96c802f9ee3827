"""What a disk may hold after the power went, from the trace of operations that `forgetful.py` wrote.

The rules, as POSIX gives them and no kinder: bytes and lengths of a file are safe once the file was synced;
names are safe once their folder was synced. Of all else any part may have reached the disk: writes in any
order, page by page; names, as a journaling file system has it, up to some point in their order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

PAGE_BYTES = 4096


def load_image(image: Path) -> tuple[dict[str, int], dict[int, bytes]]:
    """Names -> numbers of files, and their bytes; folders have no bytes."""
    names, contents = {"/": 0}, {}
    for number, path in enumerate(sorted(image.rglob("*")), 1):
        names["/" + path.relative_to(image).as_posix()] = number
        if path.is_file():
            contents[number] = path.read_bytes()
    return names, contents


@dataclass
class Disk:
    """What is safe, and what is only on its way, while a trace of operations is followed."""

    names: dict[str, int]
    contents: dict[int, bytes]
    folders: set[str] = field(default_factory=set)
    pending_writes: dict[int, list[tuple]] = field(default_factory=dict)
    pending_names: list[tuple] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, image: Path) -> Disk:
        names, contents = load_image(image)
        return cls(names, contents, {name for name, number in names.items() if number not in contents})

    def follow(self, operation: tuple) -> None:
        kind, *rest = operation
        if kind in ("write", "truncate"):
            self.pending_writes.setdefault(rest[0], []).append(operation)
        elif kind == "sync":
            self._sync_file(rest[0])
        elif kind == "syncdir":
            self._sync_names(rest[0])
        elif kind == "ack":
            self.acknowledged.append(rest[0])
        else:
            self.pending_names.append(operation)

    def _sync_file(self, number: int) -> None:
        content = bytearray(self.contents.get(number, b""))
        for operation in self.pending_writes.pop(number, ()):
            apply_write(content, operation)
        self.contents[number] = bytes(content)

    def _sync_names(self, folder: str) -> None:
        left = []
        for operation in self.pending_names:
            if any(parent_of(name) == folder for name in operation[1:3] if isinstance(name, str)):
                apply_name(self.names, self.folders, operation)
            else:
                left.append(operation)
        self.pending_names = left

    def lose_power(self, target: Path, rng: Random) -> None:
        """Write to a folder what may be found after the power came back."""
        keeps = rng.choice((0.0, 0.5, 1.0))  # nothing that was not synced; any part of it; all of it
        names, folders = dict(self.names), set(self.folders)
        known = rng.randint(0, len(self.pending_names)) if 0 < keeps < 1 else len(self.pending_names) * keeps
        for operation in self.pending_names[: int(known)]:
            apply_name(names, folders, operation)
        for name in sorted(folders - {"/"}):
            (target / name[1:]).mkdir(parents=True, exist_ok=True)
        for name, number in names.items():
            if name not in folders and parent_of(name) in folders:
                (target / name[1:]).write_bytes(self._content(number, keeps, rng))

    def _content(self, number: int, keeps: float, rng: Random) -> bytes:
        content = bytearray(self.contents.get(number, b""))
        for operation in self.pending_writes.get(number, ()):
            for part in pages_of(operation):
                if rng.random() < keeps:
                    apply_write(content, part)
        return bytes(content)


def pages_of(operation: tuple) -> list[tuple]:
    """A write page by page: each may reach the disk without the others."""
    if operation[0] == "truncate":
        return [operation]
    _, number, offset, data = operation
    cuts = [0, *range(PAGE_BYTES - offset % PAGE_BYTES, len(data), PAGE_BYTES), len(data)]
    return [("write", number, offset + first, data[first:last]) for first, last in pairwise(cuts)]


def apply_write(content: bytearray, operation: tuple) -> None:
    if operation[0] == "truncate":
        size = operation[2]
        del content[size:]
        content.extend(bytes(size - len(content)))
        return
    _, _, offset, data = operation
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


def apply_name(names: dict[str, int], folders: set[str], operation: tuple) -> None:
    match operation:
        case ("create", name, number):
            names[name] = number
        case ("mkdir", name, number):
            names[name] = number
            folders.add(name)
        case ("unlink" | "rmdir", name):
            names.pop(name, None)
            folders.discard(name)
        case ("rename", before, after):
            if before in names:
                names[after] = names.pop(before)


def parent_of(name: str) -> str:
    return name.rpartition("/")[0] or "/"
