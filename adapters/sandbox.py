"""Run an importer in a child process with little memory, little time and no network.

Files come from strangers and are read by large C++ libraries. The child is a fresh interpreter, not a fork:
it holds no keys, no sockets, no environment of the server and none of its threads. What it sends back is
unpickled by a reader that knows only the plain records of an import, so a child that was taken over cannot
make the server run code.
"""

from __future__ import annotations

import io
import os
import pickle
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ParamSpec, TypeVar, cast

from adapters.child import EXIT_OUT_OF_MEMORY, Limits, Outcome, Refusal
from ontology import errors
from ontology.errors import InputError, Place, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

P = ParamSpec("P")
R = TypeVar("R")

_MIB = 1 << 20
_CHUNK_BYTES = 1 << 20
_STDERR_TAIL_BYTES = 4096
# What stands last on standard error when a limit was met as an exception or an abort, not as a signal.
_SIGNS = {
    "bad_alloc": "memory",
    "MemoryError": "memory",
    "Cannot allocate memory": "memory",
    "File too large": "space on disk",
}
_SIGNALS = {
    -signal.SIGXCPU: "processor time",
    -signal.SIGXFSZ: "space on disk",
    # Only the kernel sends this one: the hard processor limit, or its own lack of memory.
    -signal.SIGKILL: "memory or processor time",
}

