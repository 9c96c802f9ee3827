# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportArgumentType=false, reportPrivateImportUsage=false
"""Writing a node of an OPC UA server, and reading it back. The life of a command is not decided here.

Each call is a session of its own: nothing is kept that could be sent again after a break.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from asyncua import ua

from adapters.opcua.connecting import LINE_ERRORS, connected, node_id, time_ns_of
from ontology.errors import NotFoundError

if TYPE_CHECKING:
    from asyncua.client.client import Client

    from adapters.opcua.config import Line

GOOD = "Good"
NOT_SENT = "BadNotConnected"  # nothing left us: it may be tried again
UNKNOWN = "BadCommunicationError"  # the line broke under way: it may have been done, read back before more
UNSURE = frozenset({UNKNOWN, "BadTimeout", "BadConnectionClosed", "BadRequestInterrupted", "BadShutdown"})
WRONG_TYPE = "BadTypeMismatch"
OUT_OF_RANGE = "BadOutOfRange"
NO_NODE = "BadNodeIdUnknown"
INTEGERS = {
    ua.VariantType.SByte: (-(1 << 7), (1 << 7) - 1),
    ua.VariantType.Byte: (0, (1 << 8) - 1),
    ua.VariantType.Int16: (-(1 << 15), (1 << 15) - 1),
    ua.VariantType.UInt16: (0, (1 << 16) - 1),
    ua.VariantType.Int32: (-(1 << 31), (1 << 31) - 1),
    ua.VariantType.UInt32: (0, (1 << 32) - 1),
    ua.VariantType.Int64: (-(1 << 63), (1 << 63) - 1),
    ua.VariantType.UInt64: (0, (1 << 64) - 1),
}
FLOATS = {ua.VariantType.Float: 3.4028234663852886e38, ua.VariantType.Double: math.inf}

Scalar = float | int | bool | str


@dataclass(frozen=True, slots=True)
class ReadBack:
    """What a node says: `value` is None where it is no scalar or its status is not good; `time_ns` is the
    source's, None where it gives none."""

    value: Scalar | None
    status: str
    time_ns: int | None


class NodeSink(Protocol):
    """What a command is sent through. An address is a node id as in bindings."""

    async def write(self, address: str, value: Scalar) -> str:
        """The name of the status: `Good`, `BadNotConnected` if it was surely not sent,
        `BadCommunicationError` if nobody knows, else what the server says or why the value does not fit."""
        ...

    async def read(self, address: str) -> ReadBack:
        """The value that the node has now; a status that is not good where it cannot be read."""
        ...


class OpcuaSink:
    """A `NodeSink` to one server. Raises InputError where the line is set up wrongly, see `connected`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def write(self, address: str, value: Scalar) -> str:
        sent = False
        try:
            async with connected(self._line) as client:
                node = await _node(client, address)
                found = (await client.uaclient.session.read_attributes([node], ua.AttributeIds.Value))[0]
                fitted = _fitted(found, value)
                if isinstance(fitted, str):
                    return fitted
                sent = True
                # Value alone: many servers refuse to take a status or time with it.
                wish = ua.DataValue(fitted, StatusCode=None)
                results = await client.uaclient.session.write_attributes([node], [wish])
                return str(results[0].name)
        except NotFoundError:
            return NO_NODE
        except LINE_ERRORS as error:
            return _status_of(error) or (UNKNOWN if sent else NOT_SENT)

    async def read(self, address: str) -> ReadBack:
        try:
            async with connected(self._line) as client:
                node = await _node(client, address)
                return _read_back(
                    (await client.uaclient.session.read_attributes([node], ua.AttributeIds.Value))[0]
                )
        except NotFoundError:
            return ReadBack(None, NO_NODE, None)
        except LINE_ERRORS as error:
            return ReadBack(None, _status_of(error) or NOT_SENT, None)


async def _node(client: Client, address: str) -> ua.NodeId:
    return node_id(address, await client.get_namespace_array())


def _status_of(error: BaseException) -> str | None:
    """The status that the server answered with, if it did: then it did not do what was asked."""
    if not isinstance(error, ua.UaStatusCodeError):
        return None
    name = str(ua.StatusCode(error.code).name)
    return None if name in UNSURE else name


def _fitted(found: ua.DataValue, value: Scalar) -> ua.Variant | str:
    """The value in the type that the node holds now, exactly, or the status that says why not."""
    if found.Value is None or found.Value.VariantType is ua.VariantType.Null:
        status = found.StatusCode
        return str(status.name) if status is not None and not status.is_good() else WRONG_TYPE
    if found.Value.is_array:
        return WRONG_TYPE
    wanted = found.Value.VariantType
    if wanted is ua.VariantType.Boolean:
        return ua.Variant(value, wanted) if isinstance(value, bool) else WRONG_TYPE
    if wanted is ua.VariantType.String:
        return ua.Variant(value, wanted) if isinstance(value, str) else WRONG_TYPE
    if isinstance(value, bool | str):
        return WRONG_TYPE
    if wanted in FLOATS:
        fits = math.isfinite(value) and abs(value) <= FLOATS[wanted]
        return ua.Variant(float(value), wanted) if fits else OUT_OF_RANGE
    if wanted not in INTEGERS or (isinstance(value, float) and not value.is_integer()):
        return WRONG_TYPE
    low, high = INTEGERS[wanted]
    return ua.Variant(int(value), wanted) if low <= value <= high else OUT_OF_RANGE


def _read_back(found: ua.DataValue) -> ReadBack:
    status = GOOD if found.StatusCode is None else str(found.StatusCode.name)
    value = None if found.Value is None else found.Value.Value
    stamp = found.SourceTimestamp
    time_ns = None if stamp is None else time_ns_of(stamp)
    good = found.StatusCode is None or found.StatusCode.is_good()
    return ReadBack(value if good and isinstance(value, bool | int | float | str) else None, status, time_ns)
