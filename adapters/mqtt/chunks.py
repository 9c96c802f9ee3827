"""Messages as they lie in what a socket gave: no object for each of them, unless somebody asks for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, overload

import numpy as np

from adapters.mqtt.decode import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

FIELDS: Final = 7
# Columns of `Chunk.found`. TOPIC_END, TOPIC, BODY and END are places in its bytes.
TOPIC_END, TOPIC, BODY, END, QOS, RETAINED, MID = range(FIELDS)


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Messages that came together. found int64[n, FIELDS]: where each lies in `data`, and what its head said.

    session: see `Message`."""

    data: bytes
    found: npt.NDArray[np.int64]
    arrival_ns: int
    session: int = 0

    def __len__(self) -> int:
        return len(self.found)

    def message(self, at: int) -> Message:
        """One of them, as an object."""
        topic_end, topic, body, end, qos, retained, mid = self.found[at].tolist()
        text = str(self.data[topic:topic_end], "utf-8", "replace")
        payload = self.data[body:end]
        return Message(text, payload, self.arrival_ns, bool(retained), qos, mid, self.session)

    def topic(self, at: int) -> bytes:
        """The bytes of its topic."""
        return self.data[self.found[at, TOPIC] : self.found[at, TOPIC_END]]

    def messages(self) -> list[Message]:
        return [self.message(at) for at in range(len(self))]

    def taken(self, rows: slice | npt.NDArray[np.intp]) -> Chunk:
        """Some of them."""
        return Chunk(self.data, self.found[rows], self.arrival_ns, self.session)

    @property
    def weights_bytes(self) -> npt.NDArray[np.int64]:
        """int64[n]: the sizes of their payloads."""
        return self.found[:, END] - self.found[:, BODY]


class Batch(Sequence[Message]):
    """Messages in their order, some of them in chunks. As a sequence it makes an object of each."""

    def __init__(self, items: Iterable[Message | Chunk]) -> None:
        self.items = tuple(items)
        self._size = sum(len(item) if isinstance(item, Chunk) else 1 for item in self.items)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        return self._messages[index]

    @property
    def has_chunks(self) -> bool:
        return any(isinstance(item, Chunk) for item in self.items)

    @cached_property
    def _messages(self) -> list[Message]:
        return [
            message
            for item in self.items
            for message in (item.messages() if isinstance(item, Chunk) else (item,))
        ]

    def chosen(self, places: npt.NDArray[np.intp]) -> list[Message]:
        """Some of them, by their numbers in order, as objects."""
        starts = np.cumsum([0, *(len(item) if isinstance(item, Chunk) else 1 for item in self.items)])
        which = np.searchsorted(starts, places, side="right") - 1
        found: list[Message] = []
        for number, at in zip(which.tolist(), (places - starts[which]).tolist(), strict=True):
            item = self.items[int(number)]
            found.append(item.message(at) if isinstance(item, Chunk) else item)
        return found

    @property
    def first_ns(self) -> int:
        """When the first of them arrived."""
        return self.items[0].arrival_ns

    @property
    def last_ns(self) -> int:
        return self.items[-1].arrival_ns

    def promised(self, session: int) -> list[tuple[int, int]]:
        """(mid, QoS) of what wants an acknowledgement over this connection, in order."""
        found: list[tuple[int, int]] = []
        for item in self.items:
            if item.session != session:
                continue
            if isinstance(item, Chunk):
                rows = item.found[item.found[:, QOS] > 0]
                found += zip(rows[:, MID].tolist(), rows[:, QOS].tolist(), strict=True)
            elif item.qos:
                found.append((item.mid, item.qos))
        return found


def split(item: Message | Chunk, rows: int) -> tuple[Message | Chunk, Message | Chunk]:
    """The first messages of a chunk, and the others."""
    if not isinstance(item, Chunk):
        raise TypeError("one message cannot be split")
    return item.taken(slice(0, rows)), item.taken(slice(rows, None))
