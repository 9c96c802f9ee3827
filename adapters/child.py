"""The inside of the sandbox: give up rights, run one function, write its outcome. Started by `sandbox.py`.

Reads two pickles from standard input: the limits, then (after they hold) the function and its arguments.
Writes one pickled outcome to what was standard output; prints of libraries go to standard error instead.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import resource
import signal
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from ontology.errors import Place, Problem, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable

# sysexits.h has no "out of memory"; any code that Python and signals leave free will do.
EXIT_OUT_OF_MEMORY = 77

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What the child may use. Zero is not "no limit": every limit must be stated."""

    memory_mb: int  # address space
    cpu_s: int
    file_mb: int  # size of any one file it writes
    scratch: str  # the only folder it is meant to write to


@dataclass(frozen=True, slots=True)
class Refusal:
    """A TwinmeshError on its way through the pipe (exceptions with keywords do not survive pickling)."""

    error: str  # class name in ontology.errors
    code: str
    message: str
    place: Place
    hint: str | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Exactly one of the two is set; a function that returns None sets neither."""

    result: Any = None
    refusal: Refusal | None = None


def main() -> None:
    """Serve one request and exit."""
    die_with_parent()
    gc.disable()  # one job, then exit: a file becomes millions of records, and none of them in cycles
    answer = _private_stdout()
    limits: Limits = pickle.load(sys.stdin.buffer)
    _apply(limits)
    leave_network()
    try:
        function, args = pickle.load(sys.stdin.buffer)
        data = pickle.dumps(_run(function, args), protocol=5)
    except MemoryError:
        os._exit(EXIT_OUT_OF_MEMORY)  # unwinding may need memory again
    with os.fdopen(answer, "wb") as pipe:
        pipe.write(data)
    # The answer is out: tearing down millions of objects one by one would only cost time.
    os._exit(0)


def _run(function: Callable[..., object], args: tuple[object, ...]) -> Outcome:
    try:
        return Outcome(result=function(*args))
    except TwinmeshError as error:
        name = type(error).__name__
        return Outcome(
            refusal=Refusal(name, error.code, error.message, error.place, error.hint, error.problems)
        )


def _private_stdout() -> int:
    """A descriptor of our own for the answer; descriptor 1 becomes standard error."""
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer


def _apply(limits: Limits) -> None:
    for what, most in (
        (resource.RLIMIT_AS, limits.memory_mb * _MIB),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, limits.file_mb * _MIB),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
    ):
        lower_limit(what, most)
    tempfile.tempdir = limits.scratch


def lower_limit(what: int, most: int) -> None:
    """Set soft and hard limit, never above the hard limit that is there."""
    _, hard = resource.getrlimit(what)
    bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (bound, bound))


def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """No orphan keeps computing after a killed server; and no new rights by way of set-user-id programs."""
    libc = _libc()
    if libc is not None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def leave_network() -> None:
    """An empty network namespace where the kernel grants one, and in any case no sockets from Python.

    Containers often forbid new namespaces; the audit hook cannot be taken back by imported code, but C++ code
    does not pass through it. No importer library opens sockets by itself.
    """
    libc = _libc()
    if libc is not None and libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    sys.addaudithook(_refuse_sockets)


def _refuse_sockets(event: str, _: tuple[object, ...]) -> None:
    if event.startswith("socket."):
        _no_network(event)


def _no_network(event: str) -> NoReturn:
    raise PermissionError(f"importers have no network ({event})")
