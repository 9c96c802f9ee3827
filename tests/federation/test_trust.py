"""Envelopes: what is accepted, and that everything else is refused with a code of its own."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws

from federation.keys import KEY_FILE, OwnKey
from federation.nonces import Nonces
from federation.store import FederationStore
from federation.trust import ALGORITHM, TOKEN_CHARS_MAX, Opened, Rules, Sealed, digest_of, read_claims
from ontology.errors import TwinmeshError
from tests.federation.trust_helpers import NOW_MS, RULES, PlainNonces, letter, make_key, verifier
from tests.simulation.cascade_worlds import fresh_seed

HEADER_FIELDS = {"alg": "Ed25519", "typ": "twinmesh"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[OwnKey, OwnKey, OwnKey]:
    folder = tmp_path_factory.mktemp("keys")
    return make_key(folder / "a"), make_key(folder / "b"), make_key(folder / "c")


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(TwinmeshError) as caught:
        action()
    return caught.value.code


def forged(key: OwnKey, claims: dict[str, object], header: dict[str, str] | None = None) -> str:
    """A token with any claims at all, rightly signed."""
    payload = json.dumps(claims).encode()
    return jws.serialize_compact(header or HEADER_FIELDS, payload, key.private, algorithms=[ALGORITHM])


def claims_of(sealed: Sealed) -> dict[str, object]:
    claims = read_claims(sealed.token)
    names = ("iss", "aud", "iat", "exp", "nonce", "kind", "purpose", "hops", "digest", "size")
    return {name: getattr(claims, name) for name in names}


def test_what_is_sealed_is_opened(keys: tuple[OwnKey, ...]) -> None:
    a, b, _ = keys
    sealed = letter(a, b, b"the body", purpose="query", kind="ask")
    opened = verifier(b, a, nonces=PlainNonces(), clock_ms=lambda: NOW_MS + 1_500).open(sealed.token, "ask")
    assert opened.check_body(b"the body") == b"the body"
    assert opened.claims.purpose == "query"
    assert opened.claims.hops == (a.fingerprint,)
    assert opened.issuer == a.public
    assert opened.skew_s == -1.5


def test_others_verify_what_we_sign(keys: tuple[OwnKey, ...], tmp_path: Path) -> None:
    """The signature by `cryptography` alone, the thumbprint of RFC 7638 by hand."""
    key = make_key(tmp_path / "own")
    other = keys[1]
    token = letter(key, other).token
    head, payload, signature = token.split(".")
    private = load_pem_private_key((tmp_path / "own" / KEY_FILE).read_bytes(), None)
    made = private.sign(f"{head}.{payload}".encode())  # pyright: ignore
    assert urlsafe_b64encode(made).rstrip(b"=").decode() == signature
    members = json.dumps(
        {"crv": "Ed25519", "kty": "OKP", "x": key.public.x}, separators=(",", ":"), sort_keys=True
    )
    assert key.fingerprint == digest_of(members.encode())


def test_every_flipped_byte_of_an_envelope_is_refused(keys: tuple[OwnKey, ...]) -> None:
    a, b, _ = keys
    sealed = letter(a, b, b"body")
    seed = fresh_seed("flipped bytes")
    random = Random(seed)
    refused: set[str] = set()
    tried = 0
    for place in range(len(sealed.token)):
        for bit in range(8):
            changed = chr(ord(sealed.token[place]) ^ (1 << bit))
            token = sealed.token[:place] + changed + sealed.token[place + 1 :]
            refused.add(code_of(lambda token=token: verifier(b, a).open(token, "hello")))
            tried += 1
        other = chr(random.randrange(256))
        if other != sealed.token[place]:
            token = sealed.token[:place] + other + sealed.token[place + 1 :]
            refused.add(code_of(lambda token=token: verifier(b, a).open(token, "hello")))
    assert tried > 3_000
    assert refused <= {"ENVELOPE_MALFORMED", "ENVELOPE_SIGNATURE", "ENVELOPE_ALGORITHM", "PEER_UNKNOWN"}
    assert "ENVELOPE_SIGNATURE" in refused


@given(body=st.binary(min_size=1, max_size=300), place=st.integers(0, 299), change=st.integers(1, 255))
def test_every_changed_body_is_refused(
    keys: tuple[OwnKey, ...], body: bytes, place: int, change: int
) -> None:
    a, b, _ = keys
    opened = verifier(b, a).open(letter(a, b, body).token, "hello")
    assert opened.check_body(body) == body
    at = place % len(body)
    flipped = body[:at] + bytes([body[at] ^ change]) + body[at + 1 :]
    for wrong in (flipped, body + b"\0", body[:-1], b""):
        assert code_of(lambda wrong=wrong: opened.check_body(wrong)) == "ENVELOPE_BODY"


def refusals(a: OwnKey, b: OwnKey, c: OwnKey) -> list[tuple[str, str, str]]:
    """An attacker's list: what was done, the token, the code."""
    good = claims_of(letter(a, b))

    def told(**changed: object) -> str:
        return forged(a, {**good, **changed})

    three = [c.fingerprint, "x" * 43, a.fingerprint]
    unsigned = urlsafe_b64encode(b'{"alg":"none","typ":"twinmesh"}').rstrip(b"=").decode()
    payload = letter(a, b).token.split(".")[1]
    return [
        ("for somebody else", letter(a, c).token, "ENVELOPE_AUDIENCE"),
        ("by a stranger", letter(c, b).token, "PEER_UNKNOWN"),
        ("signed by another than stated", forged(c, good), "ENVELOPE_SIGNATURE"),
        ("another kind", letter(a, b, kind="plan").token, "ENVELOPE_KIND"),
        ("an answer where a request belongs", letter(a, b, answers="n" * 22).token, "ENVELOPE_ANSWER"),
        ("expired", letter(a, b, now_ms=NOW_MS - 60_001).token, "ENVELOPE_EXPIRED"),
        ("from the future", letter(a, b, now_ms=NOW_MS + 30_001).token, "ENVELOPE_FUTURE"),
        ("lives for a year", told(exp=NOW_MS + 31_536_000_000), "ENVELOPE_LIFETIME"),
        ("ends before it begins", told(exp=NOW_MS - 1), "ENVELOPE_LIFETIME"),
        ("we are on the way already", told(hops=[b.fingerprint, a.fingerprint]), "FEDERATION_LOOP"),
        ("goes in a circle without us", told(hops=[a.fingerprint, *three]), "FEDERATION_LOOP"),
        ("too many hops", told(hops=[*("h" * 40 + f"{n:03}" for n in range(8)), a.fingerprint]),
         "FEDERATION_HOPS"),
        ("last hop is another", told(hops=[a.fingerprint, c.fingerprint]), "ENVELOPE_MALFORMED"),
        ("no hop at all", told(hops=[]), "ENVELOPE_MALFORMED"),
        ("a body beyond the limit", told(size=(1 << 20) + 1), "BODY_TOO_LARGE"),
        ("a negative size", told(size=-1), "ENVELOPE_MALFORMED"),
        ("a short nonce", told(nonce="n"), "ENVELOPE_MALFORMED"),
        ("a claim too many", told(admin=True), "ENVELOPE_MALFORMED"),
        ("a claim too few", forged(a, {k: v for k, v in good.items() if k != "aud"}), "ENVELOPE_MALFORMED"),
        ("a text for a number", told(exp="soon"), "ENVELOPE_MALFORMED"),
        ("a time that is no number", told(exp=float("nan")), "ENVELOPE_MALFORMED"),
        ("an integer without end", told(iat=10**400), "ENVELOPE_MALFORMED"),
        ("a list of audiences", told(aud=[b.fingerprint]), "ENVELOPE_MALFORMED"),
        ("no signature wanted", f"{unsigned}.{payload}.", "ENVELOPE_ALGORITHM"),
        ("a key of its own in the head", forged(a, good, {**HEADER_FIELDS, "kid": "x"}),
         "ENVELOPE_ALGORITHM"),
        ("a head without type", forged(a, good, {"alg": "Ed25519"}), "ENVELOPE_ALGORITHM"),
        ("too long", "e" * (TOKEN_CHARS_MAX + 1), "ENVELOPE_TOO_LARGE"),
        ("nothing", "", "ENVELOPE_MALFORMED"),
        ("two points", "..", "ENVELOPE_MALFORMED"),
        ("no ASCII", "é.é.é", "ENVELOPE_MALFORMED"),
        ("deep nesting", urlsafe_b64encode(b"[" * 2_000).decode() + ".e30.e30", "ENVELOPE_MALFORMED"),
    ]  # fmt: skip


