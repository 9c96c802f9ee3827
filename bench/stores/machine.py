"""What the figures were measured on, and how much else went on there meanwhile."""

from __future__ import annotations

import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

# Processors that others may keep busy before the figures say so.
QUIET_PROCESSORS_MAX = 0.15
SYNCED_BYTES = 300


class Meter:
    """Counts processor time of the whole machine and of this process with its children, from now on."""

    def __init__(self) -> None:
        self._started_s, self._busy_s, self._own_s = time.monotonic(), _busy_s(), _own_s()

    def others(self) -> float:
        """How many processors were busy with anything but this benchmark, on average."""
        wall_s = max(time.monotonic() - self._started_s, 0.01)
        other_s = (_busy_s() - self._busy_s) - (_own_s() - self._own_s)
        return round(max(other_s / wall_s, 0.0), 2)

    def machine(self, folder: Path) -> dict[str, Any]:
        others = self.others()
        return {
            "processors": os.cpu_count(),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "system": platform.platform(),
            "python": platform.python_version(),
            "disk": _file_system(folder),
            "processors_busy_with_other_work": others,
            "quiet": others <= QUIET_PROCESSORS_MAX,
            "seconds": round(time.monotonic() - self._started_s, 1),
        }


def synced_appends_s(path: Path, count: int) -> float:
    """Seconds for `count` appends to a file, each with fdatasync: the least that a durable write costs."""
    started = time.perf_counter()
    with path.open("ab", buffering=0) as file:
        for number in range(count):
            file.write(number.to_bytes(8, "little").ljust(SYNCED_BYTES, b"."))
            os.fdatasync(file.fileno())
    return time.perf_counter() - started


def _busy_s() -> float:
    """Of all processors, since the machine started; also what other machines stole."""
    fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    """Children count once they have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _file_system(folder: Path) -> str:
    """Type of the file system that holds a folder: on tmpfs, syncing costs nothing and means nothing."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    holding = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(holding, key=lambda mount: len(mount[0]), default=("", "unknown"))[1]
