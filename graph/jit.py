# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportCallIssue=false
"""Kernels over columns, compiled by numba: outside the interpreter's lock, kept on disk once compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

D = TypeVar("D", bound="np.generic")
P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on first use, or load what was compiled before. Kernels of one file may call each other only:
    numba looks for changes in the file of a kernel, and nowhere else."""
    return cast("Callable[P, R]", njit(nogil=True, cache=True)(function))


def read_only(data: npt.NDArray[D]) -> npt.NDArray[D]:
    """The same array, not to be written: kernels are compiled anew for each kind of array they are given, and
    columns are now of the one kind (from a file), now of the other (once they have grown)."""
    view = data.view()
    view.flags.writeable = False
    return view


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """As `kernel`, for a small one whose text is put into those that call it."""
    return cast("Callable[P, R]", njit(nogil=True, cache=True, inline="always")(function))


@intrinsic
def _copy(_context: Any, target: Any, at: Any, source: Any, start: Any, count: Any) -> Any:
    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, _, other, _, _ = signature.args
        into = context.make_array(array)(context, builder, arguments[0])
        out_of = context.make_array(other)(context, builder, arguments[2])
        first = builder.gep(into.data, [arguments[1]])
        cgutils.raw_memcpy(builder, first, builder.gep(out_of.data, [arguments[3]]), arguments[4], 1)
        return context.get_dummy_value()

    index = types.int64
    return types.void(target, index, source, index, index), make


@inlined
def copy_bytes(
    target: npt.NDArray[np.uint8], at: int, source: npt.NDArray[np.uint8], start: int, count: int
) -> None:
    """target[at:at + count] = source[start:start + count], without looking whether they hold so much."""
    _copy(target, at, source, start, count)


@intrinsic
def _load(_context: Any, source: Any, at: Any) -> Any:
    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        word = ir.IntType(64)
        return builder.load(builder.bitcast(place, word.as_pointer()), align=1)

    return types.uint64(source, types.int64), make


@inlined
def load_word(source: npt.NDArray[np.uint8], at: int) -> np.uint64:
    """source[at:at + 8] as a number, the first byte lowest, without looking whether it holds so much."""
    return _load(source, at)
