# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportPrivateImportUsage=false, reportArgumentType=false
"""An OPC UA server over one site: twins as objects, points as variables with value, status and source time.

It runs on a thread of its own and looks at the site every `refresh_ms`: what changed since is written to the
variables in one go, so a point that changes more often shows its last value of each round.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import numpy as np
from asyncua import ua
from asyncua.crypto.uacrypto import x509_from_der
from asyncua.server.server import Server
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from adapters.opcua.certificates import fingerprint, own_identity
from adapters.opcua.face_sessions import GuardedServer
from graph.ids import is_iri
from graph.quality import severity_of
from graph.values import Quality, ValueType
from ontology.errors import LimitError, StoreError

if TYPE_CHECKING:
    import numpy.typing as npt

    from adapters.opcua.face_config import FaceConfig
    from adapters.opcua.face_sessions import Command, Doorkeeper
    from graph.snapshot import Snapshot
    from graph.twin import Twin

SPACE = "urn:twinmesh.dev:site:"
TWINS_MAX = 100_000
START_S_MAX = 120.0
STOP_S = 20.0
VARIANTS = {
    ValueType.NUMBER: ua.VariantType.Double,
    ValueType.BOOLEAN: ua.VariantType.Boolean,
    ValueType.COUNTER: ua.VariantType.UInt64,
    ValueType.CODE: ua.VariantType.String,
    ValueType.TEXT: ua.VariantType.String,
}
STATUSES = {
    int(Quality.GOOD): ua.StatusCodes.Good,
    int(Quality.UNCERTAIN): ua.StatusCodes.Uncertain,
    int(Quality.BAD): ua.StatusCodes.Bad,
}
POLICIES = [
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The last values that the variables show."""

    time_ns: npt.NDArray[np.int64]
    quality: npt.NDArray[np.uint8]
    word: npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class FaceHealth:
    """`last_error` tells why it no longer listens; None while it does."""

    address: str
    listening: bool
    sessions: int
    twins: int
    last_error: str | None


class OpcuaFace:
    """A running face. `start` returns once it listens."""

    def __init__(
        self, config: FaceConfig, twin: Twin, keeper: Doorkeeper, command: Command | None = None
    ) -> None:
        self.port = 0
        self.fingerprint = ""
        self._config, self._twin, self._keeper = config, twin, keeper
        self._rooms = _Rooms(twin, keeper, command)
        self._thread = threading.Thread(target=self._run, name=f"opcua-face-{config.site}", daemon=True)
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._error: BaseException | None = None

    @classmethod
    def start(
        cls, twin: Twin, config: FaceConfig, keeper: Doorkeeper, command: Command | None = None
    ) -> OpcuaFace:
        """Serve from now on. Without `command` nothing can be written (BadNotWritable).

        Raises StoreError PORT_TAKEN, InputError OPCUA_CERTIFICATE, LimitError OPCUA_NODES.
        """
        face = cls(config, twin, keeper, command)
        face._thread.start()
        if not face._ready.wait(START_S_MAX) or face._error is not None:
            face.stop()
            raise face._error or StoreError("the OPC UA face did not start in time", code="OPCUA_FACE")
        return face

    def stop(self, timeout_s: float = STOP_S) -> None:
        self._stopping.set()
        self._thread.join(timeout_s)

    def health(self) -> FaceHealth:
        error = self._error
        told = f"{type(error).__name__}: {error}" if error is not None else None
        rooms = self._rooms
        return FaceHealth(self.url, self._thread.is_alive(), rooms.server.visitors, rooms.twins, told)

    @property
    def url(self) -> str:
        return f"opc.tcp://{self._config.host}:{self.port}"

    def _run(self) -> None:
        asyncio.run(self._supervise())

    async def _supervise(self) -> None:
        """The server in a task of its own: what ends it before it listens is for `start` to raise."""
        serving = asyncio.ensure_future(self._serve())
        await asyncio.wait({serving})
        self._error = serving.exception()
        self._ready.set()

    async def _serve(self) -> None:
        server = await self._made()
        try:
            await server.start()
        except OSError as error:
            told = f"cannot listen on {self._config.host}:{self._config.port}: {error.strerror}"
            raise StoreError(told, code="PORT_TAKEN") from error
        try:
            self.port = _port_of(server)
            self._ready.set()
            while not self._stopping.is_set():
                await asyncio.sleep(self._config.refresh_ms / 1e3)
                await self._rooms.refresh(server)
                await self._rooms.server.close_revoked()
        finally:
            await server.stop()

    async def _made(self) -> Server:
        config = self._config
        identity = own_identity(config.certificate, config.private_key)
        self.fingerprint = fingerprint(identity.certificate)
        server = Server(iserver=self._rooms.server)
        server.name = f"twinmesh {config.site}"
        server.manufacturer_name, server.product_uri = "twinmesh", "https://twinmesh.dev"
        await server.init()
        await server.set_application_uri(identity.application_uri)
        server.set_endpoint(f"opc.tcp://{config.host}:{config.port}")
        server.set_security_policy(POLICIES)
        self._rooms.server.certificate = x509_from_der(identity.certificate)
        self._rooms.server.private_key = load_pem_private_key(identity.private_key, None)
        self._rooms.namespace = await server.register_namespace(SPACE + config.site)
        await self._rooms.refresh(server)
        return server