def test_an_attackers_list(keys: tuple[OwnKey, ...]) -> None:
    a, b, c = keys
    listed = refusals(a, b, c)
    judge = verifier(b, a)
    judged = {what: code_of(lambda token=token: judge.open(token, "hello")) for what, token, _ in listed}
    assert judged == {what: code for what, _, code in listed}
    assert len(judged) == 31


@given(token=st.one_of(st.text(max_size=200), st.from_regex(r"[\w-]{0,80}\.[\w-]{0,80}\.[\w-]{0,80}")))
def test_garbage_is_refused_with_a_code(keys: tuple[OwnKey, ...], token: str) -> None:
    code = code_of(lambda: verifier(keys[1], keys[0]).open(token, "hello"))
    assert code in {"ENVELOPE_MALFORMED", "ENVELOPE_ALGORITHM"}


@given(late_ms=st.integers(-200_000, 200_000))
def test_the_window_of_time(keys: tuple[OwnKey, ...], late_ms: int) -> None:
    """Accepted from 30 s before the sender's clock to 30 s behind its end, and the skew is what it is."""
    a, b, _ = keys
    sealed = letter(a, b)
    judge = verifier(b, a, clock_ms=lambda: NOW_MS + late_ms)
    if late_ms < -30_000:
        assert code_of(lambda: judge.open(sealed.token, "hello")) == "ENVELOPE_FUTURE"
    elif late_ms >= 60_000:
        assert code_of(lambda: judge.open(sealed.token, "hello")) == "ENVELOPE_EXPIRED"
    else:
        assert judge.open(sealed.token, "hello").skew_s == -late_ms / 1_000


