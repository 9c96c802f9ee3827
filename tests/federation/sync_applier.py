"""Readers of pages to be killed: for each line of stdin a child is forked that takes pages until it dies.

A line: the file of pages (msgpack), the replica, whose it is, its site and base. `ack N` is written once page
N is there, `dead` once the child is gone.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec

from federation.replica import Replica
from federation.sync_wire import Page

NOW_NS = 1_800_000_000_000_000_000


def work_until_killed(file: str, path: str, owner: str, site: str, base: str) -> None:
    pages = msgspec.msgpack.decode(Path(file).read_bytes(), type=list[Page])
    with Replica.open(Path(path), owner, site, base) as replica:
        for number, page in enumerate(pages):
            if replica.apply(page, "peer", 10_000, NOW_NS):
                os.write(1, f"ack {number}\n".encode())
        os.write(1, b"end\n")
        while True:
            time.sleep(60)


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.write(1, f"pid {os.getpid()}\n".encode())
            work_until_killed(*line.split())
        os.waitpid(child, 0)
        os.write(1, b"dead\n")


if __name__ == "__main__":
    main()
