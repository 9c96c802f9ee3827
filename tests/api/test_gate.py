"""Who gets in: Host and Origin on loopback, tokens elsewhere, roles everywhere."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from api.policy import PERMITTED, Action, Role

QUERY = {"query": "{ sites { name } }"}


def raw(url: str, request: str) -> str:
    """The answer to a request as it stands, for headers that a client library would not send."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode())
        connection.shutdown(socket.SHUT_WR)
        chunks = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    return b"".join(chunks).decode()


# Loopback


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "a@localhost",
        "",
    ],
)
def test_other_names_are_refused(reader: Any, host: str) -> None:
    """DNS rebinding: the attacker's name leads to 127.0.0.1, and the browser sends it."""
    answer = raw(
        reader.url, f"GET /graphql?query=%7Bsites%7Bname%7D%7D HTTP/1.1\nHost: {host}\nConnection: close\n\n"
    )
    assert " 421 " in answer.splitlines()[0] or " 400 " in answer.splitlines()[0]
    assert "campus" not in answer


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_names_of_loopback_are_served(reader: Any, host: str) -> None:
    port = reader.url.rsplit(":", 1)[1]
    with reader.client(Host=f"{host}:{port}") as client:
        assert client.post("/graphql", json=QUERY).json()["data"]["sites"]


def test_two_hosts_are_refused(reader: Any) -> None:
    request = "GET /livez HTTP/1.1\nHost: localhost\nHost: evil.example\nConnection: close\n\n"
    assert " 200 " not in raw(reader.url, request).splitlines()[0]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "http://127.0.0.1", "file://"]
)
def test_pages_of_other_origins_are_refused(reader: Any, origin: str) -> None:
    with reader.client(Origin=origin) as client:
        for send in (
            lambda: client.post("/graphql", json=QUERY),
            lambda: client.post("/ingest", content=b"{}"),
            lambda: client.get("/graphql", params=QUERY),
            lambda: client.get("/export"),
        ):
            answer = send()
            assert (answer.status_code, answer.json()["code"]) == (403, "ORIGIN_REFUSED")
            assert "access-control-allow-origin" not in answer.headers


def test_images_and_scripts_of_other_pages_are_refused(reader: Any) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    with reader.client(**headers) as client:
        assert client.get("/graphql", params=QUERY).status_code == 403
    with reader.client(**{**headers, "Sec-Fetch-Mode": "navigate"}, Accept="text/html") as client:
        assert client.get("/").status_code == 200


def test_our_own_page_may_ask(reader: Any) -> None:
    with reader.client(Origin=reader.url) as client:
        assert client.post("/graphql", json=QUERY).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_forms_cannot_ask(reader: Any, kind: str) -> None:
    with reader.client() as client:
        answer = client.post(
            "/graphql", content=b'{"query": "{ sites { name } }"}', headers={"Content-Type": kind}
        )
    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_get_changes_nothing(reader: Any) -> None:
    query = 'mutation { applyChange(input: {site: "campus"}) { applied } }'
    with reader.client() as client:
        answer = client.get("/graphql", params={"query": query})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


# Tokens


def test_without_a_token_nothing_but_health_and_pages(guarded: Any) -> None:
    with guarded.client() as client:
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 200
        assert client.get("/").status_code == 200
        console = client.get("/graphql", headers={"Accept": "text/html"})
        assert (console.status_code, "<title>twinmesh console" in console.text) == (200, True)
        for method, path in (
            ("POST", "/graphql"), ("GET", "/graphql?query={sites{name}}"), ("POST", "/ingest"),
            ("GET", "/metrics"),
            ("GET", "/id/AHU-1"), ("GET", "/export"), ("POST", "/import?site=x"), ("GET", "/graphql"),
        ):  # fmt: skip
            answer = client.request(method, path, json=QUERY if method == "POST" else None)
            assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED"), path
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_tokens_by_header(guarded: Any, token: Callable[..., str]) -> None:
    text = token(Role.ANALYST)
    assert guarded.data(QUERY["query"], token=text)["sites"]
    with guarded.client() as client:
        for stated in (f"Basic {text}", text, "Bearer x", f"Bearer {text}x", f"Bearer {text[:-1]}"):
            answer = client.post("/graphql", json=QUERY, headers={"Authorization": stated})
            assert answer.status_code == 401, stated


def test_an_expired_or_revoked_token_ends(guarded: Any, token: Callable[..., str]) -> None:
    short, long = token(Role.ANALYST, "short", lifetime_s=0.3), token(Role.ANALYST, "long")
    assert guarded.data(QUERY["query"], token=long)
    guarded.tokens.revoke("long")
    time.sleep(0.35)
    with guarded.client() as client:
        for text, code in ((short, "TOKEN_EXPIRED"), (long, "TOKEN_REVOKED")):
            answer = client.post("/graphql", json=QUERY, headers={"Authorization": f"Bearer {text}"})
            assert (answer.status_code, answer.json()["code"]) == (401, code)


def test_a_wrong_token_is_refused_on_loopback_too(reader: Any) -> None:
    with reader.client("tm_12345678_" + "x" * 43) as client:
        assert client.post("/graphql", json=QUERY).status_code == 401


# Roles

CHANGE = 'mutation { applyChange(input: {site: "campus", dryRun: true}) { applied } }'
CASCADE = "mutation { simulateCascade(input: {events: [], runs: 1}) { id } }"
COMMAND = (
    'mutation { sendCommand(input: {point: "T-1", value: 1, expiresInS: 5, idempotencyKey: "k"}) { id } }'
)


