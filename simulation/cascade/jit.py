# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportCallIssue=false
"""The one door to numba: every kernel is compiled the same way and keeps its signature for type checks."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba import njit
from numba.core import config

P = ParamSpec("P")
R = TypeVar("R")

_HERE = Path(__file__).parent
_OUTSIDE = ("case.py", "circles.py", "distributions.py", "world.py")  # with kernels, or numbers in them


def warm_mark() -> Path:
    """The file that says that all kernels of these very sources were compiled into the cache."""
    return Path(getattr(config, "CACHE_DIR")) / f"warm-{_digest()}"  # noqa: B009, as below


def _cache_folder() -> Path:
    """A folder for compiled kernels that is another one whenever any of their sources changes.

    Numba looks only at the file of the function it loads, though code of the functions called is in it too:
    after a change of one of those it would go on with the old code, or fail on types that are no more.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twinmesh"
    return (_HERE / "__pycache__" if os.access(_HERE, os.W_OK) else home) / f"kernels-{_digest()}"


def _digest() -> str:
    sources = sorted((*_HERE.glob("*.py"), *(_HERE.parent / name for name in _OUTSIDE)))
    texts = [path.name.encode() + path.read_bytes() for path in sources]
    return blake2b(b"\0".join((numba.__version__.encode(), *texts)), digest_size=8).hexdigest()


if not os.environ.get("NUMBA_CACHE_DIR"):  # what the user says goes first
    setattr(config, "CACHE_DIR", str(_cache_folder()))  # noqa: B010, the type checker cannot see the attribute


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on first use, without the interpreter's lock and without fastmath, and keep the result on disk.

    Without fastmath LLVM neither reorders nor contracts floating point. The interpreted original stays
    reachable as `.py_func`. A kernel allocates nothing that grows inside `prange`: that crashed (numba 0.68).
    """
    return cast("Callable[P, R]", njit(nogil=True, cache=True)(function))


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """As `kernel`, for a small one that others call often: its text is put into theirs.

    A call that is not inlined counts references to every array of every tuple it is given: microseconds.
    """
    return cast("Callable[P, R]", njit(nogil=True, cache=True, inline="always")(function))


def part(function: Callable[P, R]) -> Callable[P, R]:
    """As `kernel`, for functions that only other kernels call.

    Without the wrappers that the interpreter would call, which for a function over many arrays cost as much
    to compile as the function.
    """
    compiled = njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    return cast("Callable[P, R]", compiled(function))


def bare(function: Callable[P, R]) -> Callable[P, R]:
    """As `part`, for functions that allocate nothing: compiled without any counting of references.

    Numba counts a reference to every array of every tuple it hands on. Without that the cascade runs in 60 %
    of the time and compiles in 80 %. To allocate in such a function is a compile error.
    """
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}
    return cast("Callable[P, R]", njit(nogil=True, cache=True, **options)(function))
