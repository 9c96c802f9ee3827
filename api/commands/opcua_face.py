"""The OPC UA face of a served folder: API tokens as passwords, certificates that stand for tokens."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from adapters.commands import CommandStatus, Wish
from adapters.opcua.face_config import parse_face
from adapters.tables import read_toml
from api.auth import Tokens
from api.policy import Action, Principal
from api.schema.context import visible_rows
from graph.view import Budget, View
from ontology.errors import AccessError, InputError, Place, TwinmeshError, UsageError, suggestion
from ontology.units import load_units

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from adapters.opcua.face import OpcuaFace
    from api.commanding import Commands
    from graph.mesh import Mesh
    from graph.snapshot import Snapshot
    from graph.twin import Twin

MASKS_MAX = 100
WRITE_EXPIRES_S = 30.0


@contextlib.contextmanager
def opcua_face(mesh: Mesh, config: Path, commands: Commands | None = None) -> Generator[OpcuaFace | None]:
    """The face that `[opcua_server]` asks for, if it does. InputError, StoreError PORT_TAKEN."""
    settings = parse_face(read_toml(config), config) if config.is_file() else None
    if settings is None:
        yield None
        return
    if settings.site not in mesh.sites:
        hint = suggestion(settings.site, mesh.sites)
        raise InputError(
            f"no site {settings.site!r}", code="SITE_UNKNOWN", place=Place(config.name), hint=hint
        )
    # asyncua takes a second to import: only who uses it waits.
    from adapters.opcua.face import OpcuaFace  # noqa: PLC0415

    keeper = TokenKeeper(Tokens(mesh.folder / "tokens.json"), dict(settings.certificates))
    twin = mesh.twin(settings.site)
    bound = commands is not None and settings.site in commands.sites
    desk = WrittenCommands(commands, twin, keeper) if bound and commands is not None else None
    face = OpcuaFace.start(twin, settings, keeper, desk)
    try:
        yield face
    finally:
        face.stop()


class WrittenCommands:
    """A write to the face as a command of its principal: the `Command` of the face."""

    def __init__(self, commands: Commands, twin: Twin, keeper: TokenKeeper) -> None:
        self._commands, self._twin, self._keeper = commands, twin, keeper
        self._units = load_units()

    async def __call__(self, principal: object, point: str, value: float | bool | str) -> str:
        """`GoodCompletesAsynchronously` once the command is taken in; its outcome shows in the point."""
        if not isinstance(principal, Principal):
            return "BadUserAccessDenied"
        wish = Wish(point, value, WRITE_EXPIRES_S, uuid4().hex, principal.name)
        return await asyncio.to_thread(self._send, principal, wish)

    def _send(self, principal: Principal, wish: Wish) -> str:
        snapshot = self._twin.snapshot()
        visible = self._keeper.visible(principal, snapshot)
        view = View(snapshot, self._units, Budget(nodes_max=1_000, wall_s=10.0), visible)
        try:
            record = self._commands.send(principal, view, wish)
        except AccessError:
            return "BadUserAccessDenied"
        except UsageError:
            return "BadNotWritable"
        except InputError:
            return "BadTypeMismatch"
        except TwinmeshError:
            return "BadInvalidState"
        refused = record.state in (CommandStatus.REFUSED, CommandStatus.FAILED)
        return "BadOutOfRange" if refused else "GoodCompletesAsynchronously"


class TokenKeeper:
    """The `Doorkeeper` over the API tokens of a folder. certificates: fingerprint -> name of a token."""

    def __init__(self, tokens: Tokens, certificates: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._certificates = dict(certificates)
        self._lock = threading.Lock()
        self._masks: dict[tuple[Principal, int], npt.NDArray[np.bool_]] = {}

    def by_password(self, name: str, password: str) -> Principal | None:
        """Whose token the password is; the user name is the token's, or that of nobody."""
        try:
            principal = self._tokens.principal(password)
        except AccessError:
            return None
        return principal if name == principal.name and principal.may(Action.READ) else None

    def by_certificate(self, name: str) -> Principal | None:
        token = self._certificates.get(name)
        named = [one.principal() for one in self._tokens.list() if token is not None and one.name == token]
        return next((one for one in named if self.still(one) and one.may(Action.READ)), None)

    def still(self, principal: object) -> bool:
        if not isinstance(principal, Principal):
            return False
        try:
            self._tokens.check_still_valid(principal)
        except AccessError:
            return False
        return True

    def visible(self, principal: object, snapshot: Snapshot) -> npt.NDArray[np.bool_]:
        if not isinstance(principal, Principal):
            return np.zeros(snapshot.size, np.bool_)
        key = (principal, snapshot.revision)
        with self._lock:
            found = self._masks.get(key)
            if found is None:
                while len(self._masks) >= MASKS_MAX:
                    del self._masks[next(iter(self._masks))]
                rows = visible_rows(snapshot, principal)
                found = self._masks[key] = snapshot.alive.copy() if rows is None else rows
            return found
