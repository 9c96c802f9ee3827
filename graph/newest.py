"""The newest reading of each point, written into columns by one pass: as after sorting by time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from graph.jit import kernel, read_only

if TYPE_CHECKING:
    import numpy.typing as npt

    from graph.columns import PagedColumn


class Stamped:
    """Readings as kernels take them: points int32[n], times_ns int64[n], words uint64[n], quality uint8[n].

    The kernels are compiled for one kind of arrays: in one piece, and not to be written.
    """

    __slots__ = ("points", "quality", "times_ns", "words")

    def __init__(
        self,
        points: npt.NDArray[np.int32],
        times_ns: npt.NDArray[np.int64],
        words: npt.NDArray[np.uint64],
        quality: npt.NDArray[np.uint8],
    ) -> None:
        self.points = read_only(np.ascontiguousarray(points, np.int32))
        self.times_ns = read_only(np.ascontiguousarray(times_ns, np.int64))
        self.words = read_only(np.ascontiguousarray(words, np.uint64))
        self.quality = read_only(np.ascontiguousarray(quality, np.uint8))


def put_newest(
    given: Stamped,
    times: PagedColumn[np.int64],
    words: PagedColumn[np.uint64],
    quality: PagedColumn[np.uint8],
) -> None:
    """Each reading that is not older than its point's; of equal times the later in the batch. Points >= 0."""
    if not len(given.points):
        return
    _put_pages(
        given.points, given.times_ns, given.words, given.quality,
        *times.owned(given.points), *words.owned(given.points), *quality.owned(given.points),
    )  # fmt: skip


@kernel
def put_flat(
    points: npt.NDArray[np.int32],
    times_ns: npt.NDArray[np.int64],
    words: npt.NDArray[np.uint64],
    quality: npt.NDArray[np.uint8],
    kinds: npt.NDArray[np.uint8],
    batch: int,
    own_times: npt.NDArray[np.int64],
    own_words: npt.NDArray[np.uint64],
    own_quality: npt.NDArray[np.uint8],
    own_kinds: npt.NDArray[np.uint8],
    own_batches: npt.NDArray[np.int64],
) -> None:
    """As `put_newest`, into arrays by number of the point that hold all of them."""
    for i in range(len(points)):
        point = points[i]
        if times_ns[i] >= own_times[point]:
            own_times[point], own_words[point] = times_ns[i], words[i]
            own_quality[point], own_kinds[point], own_batches[point] = quality[i], kinds[i], batch


@kernel
def _put_pages(
    points: npt.NDArray[np.int32],
    times_ns: npt.NDArray[np.int64],
    words: npt.NDArray[np.uint64],
    quality: npt.NDArray[np.uint8],
    time_pages: npt.NDArray[np.int64],
    time_table: npt.NDArray[np.int32],
    word_pages: npt.NDArray[np.uint64],
    word_table: npt.NDArray[np.int32],
    quality_pages: npt.NDArray[np.uint8],
    quality_table: npt.NDArray[np.int32],
) -> None:
    rows = time_pages.shape[1]
    for i in range(len(points)):
        page, row = points[i] // rows, points[i] % rows
        if times_ns[i] >= time_pages[time_table[page], row]:
            time_pages[time_table[page], row] = times_ns[i]
            word_pages[word_table[page], row] = words[i]
            quality_pages[quality_table[page], row] = quality[i]


def warm_up() -> None:
    """Compile, or load what was compiled."""
    one = Stamped(np.zeros(1, np.int32), np.zeros(1, np.int64), np.zeros(1, np.uint64), np.zeros(1, np.uint8))
    given, table = (one.points, one.times_ns, one.words, one.quality), np.zeros(1, np.int32)
    times, words, quality = np.zeros(1, np.int64), np.zeros(1, np.uint64), np.zeros(1, np.uint8)
    put_flat(*given, one.quality, 0, times, words, quality, quality.copy(), times.copy())
    pages = (np.zeros((1, 1), np.int64), table, np.zeros((1, 1), np.uint64), table)
    _put_pages(*given, *pages, np.zeros((1, 1), np.uint8), table)
