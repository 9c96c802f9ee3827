# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportCallIssue=false
"""The one door to numba: every kernel is compiled the same way and keeps its signature for type checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")


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

    Without the wrappers that the interpreter would call, which for a function over many arrays cost as much to
    compile as the function.
    """
    compiled = njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    return cast("Callable[P, R]", compiled(function))