# Where the records of an import are defined. Only classes are taken from these, and nothing from anywhere
# else but the names listed below, which numpy and pathlib need to restore arrays and paths.
_RECORD_MODULES = frozenset(
    {
        "graph.values",
        "graph.bulk",
        "ontology.errors",
        "ontology.terms",
        "adapters.model",
        "adapters.packing",
        "adapters.child",
    }
)
_RESTORERS = frozenset(
    {
        ("builtins", "frozenset"),
        ("builtins", "set"),
        ("pathlib", "Path"),
        ("pathlib", "PosixPath"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
    }
)
_ERRORS: dict[str, type[TwinmeshError]] = {
    kind.__name__: kind
    for kind in (
        errors.UsageError,
        errors.InputError,
        errors.ChangeError,
        errors.ConflictError,
        errors.NotFoundError,
        errors.AccessError,
        errors.LimitError,
        errors.StoreError,
    )
}


def run_limited(
    function: Callable[P, R],
    *args: object,
    memory_mb: int = 4096,
    cpu_s: int = 300,
    wall_s: float = 600.0,
    result_mb: int = 1024,
) -> R:
    """`function(*args)` computed in a child process.

    The function must be importable by name and its arguments picklable; its result may hold only the records
    of an import (`graph.values`, `adapters.model`), plain Python values and numpy arrays.

    memory_mb: address space of the child in MiB; cpu_s: its processor time; wall_s: time until it is killed;
    result_mb: most that it may send back, and the largest file it may write.

    Raises InputError exactly as the function raised it, all problems included (and any other TwinmeshError
    likewise); InputError IMPORT_LIMIT where a limit was reached, IMPORT_CRASHED where the child ended in any
    other way. When this returns or raises, the child and its folder are gone.
    """
    path = next((str(arg) for arg in args if isinstance(arg, Path)), None)
    with (
        tempfile.TemporaryDirectory(prefix="twinmesh-import-") as scratch,
        tempfile.TemporaryFile() as complaints,
    ):
        limits = Limits(memory_mb, cpu_s, result_mb, scratch)
        request = pickle.dumps(limits) + pickle.dumps((function, args), protocol=5)
        with _child(request, complaints) as child:
            data, ended = _collect(child, time.monotonic() + wall_s, result_mb * _MIB)
        complaint = _tail(complaints)
    if ended.code != 0:
        raise _failure(
            ended, complaint, Place(path), f"memory_mb={memory_mb}, cpu_s={cpu_s}, wall_s={wall_s:g}"
        )
    return cast("R", _result(data, Place(path)))


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a child ended: by itself with a code (negative: a signal), or stopped by us for a reason."""

    code: int | None
    stopped: str = ""


@contextmanager
def _child(request: bytes, complaints: BinaryIO) -> Generator[subprocess.Popen[bytes]]:
    """A running child that has been given its request; dead and reaped on the way out, its children too."""
    with (
        tempfile.TemporaryFile() as given
    ):  # a file, not a pipe: both sides may be slow without blocking each other
        given.write(request)
        given.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", "from adapters.child import main; main()"],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=_environment(),
            start_new_session=True,
        )
    try:
        yield child
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child.stdout:
            child.stdout.close()


def _environment() -> dict[str, str]:
    """Nothing of ours but where Python finds its modules: tokens often stand in the environment.

    One thread for numpy: each thread of its linear algebra reserves address space, which is what we limit.
    """
    here = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path if entry)
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {
        "PYTHONPATH": here,
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "PATH": os.defpath,
        **threads,
    }


def _collect(child: subprocess.Popen[bytes], deadline_s: float, most_bytes: int) -> tuple[bytes, _Ended]:
    """All that the child writes until it ends, and how it ended."""
    assert child.stdout is not None
    data = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline_s - time.monotonic())):
                return b"", _Ended(None, "wall-clock time")
            chunk = os.read(child.stdout.fileno(), _CHUNK_BYTES)
            if not chunk:
                return bytes(data), _wait(child, deadline_s)
            data += chunk
            if len(data) > most_bytes:
                return b"", _Ended(None, "size of the result")


def _wait(child: subprocess.Popen[bytes], deadline_s: float) -> _Ended:
    """The pipe is closed, so the child is ending; but nothing that it does may make us wait for ever."""
    try:
        return _Ended(child.wait(timeout=max(0.1, deadline_s - time.monotonic())))
    except subprocess.TimeoutExpired:
        return _Ended(None, "wall-clock time")


def _tail(complaints: BinaryIO) -> str:
    """The end of what the child wrote to standard error."""
    size = complaints.seek(0, io.SEEK_END)
    complaints.seek(max(0, size - _STDERR_TAIL_BYTES))
    return complaints.read().decode("utf-8", errors="replace").strip()


def _failure(ended: _Ended, complaint: str, place: Place, limits: str) -> InputError:
    last = complaint.splitlines()[-1] if complaint else f"exit code {ended.code}"
    reached = ended.stopped or _limit_behind(ended.code, complaint)
    if not reached:
        return _crash(last, place)
    hint = f"the importer may use {limits}; raise the limit if the file is to be trusted"
    return InputError(
        f"reading the file took too much {reached}", code="IMPORT_LIMIT", place=place, hint=hint
    )


def _limit_behind(code: int | None, complaint: str) -> str:
    """Which limit an end points to, or nothing."""
    if code == EXIT_OUT_OF_MEMORY:
        return "memory"
    signs = (reached for sign, reached in _SIGNS.items() if sign in complaint)
    return _SIGNALS.get(code or 0) or next(signs, "")


def _crash(reason: str, place: Place) -> InputError:
    hint = f"the file made its reader fail ({reason}); check it with the program that wrote it"
    return InputError("the importer ended unexpectedly", code="IMPORT_CRASHED", place=place, hint=hint)


def _result(data: bytes, place: Place) -> Any:
    try:
        outcome = RecordUnpickler(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError) as error:
        raise _crash(f"no readable answer: {error}", place) from error
    if not isinstance(outcome, Outcome):
        raise _crash("no answer", place)
    if outcome.refusal is not None:
        raise _error(outcome.refusal)
    return outcome.result


def _error(refusal: Refusal) -> TwinmeshError:
    kind = _ERRORS.get(refusal.error, InputError)
    given: dict[str, Any] = {"code": refusal.code, "place": refusal.place, "hint": refusal.hint}
    if issubclass(kind, InputError | errors.ChangeError):
        given["problems"] = refusal.problems
    return kind(refusal.message, **given)


class RecordUnpickler(pickle.Unpickler):
    """Restores records and arrays; everything else that a pickle could name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _RESTORERS:
            return super().find_class(module, name)
        # No dots (they would reach through a module's own imports) and no names that a module only imports.
        found = super().find_class(module, name) if module in _RECORD_MODULES and "." not in name else None
        if isinstance(found, type) and found.__module__ == module:
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is no record of an import")
