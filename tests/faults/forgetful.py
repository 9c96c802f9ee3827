"""A file system that forgets what was not synced, as a machine does that loses its power.

Mounted by `python forgetful.py MOUNT IMAGE TRACE` (FUSE, through mfusepy): starts with the files of the
folder IMAGE, keeps all in memory and writes every operation, in order, to TRACE when it is unmounted.
`lost_power` then tells what a disk may hold if the power went after any of them.
"""

from __future__ import annotations

import errno
import pickle
import stat
import sys
import time
from pathlib import Path
from typing import Any

import mfusepy

sys.path.append(str(Path(__file__).parent))
from lost_power import apply_write, load_image, parent_of

ACKS = "/acks"  # what a writer writes here is no data but a mark in the trace: acknowledged by now


class Forgetful(mfusepy.Operations):
    """The file system itself: every operation is done in memory and noted in the trace."""

    use_ns = True

    def __init__(self, image: Path) -> None:
        self.names, contents = load_image(image)
        self.contents = {number: bytearray(content) for number, content in contents.items()}
        self.next_number = len(self.names)
        self.trace: list[tuple] = []

    def number_of(self, path: str, handle: Any = None) -> int:
        if handle:
            return int(handle) - 1
        if path not in self.names:
            raise OSError(errno.ENOENT, path)
        return self.names[path]

    def add(self, kind: str, path: str) -> int:
        number, self.next_number = self.next_number, self.next_number + 1
        self.names[path] = number
        self.trace.append((kind, path, number))
        return number

    # What FUSE asks

    def access(self, *_: Any) -> int:
        return 0

    chmod = chown = utimens = flush = release = releasedir = access

    def getattr(self, path: str, handle: Any = None) -> dict[str, int]:
        number = self.number_of(path, handle)
        content = self.contents.get(number)
        now = time.time_ns()
        mode = stat.S_IFDIR | 0o755 if content is None else stat.S_IFREG | 0o644
        times = {"st_atime": now, "st_mtime": now, "st_ctime": now}
        links = sum(known == number for known in self.names.values())
        return {"st_mode": mode, "st_nlink": links, "st_size": len(content or b""), "st_ino": number, **times}

    def readdir(self, path: str, _: Any) -> list[str]:
        inside = [name for name in self.names if name != "/" and parent_of(name) == path]
        return [".", "..", *(name.rpartition("/")[2] for name in inside)]

    def mkdir(self, path: str, _: int) -> int:
        self.add("mkdir", path)
        return 0

    def create(self, path: str, *_: Any) -> int:
        number = self.add("create", path)
        self.contents[number] = bytearray()
        return number + 1

    def open(self, path: str, *_: Any) -> int:
        return self.number_of(path) + 1

    def opendir(self, path: str) -> int:
        return self.number_of(path) + 1

    def read(self, path: str, size: int, offset: int, handle: Any) -> bytes:
        return bytes(self.contents[self.number_of(path, handle)][offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, handle: Any) -> int:
        if path == ACKS:
            self.trace.append(("ack", bytes(data).decode().strip()))
            return len(data)
        operation = ("write", self.number_of(path, handle), offset, bytes(data))
        self._change(operation)
        return len(data)

    def truncate(self, path: str, size: int, handle: Any = None) -> int:
        self._change(("truncate", self.number_of(path, handle), size))
        return 0

    def _change(self, operation: tuple) -> None:
        self.trace.append(operation)
        apply_write(self.contents[operation[1]], operation)

    def fsync(self, path: str, _: int, handle: Any) -> int:
        self.trace.append(("sync", self.number_of(path, handle)))
        return 0

    def fsyncdir(self, path: str, *_: Any) -> int:
        self.trace.append(("syncdir", path))
        return 0

    def unlink(self, path: str) -> int:
        self.names.pop(path)
        self.trace.append(("unlink", path))
        return 0

    def rmdir(self, path: str) -> int:
        self.names.pop(path)
        self.trace.append(("rmdir", path))
        return 0

    def rename(self, before: str, after: str, *_: Any) -> int:
        self.names[after] = self.names.pop(before)
        self.trace.append(("rename", before, after))
        return 0

    def statfs(self, _: str) -> dict[str, int]:
        return {
            "f_bsize": 4096,
            "f_frsize": 4096,
            "f_blocks": 1 << 20,
            "f_bavail": 1 << 19,
            "f_bfree": 1 << 19,
        }


def main(mount: str, image: str, trace: str) -> None:
    forgetful = Forgetful(Path(image))
    mfusepy.FUSE(forgetful, mount, foreground=True, nothreads=True, fsname="forgetful", attr_timeout=0.0)
    Path(trace).write_bytes(pickle.dumps(forgetful.trace))


if __name__ == "__main__":
    main(*sys.argv[1:4])
