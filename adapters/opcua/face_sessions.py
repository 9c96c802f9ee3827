# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportPrivateImportUsage=false, reportArgumentType=false, reportIncompatibleMethodOverride=false
# pyright: reportUnknownParameterType=false
"""Who may enter the OPC UA face, and what a session may do there: read what its principal sees, nothing more.

asyncua serves one address space to all and trusts what a client says about itself in places. What is guarded:
- Nobody is anybody on a channel without a certificate: the key behind a certificate is proven only by the
  signature that opens an encrypted channel, so a certificate named elsewhere counts for nothing.
- A session stays on the channel that made it: asyncua numbers sessions in a row, and would hand one over to
  whoever names its number.
- Subscriptions belong to sessions; asyncua lets any session change any of them.
- Services that change the server or that are open without a session (registering servers) are not offered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, cast

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession, SessionState

from adapters.opcua.certificates import fingerprint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    import numpy as np
    import numpy.typing as npt

    from graph.snapshot import Snapshot

SESSIONS_MAX = 100
WAITING_MAX = 50  # sessions of nobody yet
SUBSCRIPTIONS_MAX = 500
CONNECTIONS_MAX = 200
WEAK_PADDING = "rsa-1_5"  # its errors let a stranger decrypt with our key
Scalar = float | int | bool | str


class Doorkeeper(Protocol):
    """Knows the principals, which are opaque here. Safe from any thread."""

    def by_password(self, name: str, password: str) -> object | None:
        """Who enters by a user name and password; None: nobody."""
        ...

    def by_certificate(self, name: str) -> object | None:
        """Who enters by a certificate with this fingerprint, whose key was proven; None: nobody."""
        ...

    def still(self, principal: object) -> bool:
        """Whether the principal may still be here."""
        ...

    def visible(self, principal: object, snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        """bool[size of the snapshot]: what the principal may see."""
        ...


class Command(Protocol):
    """Takes a write to a point as a command; gives the name of a status of OPC UA, `Good` once accepted."""

    def __call__(self, principal: object, point: str, value: Scalar) -> Awaitable[str]: ...


class Rooms(Protocol):
    """What sessions ask about the twin behind."""

    @property
    def namespace(self) -> int: ...

    @property
    def command(self) -> Command | None: ...

    def sees(self, principal: object, node: ua.NodeId) -> bool:
        """Whether a node of our namespace is there for a principal."""
        ...

    def point_of(self, node: ua.NodeId) -> str | None:
        """The IRI of the point that a node shows."""
        ...


@dataclass
class Visitor(User):
    """A user of asyncua that carries our principal."""

    principal: object = None


class Entrance:
    """The user manager of asyncua: names become principals here and nowhere else."""

    def __init__(self, keeper: Doorkeeper) -> None:
        self.keeper = keeper

    def get_user(
        self,
        iserver: InternalServer,
        username: str | None = None,
        password: str | None = None,
        certificate: bytes | None = None,
    ) -> User | None:
        """`certificate` is that of the channel, proven by its signature; None on an open one: nobody."""
        if certificate is None:
            return None
        if username is None and password is None:
            principal = self.keeper.by_certificate(fingerprint(certificate))
        else:
            principal = self.keeper.by_password(username or "", password or "")
        if principal is None:
            return None
        return Visitor(UserRole.User, username, principal)


class GuardedServer(InternalServer):
    """The services of asyncua without those that strangers could misuse."""

    def __init__(self, keeper: Doorkeeper, rooms: Rooms) -> None:
        super().__init__(user_manager=Entrance(keeper))
        self.keeper, self.rooms = keeper, rooms
        self.allow_remote_admin = False
        self.supported_tokens = (ua.AnonymousIdentityToken, ua.UserNameIdentityToken)
        self.max_connections = CONNECTIONS_MAX
        self.max_subscriptions = SUBSCRIPTIONS_MAX

    def create_session(self, name: str, user: User | None = None, external: bool = False) -> InternalSession:
        """Sessions begin before anybody says who they are: the oldest of those that wait make room for new
        ones, and take nothing from those who are in."""
        sessions = list(self._external_sessions.values())
        waiting = [one for one in sessions if not one.is_activated()]
        if len(sessions) - len(waiting) >= SESSIONS_MAX:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        for one in waiting[: len(waiting) - WAITING_MAX + 1]:
            one.state = SessionState.Closed
            self.unregister_external_session(one)
        return GuardedSession(self, self.aspace, self.subscription_service, name, external=external)

    def lookup_external_session(self, auth_token: ua.NodeId) -> None:
        """No session goes over to another channel."""

    def register_server(self, server: Any, conf: Any = None) -> NoReturn:
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    def decrypt_user_token(self, isession: Any, token: ua.UserNameIdentityToken) -> tuple[str, str]:
        if str(token.EncryptionAlgorithm or "").endswith(WEAK_PADDING):
            raise ServiceError(ua.StatusCodes.BadIdentityTokenInvalid)
        return super().decrypt_user_token(isession, token)

    @property
    def visitors(self) -> int:
        """How many are in."""
        return sum(one.is_activated() for one in list(self._external_sessions.values()))

    async def close_revoked(self) -> None:
        """End the sessions whose principals may not be here any more."""
        for session in list(self._external_sessions.values()):
            user = session.user
            if isinstance(user, Visitor) and not self.keeper.still(user.principal):
                await session.close_session(True)


class GuardedSession(InternalSession):
    """One visitor's session. What it may not see does not exist; what it may not do is not offered."""

    @property
    def _server(self) -> GuardedServer:
        return cast("GuardedServer", self.iserver)

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        results = await super().read(params)
        for place, wanted in enumerate(params.NodesToRead):
            if not self._sees(wanted.NodeId):
                results[place] = ua.DataValue(StatusCode=_bad(ua.StatusCodes.BadNodeIdUnknown))
        return results

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        return [await self._write(wish) for wish in params.NodesToWrite]

    async def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        results = await super().browse(params)
        for wanted, result in zip(params.NodesToBrowse, results, strict=True):
            if not self._sees(wanted.NodeId):
                result.StatusCode, result.References = _bad(ua.StatusCodes.BadNodeIdUnknown), []
            else:
                result.References = [one for one in result.References or [] if self._sees(one.NodeId)]
        return results

    async def browse_next(self, parameters: ua.BrowseNextParameters) -> NoReturn:
        _refuse()

    async def translate_browsepaths_to_nodeids(
        self, params: list[ua.BrowsePath]
    ) -> list[ua.BrowsePathResult]:
        """Within standard nodes, and single steps in ours: a longer path could feel for what is hidden."""
        results = await super().translate_browsepaths_to_nodeids(params)
        for path, result in zip(params, results, strict=True):
            targets = [one.TargetId for one in result.Targets or []]
            inside = any(one.NamespaceIndex == self._server.rooms.namespace for one in targets)
            short = len(path.RelativePath.Elements) == 1
            if not (
                self._sees(path.StartingNode) and all(map(self._sees, targets)) and (short or not inside)
            ):
                result.StatusCode, result.Targets = _bad(ua.StatusCodes.BadNoMatch), []
        return results

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        self._own(params.SubscriptionId)
        asked = list(params.ItemsToCreate)
        granted = [self._may_watch(item.ItemToMonitor) for item in asked]
        params.ItemsToCreate = [item for item, may in zip(asked, granted, strict=True) if may]
        made = iter(await super().create_monitored_items(params))
        refused = ua.MonitoredItemCreateResult(StatusCode=_bad(ua.StatusCodes.BadNodeIdUnknown))
        return [next(made) if may else refused for may in granted]

    async def modify_monitored_items(
        self, params: ua.ModifyMonitoredItemsParameters
    ) -> list[ua.MonitoredItemModifyResult]:
        self._own(params.SubscriptionId)
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(self, params: ua.DeleteMonitoredItemsParameters) -> list[ua.StatusCode]:
        self._own(params.SubscriptionId)
        return await super().delete_monitored_items(params)

    async def set_monitoring_mode(self, params: ua.SetMonitoringModeParameters) -> list[ua.StatusCode]:
        self._own(params.SubscriptionId)
        return await super().set_monitoring_mode(params)

    async def set_publishing_mode(self, params: ua.SetPublishingModeParameters) -> list[ua.StatusCode]:
        for one in params.SubscriptionIds:
            self._own(one)
        return await super().set_publishing_mode(params)

    def modify_subscription(self, params: ua.ModifySubscriptionParameters) -> ua.ModifySubscriptionResult:
        self._own(params.SubscriptionId)
        return super().modify_subscription(params)

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        for one in ids:
            self._own(one)
        return await super().delete_subscriptions(ids)

    def publish(
        self, acks: Iterable[ua.SubscriptionAcknowledgement] | None = None
    ) -> tuple[int, list[ua.StatusCode]]:
        own = [ack for ack in acks or [] if self._owns(ack.SubscriptionId)]
        return super().publish(own)

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        self._own(params.SubscriptionId)
        return super().republish(params)

    async def transfer_subscriptions(
        self, params: ua.TransferSubscriptionsParameters, callback: Callable[..., Any]
    ) -> NoReturn:
        _refuse()

    async def add_nodes(self, params: list[ua.AddNodesItem]) -> NoReturn:
        _refuse()

    async def delete_nodes(self, params: ua.DeleteNodesParameters) -> NoReturn:
        _refuse()

    async def add_references(self, params: list[ua.AddReferencesItem]) -> NoReturn:
        _refuse()

    async def delete_references(self, params: list[ua.DeleteReferencesItem]) -> NoReturn:
        _refuse()

    async def call(self, params: list[ua.CallMethodRequest]) -> NoReturn:
        _refuse()

    async def history_read(self, params: ua.HistoryReadParameters) -> NoReturn:
        _refuse()

    async def history_update(self, params: ua.HistoryUpdateParameters) -> NoReturn:
        _refuse()

    async def _write(self, wish: ua.WriteValue) -> ua.StatusCode:
        rooms = self._server.rooms
        if not self._sees(wish.NodeId):
            return _bad(ua.StatusCodes.BadNodeIdUnknown)
        point = rooms.point_of(wish.NodeId)
        if rooms.command is None or point is None or wish.AttributeId != ua.AttributeIds.Value:
            return _bad(ua.StatusCodes.BadNotWritable)
        value = None if wish.Value is None or wish.Value.Value is None else wish.Value.Value.Value
        if not isinstance(value, bool | int | float | str) or wish.IndexRange:
            return _bad(ua.StatusCodes.BadTypeMismatch)
        return ua.StatusCode(await rooms.command(self._principal(), point, value))

    def _may_watch(self, wanted: ua.ReadValueId) -> bool:
        return wanted.AttributeId == ua.AttributeIds.Value and self._sees(wanted.NodeId)

    def _sees(self, node: ua.NodeId) -> bool:
        """Every service comes by here: who was sent away while at it sees nothing more."""
        if node.NamespaceIndex != self._server.rooms.namespace:
            return self._principal() is not None
        return self._server.rooms.sees(self._principal(), node)

    def _principal(self) -> object:
        user = self.user
        if not isinstance(user, Visitor) or not self._server.keeper.still(user.principal):
            raise ServiceError(ua.StatusCodes.BadUserAccessDenied)
        return user.principal

    def _owns(self, subscription: int) -> bool:
        found = self.subscription_service.subscriptions.get(subscription)
        return found is not None and found.session_id == self.session_id

    def _own(self, subscription: int) -> None:
        if not self._owns(subscription):
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)


def _bad(code: int) -> ua.StatusCode:
    return ua.StatusCode(code)


def _refuse() -> NoReturn:
    raise ServiceError(ua.StatusCodes.BadServiceUnsupported)