def graphql(query: str) -> Callable[[httpx.Client], str | None]:
    """The code of the first error, None where there is none."""

    def ask(client: httpx.Client) -> str | None:
        errors = client.post("/graphql", json={"query": query}).json().get("errors")
        return errors[0]["extensions"]["code"] if errors else None

    return ask


def ingest(client: httpx.Client) -> str | None:
    line = b'{"point": "T-1", "time": "2026-01-01T00:00:00Z", "value": 20.5}'
    return client.post("/ingest", content=line).json().get("code")


def upload(client: httpx.Client) -> str | None:
    answer = client.post(
        "/import", params={"site": "campus", "dryRun": "true"}, files={"file": ("x.csv", b"id,kind\n")}
    )
    return answer.json().get("code")


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    ("action", "ask"),
    [
        (Action.READ, graphql("{ sites { name } }")),
        (Action.CHANGE, graphql(CHANGE)),
        (Action.SIMULATE, graphql(CASCADE)),
        (Action.COMMAND, graphql(COMMAND)),
        (Action.RECORD, ingest),
        (Action.CHANGE, upload),
    ],
)
def test_the_role_matrix(
    guarded: Any,
    token: Callable[..., str],
    role: Role,
    action: Action,
    ask: Callable[[httpx.Client], str | None],
) -> None:
    with guarded.client(token(role)) as client:
        refused = ask(client) == "FORBIDDEN"
    assert refused == (action not in PERMITTED[role])


def test_a_partner_sees_nothing_unless_it_is_shared(guarded: Any, token: Callable[..., str]) -> None:
    bare, shared = (
        token(Role.PARTNER, "bare"),
        token(Role.PARTNER, "shared", kinds=("brick:AHU",), sites=("campus",)),
    )
    query = """{ twins(first: 100) { totalCount nodes { localId in { totalCount } out { totalCount } } }
      sites { name twins relationships } search(text: "chiller") { totalCount }
      aggregate(measures: [{op: COUNT}]) { values } }"""
    assert guarded.data(query, token=bare) == {
        "twins": {"totalCount": 0, "nodes": []},
        "sites": [],
        "search": {"totalCount": 0},
        "aggregate": [{"values": {"count": 0}}],
    }
    nodes = [
        {"localId": name, "in": {"totalCount": 0}, "out": {"totalCount": 0}} for name in ("AHU-1", "AHU-2")
    ]
    assert guarded.data(query, token=shared) == {
        "twins": {"totalCount": 2, "nodes": nodes},
        "sites": [{"name": "campus", "twins": 2, "relationships": 0}],
        "search": {"totalCount": 0},
        "aggregate": [{"values": {"count": 2}}],
    }
    with guarded.client(shared) as client:
        exported = client.get("/export", params={"format": "nq"}).text
        assert "AHU-1" in exported
        assert "CH-1" not in exported
        assert client.get("/id/campus:CH-1").status_code == 404
        assert client.get("/id/campus:AHU-1", headers={"Accept": "text/turtle"}).text.count("CH-1") == 0


@pytest.mark.parametrize(
    "query",
    [
        '{ node(id: "campus:CH-1") { id } }',
        '{ twins(filter: {some: {relation: "fedBy", twin: {name: {eq: "Chiller 1"}}}}) { totalCount } }',
        '{ reachable(from: ["AHU-1"], direction: BOTH) { count } }',
        '{ node(id: "campus:CH-1", asOf: "2100-01-01T00:00:00Z") { id } }',
        '{ node(id: "campus:CH-1", atRevision: "1") { id } }',
        '{ nodes(ids: ["campus:CH-1"]) { id } }',
        '{ chiller(id: "campus:CH-1") { id } }',
        '{ twins(filter: {id: {eq: "campus:CH-1"}}) { totalCount nodes { id } } }',
    ],
)
def test_no_question_shows_what_is_out_of_scope(guarded: Any, token: Callable[..., str], query: str) -> None:
    text = token(Role.PARTNER, kinds=("brick:AHU",))
    data = guarded.data(query, token=text)
    assert all(found in (None, [None]) or 0 in found.values() for found in data.values()), data


def test_errors_do_not_name_what_is_out_of_scope(guarded: Any, token: Callable[..., str]) -> None:
    text = token(Role.PARTNER, kinds=("brick:AHU",))
    answer = guarded.ask(
        """{ reachable(from: ["VAV-11"]) { count }
          paths(from: "CH-1", to: "AHU-1") { paths { links { id } } } }""",
        token=text,
    )
    assert "VAV-1," not in str(answer)
    assert "campus/CH-1" not in str(answer)


def test_a_token_for_one_site_changes_only_that(guarded: Any, token: Callable[..., str]) -> None:
    text = token(Role.ADMIN, "plant admin", sites=("plant",))
    apply = 'mutation { applyChange(input: {site: "%s", dryRun: true}) { items { id } } }'
    assert guarded.data(apply % "plant", token=text)
    assert guarded.code(apply % "campus", token=text) == "FORBIDDEN"
    assert guarded.code(CASCADE, token=text) == "SCOPE_TOO_NARROW"


def test_jobs_of_others_are_not_seen(guarded: Any, token: Callable[..., str]) -> None:
    one, other, admin = token(Role.ANALYST, "one"), token(Role.ANALYST, "other"), token(Role.ADMIN)
    job = guarded.data(CASCADE, token=one)["simulateCascade"]["id"]
    query = f'{{ simulation(id: "{job}") {{ id }} }}'
    assert guarded.data(query, token=other) == {"simulation": None}
    assert guarded.data(query, token=one) == guarded.data(query, token=admin) == {"simulation": {"id": job}}
