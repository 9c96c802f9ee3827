# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
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
