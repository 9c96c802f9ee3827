"""Keys, envelopes and verifiers of tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from federation.keys import OwnKey, own_key
from federation.trust import Message, NonceBook, Rules, Sealed, Verifier, seal
from ontology.errors import AccessError

NOW_MS = 1_800_000_000_000
RULES = Rules()


def make_key(folder: Path) -> OwnKey:
    folder.mkdir(parents=True, exist_ok=True)
    return own_key(folder)


class PlainNonces:
    """The rule of nonces in its plainest form."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, str]] = set()

    def spend(self, issuer: str, nonce: str, expires_ms: int, now_ms: int) -> None:
        if (issuer, nonce) in self.seen:
            raise AccessError("seen", code="ENVELOPE_REPLAYED")
        self.seen.add((issuer, nonce))


def verifier(
    audience: OwnKey, *known: OwnKey, nonces: NonceBook | None = None, rules: Rules = RULES,
    clock_ms: Callable[[], int] = lambda: NOW_MS,
) -> Verifier:  # fmt: skip
    keys = {key.fingerprint: key.public for key in known}
    return Verifier(audience.fingerprint, keys.get, nonces, rules, clock_ms)


def letter(sender: OwnKey, receiver: OwnKey, body: bytes = b"{}", **given: object) -> Sealed:
    fields: dict[str, object] = {"kind": "hello", "purpose": "greeting", **given}
    now_ms = int(fields.pop("now_ms", NOW_MS))  # pyright: ignore
    rules = fields.pop("rules", RULES)
    return seal(sender, Message(receiver.fingerprint, body=body, **fields), rules, now_ms)  # pyright: ignore