def test_a_circle_of_three_is_cut(keys: tuple[OwnKey, ...]) -> None:
    """A asks B, B asks C; C cannot ask A, and A would refuse it if C's program did."""
    a, b, c = keys
    first = verifier(b, a).open(letter(a, b).token, "hello")
    second = verifier(c, b).open(letter(b, c, hops=first.claims.hops).token, "hello")
    assert second.claims.hops == (a.fingerprint, b.fingerprint)
    assert code_of(lambda: letter(c, a, hops=second.claims.hops)) == "FEDERATION_LOOP"
    bad = {**claims_of(letter(c, a)), "hops": [*second.claims.hops, c.fingerprint]}
    assert code_of(lambda: verifier(a, c).open(forged(c, bad), "hello")) == "FEDERATION_LOOP"


def test_longest_way(keys: tuple[OwnKey, ...]) -> None:
    a, b, _ = keys
    rules = replace(RULES, hops_max=3)
    passed = ("1" * 43, "2" * 43)
    sealed = letter(a, b, hops=passed, rules=rules)
    assert verifier(b, a, rules=rules).open(sealed.token, "hello").claims.hops == (*passed, a.fingerprint)
    assert code_of(lambda: letter(a, b, hops=(*passed, "3" * 43), rules=rules)) == "FEDERATION_HOPS"


def test_the_longest_honest_envelope_fits(keys: tuple[OwnKey, ...]) -> None:
    a, b, _ = keys
    hops = tuple(f"{n}" * 43 for n in range(RULES.hops_max - 1))
    token = letter(a, b, hops=hops, kind="k" * 64, purpose="p" * 64, answers="n" * 22).token
    assert len(token) <= TOKEN_CHARS_MAX


class Clocked:
    """A nonce book on disk and a clock that tests turn."""

    def __init__(self, folder: Path, *, per_peer_max: int = 65_536) -> None:
        self.folder = folder
        self.per_peer_max = per_peer_max
        self.now_ms = NOW_MS

    def open(self, a: OwnKey, b: OwnKey, sealed: Sealed) -> Opened:
        """As a process that was just started."""
        with FederationStore.open(self.folder) as store:
            book = Nonces(store, self.per_peer_max)
            return verifier(b, a, nonces=book, clock_ms=lambda: self.now_ms).open(sealed.token, "hello")


