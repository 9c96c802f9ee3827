"""Signed envelopes: who says this, to whom, when, for what, on which way. A body is bound by its digest.

An envelope is a compact JWS (Ed25519, RFC 9864) over a few claims. It travels in a header beside the body, so
that all but the digest is checked before a byte of the body is read. Signed is what the last server says: the
hops before it are its word.
"""

from __future__ import annotations

import secrets
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from joserfc import jws
from joserfc.errors import JoseError

from ontology.errors import AccessError, LimitError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable

    from federation.keys import OwnKey, PublicKey

HEADER: Final = "twinmesh-envelope"
ALGORITHM: Final = "Ed25519"
TOKEN_CHARS_MAX: Final = 4_096
_HEADER_FIELDS: Final = {"alg": ALGORITHM, "typ": "twinmesh"}
_NONCE_BYTES: Final = 16
_NONCE_CHARS: Final = 22
_NUMBER_MAX: Final = 1 << 53  # JSON holds no larger whole numbers


class Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an envelope says; the names on the wire are the short ones of JWT where it has them."""

    iss: str  # fingerprint of who signs
    aud: str  # fingerprint of who is meant
    iat: int  # Unix milliseconds
    exp: int
    nonce: str
    kind: str  # of message: "hello", ...
    purpose: str
    hops: tuple[str, ...]  # fingerprints of all servers on the way, from who asked first to `iss`
    digest: str  # SHA-256 of the body, base64url
    size: int  # of the body in bytes
    answers: str | None = None  # in an answer: the nonce of the request


_CLAIMS: Final = msgspec.json.Decoder(Claims)
"""Made once: msgspec may crash where two threads meet a type for the first time."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is accepted. Times in seconds."""

    lifetime_s: float = 30.0
    skew_s_max: float = 30.0  # how far the clocks of two servers may be apart
    hops_max: int = 8
    body_bytes_max: int = 1 << 20

    @property
    def window_ms(self) -> int:
        """From when an envelope may first be accepted to when it may be for the last time."""
        return round((self.lifetime_s + 2 * self.skew_s_max) * 1_000)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An envelope and its body, ready to be sent."""

    token: str
    body: bytes
    nonce: str


@dataclass(frozen=True, slots=True)
class Opened:
    """An envelope that was accepted. skew_s: the sender's clock ahead of ours, less the way here."""

    claims: Claims
    issuer: PublicKey
    skew_s: float

    def check_body(self, body: bytes) -> bytes:
        """The body, if it is the one that was signed; AccessError ENVELOPE_BODY."""
        if len(body) != self.claims.size or not compare_digest(digest_of(body), self.claims.digest):
            raise AccessError("the body is not the one that was signed", code="ENVELOPE_BODY")
        return body


