"""API tokens: made, listed, revoked, checked. The file holds hashes only; a text is shown once.

A token reads `tm_{id}_{secret}`. The secret is 256 random bits, so one plain hash of it suffices. The file is
private (0600), replaced as a whole, and read again when it changes: a revocation works at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from api.policy import Principal, Role
from ontology.errors import AccessError, LimitError, NotFoundError, StoreError, UsageError, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

_NS: Final = 1_000_000_000
DAY_S: Final = 86_400
LIFETIME_DEFAULT_S: Final = 90 * DAY_S
_PREFIX: Final = "tm"
LOOK_S: Final = 0.002
"""A token that another process revoked is refused after this long at the latest."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What is kept of a token. Times are Unix nanoseconds."""

    id: str
    name: str
    role: Role
    secret_sha256: str
    created_ns: int
    expires_ns: int
    sites: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    revoked_ns: int | None = None

    def principal(self) -> Principal:
        return Principal(self.name, self.role, self.sites, self.kinds, self.id, self.expires_ns)


@dataclass(frozen=True, slots=True)
class _TokenFile:
    version: int
    tokens: tuple[TokenRecord, ...]


_TOKEN_FILES: Final = msgspec.json.Decoder(_TokenFile)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


class Tokens:
    """The tokens of one data folder. Safe from any thread and beside other processes."""

    def __init__(
        self, path: Path, *, kept_max: int = 1_000, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._path = path
        self._kept_max = kept_max
        self._clock_ns = clock_ns
        self._stamp: tuple[int, int, int] | None = None
        self._looked_s = 0.0
        self._records: dict[str, TokenRecord] = {}

    def create(
        self,
        name: str,
        role: Role,
        *,
        lifetime_s: float = LIFETIME_DEFAULT_S,
        sites: tuple[str, ...] | None = None,
        kinds: tuple[str, ...] | None = None,
        text: str | None = None,
    ) -> str:
        """The text of a new token, never shown again. `text` brings one that was made elsewhere.

        UsageError TOKEN_NAME_TAKEN, TOKEN_LIFETIME; LimitError TOKENS_FULL.
        """
        if not 0 < lifetime_s <= 3_650 * DAY_S:
            raise UsageError("a token lives for more than 0 and at most 3650 days", code="TOKEN_LIFETIME")
        text = text or f"{_PREFIX}_{secrets.token_hex(4)}_{secrets.token_urlsafe(32)}"
        token_id, secret = _parts(text)
        now_ns = self._clock_ns()
        expires_ns = now_ns + round(lifetime_s * _NS)
        record = TokenRecord(token_id, name, role, _hash(secret), now_ns, expires_ns, sites, kinds)
        with self._changing() as records:
            _make_room(records, self._kept_max, now_ns)
            if any(other.name == name and _is_live(other, now_ns) for other in records.values()):
                raise UsageError(
                    f"a live token named {name} exists", code="TOKEN_NAME_TAKEN", hint="revoke it first"
                )
            records[token_id] = record
        return text

    def list(self) -> tuple[TokenRecord, ...]:
        return tuple(sorted(self._current().values(), key=lambda record: record.created_ns))

    def revoke(self, id_or_name: str) -> TokenRecord:
        """Revoke the live token of this id or name; NotFoundError TOKEN_UNKNOWN."""
        now_ns = self._clock_ns()
        with self._changing() as records:
            live = [record for record in records.values() if _is_live(record, now_ns)]
            found = next((record for record in live if id_or_name in (record.id, record.name)), None)
            if found is None:
                hint = suggestion(id_or_name, [record.name for record in live])
                raise NotFoundError(f"no live token {id_or_name}", code="TOKEN_UNKNOWN", hint=hint)
            records[found.id] = replace(found, revoked_ns=now_ns)
        return records[found.id]

    def principal(self, text: str) -> Principal:
        """Who holds this token; AccessError TOKEN_INVALID, TOKEN_EXPIRED or TOKEN_REVOKED."""
        token_id, secret = _parts(text)
        digest = _hash(secret)
        record = self._recent().get(token_id)
        if record is None:
            record = self._current().get(token_id)  # made this moment
        if record is None or not hmac.compare_digest(record.secret_sha256, digest):
            raise AccessError("this token is not known", code="TOKEN_INVALID")
        self._require_live(record)
        return record.principal()

    def check_still_valid(self, principal: Principal) -> None:
        """Raise as `principal` does if the token has expired or was revoked since."""
        if principal.token is None:
            return
        record = self._current().get(principal.token)
        if record is None:
            raise AccessError("this token is not known", code="TOKEN_INVALID")
        self._require_live(record)

    def any_live(self) -> bool:
        now_ns = self._clock_ns()
        return any(_is_live(record, now_ns) for record in self._current().values())

    def _require_live(self, record: TokenRecord) -> None:
        if record.revoked_ns is not None:
            raise AccessError("this token was revoked", code="TOKEN_REVOKED")
        if record.expires_ns <= self._clock_ns():
            raise AccessError("this token has expired", code="TOKEN_EXPIRED", hint="make a new one")

    def _recent(self) -> dict[str, TokenRecord]:
        """The records as they were at most a moment ago: to look costs more than all else of a request."""
        return self._records if time.monotonic() - self._looked_s < LOOK_S else self._current()

    def _current(self) -> dict[str, TokenRecord]:
        self._looked_s = time.monotonic()
        stamp = _stamp(self._path)
        if stamp != self._stamp:
            self._records, self._stamp = _read(self._path), stamp
        return self._records

    @contextmanager
    def _changing(self) -> Generator[dict[str, TokenRecord]]:
        """The records, to be changed; written when the block ends well. One process at a time."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            records = _read(self._path)
            yield records
            _write(self._path, records)
        finally:
            os.close(lock)


def _parts(text: str) -> tuple[str, str]:
    prefix, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    if prefix != _PREFIX or not token_id or len(secret) < 32:
        raise AccessError("this is not a token of twinmesh", code="TOKEN_INVALID")
    return token_id, secret


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _is_live(record: TokenRecord, now_ns: int) -> bool:
    return record.revoked_ns is None and record.expires_ns > now_ns


def _make_room(records: dict[str, TokenRecord], kept_max: int, now_ns: int) -> None:
    if len(records) < kept_max:
        return
    for token_id in [key for key, record in records.items() if not _is_live(record, now_ns)]:
        del records[token_id]
    if len(records) >= kept_max:
        raise LimitError(f"{kept_max} live tokens exist", code="TOKENS_FULL", hint="revoke some")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path) -> dict[str, TokenRecord]:
    try:
        kept = _TOKEN_FILES.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreError(f"the token file cannot be read: {path}", code="TOKENS_UNREADABLE") from error
    return {record.id: record for record in kept.tokens}


def _write(path: Path, records: dict[str, TokenRecord]) -> None:
    kept = _TokenFile(1, tuple(records.values()))
    fresh = path.with_suffix(".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(kept), indent=1))
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
