"""A peer over HTTP: asks for its identity, greets it, sends sealed messages and checks sealed answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from federation.egress import Egress, Place, Request, send_out
from federation.peers import IDENTITIES, Identity, Peer, check_pinned
from federation.trust import HEADER, Message, Opened, Rules, Verifier, clock_ms, seal
from ontology.errors import AccessError, StoreError

if TYPE_CHECKING:
    from federation.egress import Line, Reply
    from federation.keys import OwnKey

IDENTITY_PATH: Final = "/federation/identity"
HELLO: Final = "hello"
HELLO_PURPOSE: Final = "greeting"
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{2,63}")


@dataclass(frozen=True, slots=True)
class Answered:
    """What a peer answered. skew_s: how far its clock is ahead of ours; half the way there is taken off."""

    body: bytes
    skew_s: float
    round_s: float


@dataclass(frozen=True, slots=True)
class Greeted:
    """What an identity or a greeting told. skew_s, round_s: as in `Answered`."""

    identity: Identity
    skew_s: float
    round_s: float


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""


_PROBLEMS: Final = msgspec.json.Decoder(_Problem)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


async def fetch_identity(egress: Egress, place: Place) -> Greeted:
    """Who a server says it is.

    The errors of `send_out`; AccessError PEER_KEY_INVALID, PEER_REFUSED; StoreError PEER_GARBAGE.
    """
    sent_ms = clock_ms()
    reply = await send_out(egress, Request(place, "GET", IDENTITY_PATH, {"accept": "application/json"}))
    done_ms = clock_ms()
    _check_status(place.url, reply)
    identity = _identity(place.url, reply.body)
    identity.public_key()
    skew_s = (identity.time_ms - (sent_ms + done_ms) / 2) / 1_000
    return Greeted(identity, skew_s, (done_ms - sent_ms) / 1_000)


@dataclass(frozen=True, slots=True)
class HttpPeer:
    """A peer that was added. Methods raise what `send_out` raises, and refuse answers not signed by it."""

    peer: Peer
    key: OwnKey
    egress: Egress
    rules: Rules
    line: Line | None = None  # kept connections; default one for each call

    async def call(self, kind: str, purpose: str, body: bytes, hops: tuple[str, ...] = ()) -> Answered:
        """Send a message and return the answer, proved to be the peer's answer to it.

        AccessError PEER_REFUSED where the peer refuses (its code stands in the message), or a code of
        `Verifier.open`. hops: the servers that the request has passed before this one.
        """
        message = Message(self.peer.fingerprint, kind, purpose, body, hops)
        sealed = seal(self.key, message, self.rules)
        headers = {HEADER: sealed.token, "content-type": "application/octet-stream"}
        sent_ms = clock_ms()
        request = Request(self.peer.place, "POST", f"/federation/{kind}", headers, body)
        reply = await send_out(self.egress, request, self.line)
        done_ms = clock_ms()
        _check_status(self.peer.name, reply)
        opened = self._opened(reply, kind, sealed.nonce)
        opened.check_body(reply.body)
        skew_s = (opened.claims.iat - (sent_ms + done_ms) / 2) / 1_000
        return Answered(reply.body, skew_s, (done_ms - sent_ms) / 1_000)

    async def identity(self) -> Greeted:
        """Its identity, held against the pinned key: AccessError PEER_KEY_CHANGED."""
        greeted = await fetch_identity(self.egress, self.peer.place)
        check_pinned(self.peer, greeted.identity.public_key())
        return greeted

    async def hello(self, own: Identity) -> Greeted:
        """Greet it: both sides prove their key. AccessError PEER_REFUSED where it has not added us."""
        answered = await self.call(HELLO, HELLO_PURPOSE, msgspec.json.encode(own))
        identity = _identity(self.peer.name, answered.body)
        check_pinned(self.peer, identity.public_key())
        return Greeted(identity, answered.skew_s, answered.round_s)

    def _opened(self, reply: Reply, kind: str, nonce: str) -> Opened:
        token = reply.headers.get(HEADER)
        if token is None:
            raise AccessError(f"{self.peer.name} answers without an envelope", code="ENVELOPE_MISSING")
        pinned = {self.peer.fingerprint: self.peer.key}
        # The nonce of the request is fresh: an answer to it cannot be an old one.
        verifier = Verifier(self.key.fingerprint, pinned.get, None, self.rules)
        return verifier.open(token, kind, answers=nonce)


def _check_status(who: str, reply: Reply) -> None:
    if reply.status == 200:
        return
    try:
        stated = _PROBLEMS.decode(reply.body).code
    except (msgspec.MsgspecError, ValueError):
        stated = ""
    # A stranger's words are not repeated, but for a code.
    code = stated if _CODE.fullmatch(stated) else f"status {reply.status}"
    hint = "its operator has to add us: `twinmesh peers add`" if code == "PEER_UNKNOWN" else None
    raise AccessError(f"{who} refuses: {code}", code="PEER_REFUSED", hint=hint)


def _identity(who: str, body: bytes) -> Identity:
    try:
        return IDENTITIES.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise StoreError(f"{who} does not say who it is", code="PEER_GARBAGE") from error