class NonceBook(Protocol):
    """What was seen already."""

    def spend(self, issuer: str, nonce: str, expires_ms: int, now_ms: int) -> None:
        """AccessError ENVELOPE_REPLAYED, LimitError NONCES_FULL."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """What to seal: for whom, what kind, for which purpose."""

    audience: str
    kind: str
    purpose: str
    body: bytes
    hops: tuple[str, ...] = ()  # servers before this one
    answers: str | None = None


def digest_of(body: bytes) -> str:
    return urlsafe_b64encode(sha256(body).digest()).rstrip(b"=").decode()


def seal(key: OwnKey, message: Message, rules: Rules, now_ms: int | None = None) -> Sealed:
    """Sign a message. AccessError FEDERATION_LOOP, LimitError FEDERATION_HOPS where it has gone too far."""
    now = now_ms if now_ms is not None else clock_ms()
    hops = (*message.hops, key.fingerprint)
    _check_hops(hops, message.audience, rules)
    nonce = secrets.token_urlsafe(_NONCE_BYTES)
    claims = Claims(
        iss=key.fingerprint,
        aud=message.audience,
        iat=now,
        exp=now + round(rules.lifetime_s * 1_000),
        nonce=nonce,
        kind=message.kind,
        purpose=message.purpose,
        hops=hops,
        digest=digest_of(message.body),
        size=len(message.body),
        answers=message.answers,
    )
    payload = msgspec.json.encode(claims)
    token = jws.serialize_compact(_HEADER_FIELDS, payload, key.private, algorithms=[ALGORITHM])
    return Sealed(token, message.body, nonce)


@dataclass(frozen=True, slots=True)
class Verifier:
    """Judges envelopes for one server.

    known: the pinned key of a fingerprint, None for a stranger. nonces: None where answers are checked, which
    name the nonce they answer. Refusals: AccessError and LimitError, each with a code of its own.
    """

    audience: str
    known: Callable[[str], PublicKey | None]
    nonces: NonceBook | None
    rules: Rules
    clock_ms: Callable[[], int] = lambda: clock_ms()

    def open(self, token: str, kind: str, *, answers: str | None = None) -> Opened:
        """Accept an envelope of this kind, or raise. Strangers are told apart before anything costs time.

        answers: the nonce of the request that it must answer. The body is checked apart, `Opened.check_body`.
        """
        now = self.clock_ms()
        claimed = read_claims(token)
        issuer = self.known(claimed.iss)
        if issuer is None:
            hint = "its operator and ours must `twinmesh peers add` each other"
            raise AccessError("nobody here knows this key", code="PEER_UNKNOWN", hint=hint)
        claims = _verified(token, issuer)
        self._check_time(claims, now)
        self._check_meaning(claims, kind, answers)
        if self.nonces is not None:
            until = claims.exp + round(self.rules.skew_s_max * 1_000)  # so long it would be accepted
            self.nonces.spend(claims.iss, claims.nonce, until, now)
        return Opened(claims, issuer, (claims.iat - now) / 1_000)

    def _check_time(self, claims: Claims, now: int) -> None:
        skew, rules = round(self.rules.skew_s_max * 1_000), self.rules
        if claims.iat - now > skew:
            ahead = f"{(claims.iat - now) / 1_000:.1f} s"
            raise AccessError(
                f"the envelope comes from {ahead} in the future", code="ENVELOPE_FUTURE", hint=_CLOCKS
            )
        if not 0 < claims.exp - claims.iat <= round(rules.lifetime_s * 1_000):
            message = f"an envelope lives at most {rules.lifetime_s:g} s"
            raise AccessError(message, code="ENVELOPE_LIFETIME")
        if claims.exp + skew <= now:
            late = f"{(now - claims.exp) / 1_000:.1f} s"
            raise AccessError(f"the envelope expired {late} ago", code="ENVELOPE_EXPIRED", hint=_CLOCKS)

    def _check_meaning(self, claims: Claims, kind: str, answers: str | None) -> None:
        if not compare_digest(claims.aud.encode(), self.audience.encode()):
            raise AccessError("the envelope is for somebody else", code="ENVELOPE_AUDIENCE")
        if claims.kind != kind:
            raise AccessError(f"this is no {kind} message", code="ENVELOPE_KIND")
        if claims.answers != answers:
            raise AccessError("this answers another request", code="ENVELOPE_ANSWER")
        if claims.size > self.rules.body_bytes_max:
            raise LimitError(
                f"the body holds more than {self.rules.body_bytes_max:,} bytes", code="BODY_TOO_LARGE"
            )
        if claims.hops[-1:] != (claims.iss,):
            raise AccessError("the last hop is not who signed", code="ENVELOPE_MALFORMED")
        _check_hops(claims.hops, self.audience, self.rules)


_CLOCKS: Final = "the clocks of both servers must agree (NTP); `twinmesh doctor` tells how far they are apart"


def read_claims(token: str) -> Claims:
    """What an envelope claims, nothing of it proved. LimitError ENVELOPE_TOO_LARGE, AccessError."""
    if len(token) > TOKEN_CHARS_MAX:
        raise LimitError(f"an envelope has at most {TOKEN_CHARS_MAX:,} signs", code="ENVELOPE_TOO_LARGE")
    try:
        extracted = jws.extract_compact(token.encode("ascii"))
        if extracted.headers() != _HEADER_FIELDS:
            raise AccessError("only Ed25519 envelopes are known", code="ENVELOPE_ALGORITHM")
        claims = _CLAIMS.decode(extracted.payload)
    except (JoseError, msgspec.MsgspecError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _malformed() from error
    numbers = (claims.iat, claims.exp, claims.size)
    if len(claims.nonce) != _NONCE_CHARS or not all(0 <= each < _NUMBER_MAX for each in numbers):
        raise _malformed()
    return claims


def clock_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def _verified(token: str, issuer: PublicKey) -> Claims:
    try:
        opened = jws.deserialize_compact(token, issuer.jwk, algorithms=[ALGORITHM])
    except (JoseError, ValueError) as error:
        raise AccessError("the signature is wrong", code="ENVELOPE_SIGNATURE") from error
    return _CLAIMS.decode(opened.payload)


def _check_hops(hops: tuple[str, ...], receiver: str, rules: Rules) -> None:
    """`hops` ends with the sender; a receiver that is in it already would ask in a circle."""
    if receiver in hops or len(set(hops)) != len(hops):
        raise AccessError(
            "the request has come here already",
            code="FEDERATION_LOOP",
            hint="peers ask in a circle",
        )
    if len(hops) > rules.hops_max:
        raise LimitError(f"a request passes at most {rules.hops_max} servers", code="FEDERATION_HOPS")


def _malformed() -> TwinmeshError:
    return AccessError("this is no envelope", code="ENVELOPE_MALFORMED")
