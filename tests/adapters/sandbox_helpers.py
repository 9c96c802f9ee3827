"""Functions that the sandbox tests run in the child; importable by name, which test modules are not."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from adapters.model import Parsed, ReadingRows
from graph.values import Quality, RelationshipRecord, TwinRecord, Value
from ontology.errors import InputError, NotFoundError, Place, Problem


def echo(value: object) -> object:
    return value


def parsed(path: Path) -> Parsed:
    twin = TwinRecord("urn:a", ("urn:K",), "A", attributes={"x": Value(1.5, "kW", "f")})
    rows = ReadingRows(
        ("p", "q"),
        np.array([1, 2], np.int64),
        (1.0, "on"),
        np.array([Quality.GOOD, Quality.BAD], np.uint8),
        np.array([2, 3], np.int32),
    )
    return Parsed(
        str(path), "csv", "s", (twin,), (RelationshipRecord("urn:a", "urn:r", "urn:b"),), readings=rows
    )


def refuse() -> None:
    problems = [Problem("ONE", "first", Place("f.csv", 3), "look"), Problem("TWO", "second")]
    raise InputError.of(problems)


def not_found() -> None:
    raise NotFoundError("no such kind", code="KIND_UNKNOWN", hint="did you mean brick:AHU?")


def fail() -> None:
    raise ZeroDivisionError("of a kind that nobody foresaw")


def abort() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(code: int) -> None:
    os._exit(code)


def hoard() -> int:
    return len(bytearray(8 << 30))


def spin() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(600)


def sleep_after_closing_output() -> None:
    os.closerange(0, 256)
    time.sleep(600)


def chatter() -> str:
    print("to standard output from Python")
    ctypes.CDLL(None).puts(b"and from C")
    ctypes.CDLL(None).fflush(None)
    return "kept apart"


def large(n_bytes: int) -> bytes:
    return bytes(n_bytes)


def write_large(n_bytes: int) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(n_bytes))
        file.flush()


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5)


def connect_without_python(port: int) -> int:
    """A socket that no audit hook sees: 0 if the connection came about, else the error number."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = libc.socket(2, 1, 0)
    address = (2).to_bytes(2, sys.byteorder) + port.to_bytes(2, "big") + bytes([127, 0, 0, 1]) + bytes(8)
    return 0 if libc.connect(handle, address, 16) == 0 else ctypes.get_errno()


def environment() -> dict[str, str]:
    return dict(os.environ)


def scratch() -> str:
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(b"left behind")
    return file.name


def start_grandchild() -> int:
    return subprocess.Popen(["sleep", "600"]).pid


class Payload:
    """A pickle that would run a command where it is loaded."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def payload(path: str) -> Payload:
    return Payload(path)


def fail_on(path: Path) -> None:
    raise ValueError(path.name)


def network_namespace() -> str:
    return str(Path("/proc/self/ns/net").readlink())


def sleep_with_grandchild(path: str) -> None:
    Path(path).write_text(str(subprocess.Popen(["sleep", "600"]).pid))
    time.sleep(600)
