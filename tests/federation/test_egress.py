"""The way out: to listed places alone, and back within the deadline whatever answers there."""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.egress import Egress, Place, Request, place_of, send_out
from federation.http_peer import HttpPeer, fetch_identity
from federation.peers import Peer
from federation.trust import HEADER, Rules, clock_ms
from ontology.errors import TwinmeshError, UsageError
from tests.federation import bad_peers
from tests.federation.bad_peers import OK, Behave, bad_peer, says
from tests.federation.trust_helpers import letter, make_key

PACKED = zlib.compress(bytes(1 << 20))
BAD: list[tuple[str, Behave, str]] = [
    ("hangs", bad_peers.hangs, "PEER_TIMEOUT"),
    ("hangs in the body", bad_peers.hangs_in_body, "PEER_TIMEOUT"),
    ("drips", bad_peers.drips, "PEER_TIMEOUT"),
    ("drips heads", bad_peers.drips_heads, "PEER_TIMEOUT"),
    ("floods", bad_peers.floods, "PEER_TOO_LARGE"),
    ("floods heads", bad_peers.floods_heads, "PEER_GARBAGE"),
    ("says it is large", says(OK + b"content-length: 99999999999\r\n\r\n"), "PEER_TOO_LARGE"),
    ("says less than it sends", says(OK + b"content-length: 2\r\n\r\n{}" + bytes(9_000)), "PEER_GARBAGE"),
    ("says more than it sends", says(OK + b"content-length: 500\r\n\r\n{}"), "PEER_GARBAGE"),
    ("two sizes", says(OK + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}"), "PEER_GARBAGE"),
    ("a size that is none", says(OK + b"content-length: many\r\n\r\n{}"), "PEER_GARBAGE"),
    ("packs", says(OK + b"content-encoding: deflate\r\ncontent-length: %d\r\n\r\n" % len(PACKED) + PACKED),
     "PEER_GARBAGE"),
    ("garbage", says(b"\x00\xff\x13garbage\r\n\r\n"), "PEER_GARBAGE"),
    ("nothing", says(b""), "PEER_GARBAGE"),
    ("half a head", says(b"HTTP/1.1 200 O"), "PEER_GARBAGE"),
    ("no JSON", says(OK + b"content-length: 3\r\n\r\nhey"), "PEER_GARBAGE"),
    ("JSON of another kind", says(OK + b"content-length: 2\r\n\r\n[]"), "PEER_GARBAGE"),
    ("deep JSON", says(OK + b"content-length: 100000\r\n\r\n" + b"[" * 100_000), "PEER_GARBAGE"),
    ("redirects", says(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.1.1/\r\ncontent-length: 0\r\n\r\n"),
     "PEER_REDIRECTS"),
    ("refuses", says(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"), "PEER_REFUSED"),
    ("switches", says(b"HTTP/1.1 101 New\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"), "PEER_GARBAGE"),
]  # fmt: skip


def egress_to(*places: Place, deadline_s: float = 0.6) -> Egress:
    return Egress(frozenset(places), deadline_s=deadline_s, answer_bytes_max=1 << 18)


async def code_of(egress: Egress, place: Place) -> str:
    """The code of the refusal; fails where nothing comes back long behind the deadline."""
    with pytest.raises(TwinmeshError) as caught:
        await asyncio.wait_for(fetch_identity(egress, place), 30)
    return caught.value.code


@pytest.mark.parametrize(("behave", "code"), [each[1:] for each in BAD], ids=[each[0] for each in BAD])
async def test_bad_peers_are_told_by_a_code(behave: Behave, code: str) -> None:
    with bad_peer(behave) as peer:
        place = place_of(peer.url)
        assert await code_of(egress_to(place), place) == code
        assert len(peer.visits) == 1, "never asked again"


async def test_one_that_promises_for_ever_ends_at_the_deadline() -> None:
    with bad_peer(bad_peers.promises_for_ever) as peer:
        place = place_of(peer.url)
        assert await code_of(egress_to(place), place) in {"PEER_TIMEOUT", "PEER_GARBAGE"}


async def test_nobody_there() -> None:
    with bad_peer(bad_peers.hangs) as peer:
        place = place_of(peer.url)
    assert await code_of(egress_to(place), place) == "PEER_UNREACHABLE"


async def test_only_listed_places_are_called() -> None:
    with bad_peer(says(OK + b"content-length: 0\r\n\r\n")) as peer, bad_peer(bad_peers.hangs) as other:
        place = place_of(peer.url)
        assert await code_of(egress_to(place_of(other.url)), place) == "EGRESS_REFUSED"
        assert await code_of(egress_to(), place) == "EGRESS_REFUSED"
        assert peer.visits == []


@pytest.mark.parametrize("host", ["plant.example", "192.0.2.1", "127.0.0.1.evil.example", "localhost.evil"])
async def test_without_tls_only_loopback_is_called(host: str) -> None:
    place = Place("http", host, 80)
    assert await code_of(egress_to(place), place) == "EGRESS_PLAIN"


async def test_the_environment_turns_no_request_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    with bad_peer(bad_peers.hangs) as proxy, bad_peer(says(OK + b"content-length: 2\r\n\r\n{}")) as peer:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        place = place_of(peer.url)
        assert await code_of(egress_to(place), place) == "PEER_GARBAGE"
        assert (len(peer.visits), proxy.visits) == (1, [])


async def test_a_hostile_refusal_is_not_repeated() -> None:
    """What a stranger says must not reach logs and terminals, but for a code."""
    body = b'{"code": "\\u001b[31mEVIL", "detail": "call this number"}'
    answer = b"HTTP/1.1 403 Forbidden\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    with bad_peer(says(answer)) as peer:
        place = place_of(peer.url)
        with pytest.raises(TwinmeshError) as caught:
            await fetch_identity(egress_to(place), place)
    assert "EVIL" not in str(caught.value)
    assert "number" not in str(caught.value)
    assert "status 403" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "means"),
    [
        ("https://plant.example", Place("https", "plant.example", 443)),
        ("https://PLANT.example:8443/", Place("https", "plant.example", 8443)),
        ("http://[::1]:8000", Place("http", "::1", 8000)),
    ],
)
def test_urls_of_servers(url: str, means: Place) -> None:
    assert place_of(url) == means
    assert place_of(means.url) == means


@pytest.mark.parametrize(
    "url",
    [
        "", "plant.example", "ftp://x", "file:///etc/passwd", "https://", "https://u:p@x", "https://x/path",
        "https://x?q", "https://x#f", "https://x:0", "https://x:99999", "https://x:y", "http://x\r\ny",
        "https://x" + "y" * 3_000, "https://é.example", "//x", "https://[::1", "unix:///x",
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_server(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        place_of(url)
    assert caught.value.code == "PEER_URL"


@given(url=st.text(max_size=60))
def test_any_text_is_a_place_or_refused(url: str) -> None:
    try:
        place = place_of(url)
    except UsageError as error:
        assert error.code == "PEER_URL"
    else:
        assert place_of(place.url) == place


# Answers of one who holds a key, or says so


async def answered(tmp_path: Path, token: str | None, body: bytes) -> str:
    """What becomes of an answer with this envelope: the code it is refused with."""
    own, other = make_key(tmp_path / "a"), make_key(tmp_path / "b")
    head = b"" if token is None else HEADER.encode() + b": " + token.encode() + b"\r\n"
    with bad_peer(says(OK + head + b"content-length: %d\r\n\r\n" % len(body) + body)) as server:
        peer = Peer("b", place_of(server.url), other.public, (), 0)
        client = HttpPeer(peer, own, egress_to(peer.place, deadline_s=5.0), Rules())
        with pytest.raises(TwinmeshError) as caught:
            await client.call("hello", "greeting", b"{}")
    return caught.value.code


async def test_answers_that_are_not_the_answer(tmp_path: Path) -> None:
    """No envelope, an old answer of the same peer, one of a stranger, our own request sent back."""
    own, other = make_key(tmp_path / "a"), make_key(tmp_path / "b")
    stranger = make_key(tmp_path / "c")
    now_ms = clock_ms()
    old = letter(other, own, b"{}", answers="n" * 22, now_ms=now_ms)
    tokens = {
        "ENVELOPE_MISSING": None,
        "ENVELOPE_ANSWER": old.token,
        "PEER_UNKNOWN": letter(stranger, own, b"{}", now_ms=now_ms).token,
        "ENVELOPE_AUDIENCE": letter(other, stranger, b"{}", now_ms=now_ms).token,
        "ENVELOPE_MALFORMED": "x.y.z",
    }
    for code, token in tokens.items():
        assert await answered(tmp_path, token, b"{}") == code
    mirrored = letter(own, other, b"{}", now_ms=now_ms).token
    assert await answered(tmp_path, mirrored, b"{}") == "PEER_UNKNOWN"


async def test_requests_to_one_bad_peer_do_not_hold_up_another() -> None:
    with bad_peer(bad_peers.hangs) as slow, bad_peer(says(OK + b"content-length: 2\r\n\r\n{}")) as quick:
        places = [place_of(slow.url), place_of(quick.url)]
        waiting = asyncio.ensure_future(code_of(egress_to(*places, deadline_s=5.0), places[0]))
        request = Request(places[1], "GET", "/", {})
        assert (await send_out(egress_to(*places), request)).body == b"{}"
        assert not waiting.done()
        waiting.cancel()