def test_a_replay_is_refused_over_restarts(keys: tuple[OwnKey, ...], tmp_path: Path) -> None:
    a, b, _ = keys
    server, sealed = Clocked(tmp_path), letter(a, b)
    server.open(a, b, sealed)
    for later_ms in (0, 1, 30_000, 59_999):
        server.now_ms = NOW_MS + later_ms
        assert code_of(lambda: server.open(a, b, sealed)) == "ENVELOPE_REPLAYED"
    server.now_ms = NOW_MS + 60_000
    assert code_of(lambda: server.open(a, b, sealed)) == "ENVELOPE_EXPIRED"
    server.open(a, b, letter(a, b, now_ms=server.now_ms))  # makes room: the first nonce is forgotten
    server.now_ms = NOW_MS
    assert code_of(lambda: server.open(a, b, sealed)) == "ENVELOPE_EXPIRED", "a clock that went back"


def test_after_a_restart_of_the_machine_nothing_from_before_is_accepted(
    keys: tuple[OwnKey, ...], tmp_path: Path
) -> None:
    """The nonces that were noted last may be gone with the power: here all of them are."""
    a, b, _ = keys
    early = letter(a, b, now_ms=NOW_MS + 30_000)  # by a clock that is as far ahead as it may be

    def judged(sealed: Sealed, boot: str, now_ms: int, *, lose: bool = False) -> str:
        with FederationStore.open(tmp_path) as store:
            if lose:
                with store.writing() as connection:
                    connection.execute("DELETE FROM nonces")
            book = Nonces(store, boot=boot, window_ms=RULES.window_ms)
            judge = verifier(b, a, nonces=book, clock_ms=lambda: now_ms)
            try:
                judge.open(sealed.token, "hello")
            except TwinmeshError as error:
                return error.code
            return "accepted"

    assert judged(early, "first", NOW_MS) == "accepted"
    assert judged(letter(a, b), "first", NOW_MS) == "accepted", "another process of the same run"
    assert judged(early, "second", NOW_MS + 5_000, lose=True) == "ENVELOPE_EXPIRED"
    for now_ms in range(NOW_MS + 5_000, NOW_MS + 130_000, 5_000):
        assert judged(early, "second", now_ms) == "ENVELOPE_EXPIRED"
        fresh = letter(a, b, now_ms=now_ms)
        wanted = "ENVELOPE_EXPIRED" if now_ms <= NOW_MS + 35_000 else "accepted"
        assert judged(fresh, "second", now_ms) == wanted, "half a minute later all is as before"


def test_nonces_are_bounded_and_none_gives_way(keys: tuple[OwnKey, ...], tmp_path: Path) -> None:
    a, b, c = keys
    server = Clocked(tmp_path, per_peer_max=5)
    sent = [letter(a, b) for _ in range(6)]
    for sealed in sent[:5]:
        server.open(a, b, sealed)
    assert code_of(lambda: server.open(a, b, sent[5])) == "NONCES_FULL"
    assert code_of(lambda: server.open(a, b, sent[0])) in {"ENVELOPE_REPLAYED", "NONCES_FULL"}
    server.open(c, b, letter(c, b))  # one peer does not shut out another
    server.now_ms += 60_000
    server.open(a, b, letter(a, b, now_ms=server.now_ms))


def test_nonces_are_as_the_plain_rule(keys: tuple[OwnKey, ...], tmp_path: Path) -> None:
    """Random sendings and repeats of two peers, against a set that forgets nothing."""
    a, b, c = keys
    random = Random(fresh_seed("nonces"))
    plain = PlainNonces()
    sent: list[tuple[OwnKey, Sealed]] = []
    accepted = 0
    with FederationStore.open(tmp_path) as store:
        book, now_ms = Nonces(store), NOW_MS
        for _ in range(400):
            now_ms += random.randrange(3_000)
            if not sent or random.random() < 0.6:
                sender = random.choice((a, c))
                sent.append((sender, letter(sender, b, now_ms=now_ms)))
            sender, sealed = random.choice(sent[-30:])
            results: list[str | None] = []
            for nonces in (book, plain):
                judge = verifier(b, a, c, nonces=nonces, clock_ms=lambda now=now_ms: now)
                try:
                    judge.open(sealed.token, "hello")
                    results.append(None)
                except TwinmeshError as error:
                    results.append(error.code)
            assert results[0] == results[1]
            accepted += results[0] is None
    assert 0 < accepted < 400


def test_rules_say_what_the_document_says() -> None:
    assert Rules() == Rules(lifetime_s=30.0, skew_s_max=30.0, hops_max=8, body_bytes_max=1 << 20)
