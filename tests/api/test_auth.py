"""Tokens: shown once, hashed, private, expiring, revocable while in use."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from api.auth import DAY_S, LOOK_S, Tokens
from api.policy import Role
from ontology.errors import AccessError, LimitError, NotFoundError, StoreError, UsageError


class Clock:
    def __init__(self) -> None:
        self.now_ns = 1_000_000_000_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def forward(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(tmp_path: Path, clock: Clock) -> Tokens:
    return Tokens(tmp_path / "tokens.json", clock_ns=clock)


def test_a_token_names_its_holder(tokens: Tokens) -> None:
    text = tokens.create("line 4", Role.OPERATOR, sites=("plant",))
    principal = tokens.principal(text)
    assert (principal.name, principal.role, principal.sites) == ("line 4", Role.OPERATOR, ("plant",))


def test_the_file_is_private_and_holds_no_secret(tokens: Tokens, tmp_path: Path) -> None:
    text = tokens.create("a", Role.ADMIN)
    path = tmp_path / "tokens.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert text.split("_", 2)[2] not in path.read_text()


@pytest.mark.parametrize("text", ["", "tm", "tm_ab", "tm_12345678_short", "Bearer x", "xx_1_" + "a" * 43])
def test_other_texts_are_refused(tokens: Tokens, text: str) -> None:
    tokens.create("a", Role.ADMIN)
    with pytest.raises(AccessError) as caught:
        tokens.principal(text)
    assert caught.value.code == "TOKEN_INVALID"


def test_a_wrong_secret_is_refused(tokens: Tokens) -> None:
    prefix, token_id, secret = tokens.create("a", Role.ADMIN).split("_", 2)
    with pytest.raises(AccessError) as caught:
        tokens.principal(f"{prefix}_{token_id}_{secret[::-1]}")
    assert caught.value.code == "TOKEN_INVALID"


def test_a_token_expires(tokens: Tokens, clock: Clock) -> None:
    text = tokens.create("a", Role.ADMIN, lifetime_s=DAY_S)
    clock.forward(DAY_S - 1)
    principal = tokens.principal(text)
    clock.forward(1)
    for check in (lambda: tokens.principal(text), lambda: tokens.check_still_valid(principal)):
        with pytest.raises(AccessError) as caught:
            check()
        assert caught.value.code == "TOKEN_EXPIRED"


def test_a_revocation_by_another_process_is_seen(tokens: Tokens, tmp_path: Path, clock: Clock) -> None:
    text = tokens.create("a", Role.ADMIN)
    principal = tokens.principal(text)
    Tokens(tmp_path / "tokens.json", clock_ns=clock).revoke("a")
    time.sleep(LOOK_S)  # the file is not looked at more often
    for check in (lambda: tokens.principal(text), lambda: tokens.check_still_valid(principal)):
        with pytest.raises(AccessError) as caught:
            check()
        assert caught.value.code == "TOKEN_REVOKED"
    with pytest.raises(NotFoundError):
        tokens.revoke("a")


def test_a_name_is_used_once_at_a_time(tokens: Tokens, clock: Clock) -> None:
    tokens.create("a", Role.ADMIN)
    with pytest.raises(UsageError) as caught:
        tokens.create("a", Role.ANALYST)
    assert caught.value.code == "TOKEN_NAME_TAKEN"
    tokens.revoke("a")
    clock.forward(1)
    tokens.create("a", Role.ANALYST)
    assert [(record.name, record.revoked_ns is None) for record in tokens.list()] == [
        ("a", False),
        ("a", True),
    ]


def test_a_full_file_drops_dead_tokens_only(tmp_path: Path, clock: Clock) -> None:
    tokens = Tokens(tmp_path / "tokens.json", kept_max=2, clock_ns=clock)
    tokens.create("a", Role.ADMIN)
    tokens.create("b", Role.ADMIN)
    with pytest.raises(LimitError):
        tokens.create("c", Role.ADMIN)
    tokens.revoke("a")
    tokens.create("c", Role.ADMIN)
    assert [record.name for record in tokens.list()] == ["b", "c"]


def test_a_lifetime_is_bounded(tokens: Tokens) -> None:
    for lifetime_s in (0, -1, 4_000 * DAY_S):
        with pytest.raises(UsageError):
            tokens.create("a", Role.ADMIN, lifetime_s=lifetime_s)


def test_a_broken_file_is_an_error_not_an_open_door(tokens: Tokens, tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text("{}")
    with pytest.raises(StoreError) as caught:
        tokens.principal("tm_12345678_" + "a" * 43)
    assert caught.value.code == "TOKENS_UNREADABLE"