def _port_of(server: Server) -> int:
    assert server.bserver is not None
    listening = cast("asyncio.Server", server.bserver._server)  # pyright: ignore[reportPrivateUsage]
    return int(listening.sockets[0].getsockname()[1])


class _Rooms:
    """The nodes of one site, and what a principal sees of them."""

    def __init__(self, twin: Twin, keeper: Doorkeeper, command: Command | None) -> None:
        self.namespace = 0
        self.command = command
        self.server = GuardedServer(keeper, self)
        self._twin, self._keeper = twin, keeper
        self._snapshot = twin.snapshot()
        self._shown: dict[str, tuple[object, ...]] = {}
        self._seen: _Seen | None = None
        self._folder: ua.NodeId | None = None

    @property
    def twins(self) -> int:
        return len(self._shown)

    def sees(self, principal: object, node: ua.NodeId) -> bool:
        if node == self._folder:
            return True
        row = self._row(node)
        return row >= 0 and bool(self._keeper.visible(principal, self._snapshot)[row])

    def point_of(self, node: ua.NodeId) -> str | None:
        row = self._row(node)
        return self._snapshot.id(row) if row in self._points else None

    def _row(self, node: ua.NodeId) -> int:
        text = node.Identifier
        if node.NamespaceIndex != self.namespace or not isinstance(text, str) or not is_iri(text):
            return -1
        return self._snapshot.row(text)

    async def refresh(self, server: Server) -> None:
        """Follow the site: twins that came, went or changed their name, then values that changed."""
        snapshot = self._twin.snapshot()
        if self._folder is None or snapshot.revision != self._snapshot.revision:
            self._snapshot = snapshot
            await self._follow(server, snapshot)
        self._snapshot = snapshot
        await self._write_values(snapshot)

    async def _follow(self, server: Server, snapshot: Snapshot) -> None:
        rows = snapshot.living_rows
        if len(rows) > TWINS_MAX:
            raise LimitError(f"the OPC UA face shows at most {TWINS_MAX} twins", code="OPCUA_NODES")
        self._points = set(snapshot.rows_of_kind(snapshot.schema.point_kind).tolist())
        wanted = {snapshot.id(row): self._facts(snapshot, row) for row in rows.tolist()}
        gone = [iri for iri, facts in self._shown.items() if wanted.get(iri) != facts]
        if gone:
            items = [ua.DeleteNodesItem(self._node(iri), True) for iri in gone]
            await server.iserver.isession.delete_nodes(ua.DeleteNodesParameters(items))
        if self._folder is None:
            self._folder = await self._add_folder(server)
        came = [iri for iri, facts in wanted.items() if self._shown.get(iri) != facts]
        await server.iserver.isession.add_nodes([self._item(snapshot, iri) for iri in came])
        self._shown, self._seen = wanted, None

    def _facts(self, snapshot: Snapshot, row: int) -> tuple[object, ...]:
        """What its node says of a twin: with other facts it is another node."""
        value_type = snapshot.value_type(row) if row in self._points else None
        return snapshot.local_id(row), snapshot.name(row), value_type

    def _node(self, iri: str) -> ua.NodeId:
        return ua.NodeId(iri, self.namespace)

    async def _add_folder(self, server: Server) -> ua.NodeId:
        folder = ua.NodeId("site", self.namespace)
        await server.nodes.objects.add_folder(folder, ua.QualifiedName(self._twin.site, self.namespace))
        return folder

    def _item(self, snapshot: Snapshot, iri: str) -> ua.AddNodesItem:
        row = snapshot.row(iri)
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = self._node(iri)
        item.BrowseName = ua.QualifiedName(snapshot.local_id(row), self.namespace)
        item.ParentNodeId = self._folder
        item.ReferenceTypeId = ua.NodeId(ua.ObjectIds.Organizes)
        shown = ua.LocalizedText(snapshot.name(row) or snapshot.local_id(row))
        if row in self._points:
            item.NodeClass = ua.NodeClass.Variable
            item.TypeDefinition = ua.NodeId(ua.ObjectIds.BaseDataVariableType)
            item.NodeAttributes = self._variable(snapshot, row, shown)
        else:
            item.NodeClass = ua.NodeClass.Object
            item.TypeDefinition = ua.NodeId(ua.ObjectIds.BaseObjectType)
            item.NodeAttributes = ua.ObjectAttributes(DisplayName=shown, Description=shown)
        return item

    def _variable(self, snapshot: Snapshot, row: int, shown: ua.LocalizedText) -> ua.VariableAttributes:
        variant = VARIANTS[snapshot.value_type(row)]
        access = ua.AccessLevel.CurrentRead.mask | (ua.AccessLevel.CurrentWrite.mask if self.command else 0)
        return ua.VariableAttributes(
            DisplayName=shown,
            Description=ua.LocalizedText(snapshot.unit_of(row) or ""),
            Value=ua.Variant(None, ua.VariantType.Null),
            DataType=ua.NodeId(variant.value),
            ValueRank=ua.ValueRank.Scalar,
            AccessLevel=access,
            UserAccessLevel=access,
        )

    async def _write_values(self, snapshot: Snapshot) -> None:
        rows = np.array(sorted(self._points), np.int32)
        time_ns, quality = snapshot.point_time_ns[rows], snapshot.point_quality[rows]
        now = _Seen(time_ns.copy(), quality.copy(), snapshot.point_word[rows].copy())
        before = self._seen
        changed = np.ones(len(rows), bool)
        if before is not None and len(before.time_ns) == len(rows):
            same = (before.time_ns == now.time_ns) & (before.quality == now.quality)
            changed = ~(same & (before.word == now.word))
        for row in rows[changed].tolist():
            value = _data_value(snapshot, row)
            await self.server.aspace.write_attribute_value(
                self._node(snapshot.id(row)), ua.AttributeIds.Value, value
            )
        self._seen = now


def _data_value(snapshot: Snapshot, row: int) -> ua.DataValue:
    value, time_ns = snapshot.point_value(row), int(snapshot.point_time_ns[row])
    if not time_ns or value is None:
        return ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadWaitingForInitialData))
    with contextlib.suppress(OverflowError, OSError, ValueError):
        stamp = datetime.fromtimestamp(time_ns / 1e9, UTC)
        status = ua.StatusCode(STATUSES[severity_of(int(snapshot.point_quality[row]))])
        variant = ua.Variant(value, VARIANTS[snapshot.value_type(row)])
        return ua.DataValue(variant, status, SourceTimestamp=stamp)
    return ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadOutOfRange))
