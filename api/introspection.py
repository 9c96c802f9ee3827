"""What the schema says of itself, kept as bytes: for a large vocabulary it takes seconds to put together.

An answer depends on the schema, the operation and its variables alone. One thread makes it, others wait.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec
from graphql import ExecutionResult

from api.operation import Answer, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from graphql import GraphQLSchema

    from api.known import KnownOperation
    from api.operation import Prepared

_ANSWERS_MAX: Final = 64
_BYTES_MAX: Final = 64 << 20
_VARIABLES_BYTES_MAX: Final = 1_000


class Introspection:
    """Answers about the schema, bounded by number and bytes. Safe from any thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, bytes], tuple[KnownOperation, bytes]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._making = threading.Lock()

    @property
    def size(self) -> tuple[int, int]:
        """(answers, bytes)."""
        with self._lock:
            return len(self._kept), self._bytes

    def answer(self, prepared: Prepared, execute: Callable[[Prepared], Answer]) -> Answer:
        """The answer to an operation that asks for the schema alone; `execute` makes it where it is new."""
        stated = msgspec.json.encode(dict(prepared.request.variables), order="sorted")
        if len(stated) > _VARIABLES_BYTES_MAX:
            return execute(prepared)
        key = (id(prepared.known), stated)
        known = self._get(key)
        if known is not None:
            return _answer(prepared, known)
        with self._making:
            known = self._get(key)
            if known is not None:
                return _answer(prepared, known)
            made = execute(prepared)
            if made.result.errors or not made.started:
                return made
            data = encode(made.result.data)
            self._put(key, prepared.known, data)
            return _answer(prepared, data)

    def keep_only(self, schema: GraphQLSchema) -> None:
        """Forget what other schemas said of themselves."""
        with self._lock:
            for key in [key for key, (known, _) in self._kept.items() if known.schema is not schema]:
                _, dropped = self._kept.pop(key)
                self._bytes -= len(dropped)

    def _get(self, key: tuple[int, bytes]) -> bytes | None:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[1]

    def _put(self, key: tuple[int, bytes], known: KnownOperation, data: bytes) -> None:
        """The operation is kept beside: so that its id cannot become another one's."""
        if len(data) > _BYTES_MAX:
            return
        with self._lock:
            self._kept[key] = (known, data)
            self._bytes += len(data)
            while len(self._kept) > _ANSWERS_MAX or self._bytes > _BYTES_MAX:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._bytes -= len(dropped)


def _answer(prepared: Prepared, data: bytes) -> Answer:
    return Answer(ExecutionResult(None, None, prepared.extensions), data_bytes=data)
