"""Queries by hash: Apollo's automatic ones, trusted documents, nothing but trusted documents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from api.config import Persisted, Settings, load_settings
from api.persisted import PersistedQueries, Trusted, load_trusted
from ontology.errors import InputError, LimitError, NotFoundError, UsageError

QUERY = "{ sites { name } }"
NAMED = "query one($id: ID!) { node(id: $id) { localId } }"
GRAPHQL = "application/graphql-response+json"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def by_hash(text: str) -> dict[str, Any]:
    return {"persistedQuery": {"version": 1, "sha256Hash": sha256(text)}}


def post(server: Any, body: Any, **headers: str) -> httpx.Response:
    with server.client() as client:
        return client.post("/graphql", json=body, headers=headers)


def code(answer: httpx.Response) -> str:
    return answer.json()["errors"][0]["extensions"]["code"]


# Automatic


@pytest.mark.parametrize("accept", ["application/json", GRAPHQL])
def test_a_hash_is_learnt_and_then_enough(reader: Any, accept: str) -> None:
    text = f"{{ sites {{ name }} }} # {accept}"
    unknown = post(reader, {"extensions": by_hash(text)}, Accept=accept)
    assert (unknown.status_code, code(unknown)) == (200, "PERSISTED_QUERY_NOT_FOUND")
    assert (
        unknown.json()["errors"][0]["message"] == "PersistedQueryNotFound"
    )  # what Apollo's clients look for
    assert post(reader, {"query": text, "extensions": by_hash(text)}, Accept=accept).json()["data"]["sites"]
    known = post(reader, {"extensions": by_hash(text)}, Accept=accept)
    assert known.json()["data"]["sites"] == [{"name": "campus"}, {"name": "plant"}]
    with reader.client() as client:
        extensions = json.dumps(by_hash(text))
        assert client.get("/graphql", params={"extensions": extensions}).json() == known.json()


def test_variables_and_names_go_with_a_hash(reader: Any) -> None:
    post(reader, {"query": NAMED, "variables": {"id": "AHU-1"}, "extensions": by_hash(NAMED)})
    body = {"extensions": by_hash(NAMED), "variables": {"id": "AHU-2"}, "operationName": "one"}
    assert post(reader, body).json()["data"] == {"node": {"localId": "AHU-2"}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"query": QUERY, "extensions": by_hash("{ other }")}, "PERSISTED_QUERY_MISMATCH"),
        ({"extensions": {"persistedQuery": {"version": 2, "sha256Hash": "x"}}}, "PERSISTED_QUERY_INVALID"),
        ({"extensions": {"persistedQuery": {"version": 1}}}, "PERSISTED_QUERY_INVALID"),
        ({"extensions": {"persistedQuery": "x"}}, "PERSISTED_QUERY_INVALID"),
        ({"documentId": 7}, "PERSISTED_QUERY_INVALID"),
        ({"documentId": "x", "query": QUERY}, "PERSISTED_QUERY_INVALID"),
        ({"documentId": "sha256:nope"}, "PERSISTED_QUERY_NOT_FOUND"),
    ],
)  # fmt: skip
def test_what_is_wrong_has_a_code(reader: Any, body: dict[str, Any], expected: str) -> None:
    answer = post(reader, body, Accept=GRAPHQL)
    assert code(answer) == expected
    assert answer.status_code == (200 if expected == "PERSISTED_QUERY_NOT_FOUND" else 400)


def test_what_does_not_run_is_not_learnt(reader: Any) -> None:
    text = "{ nope }"
    assert code(post(reader, {"query": text, "extensions": by_hash(text)})) == "GRAPHQL_INVALID"
    assert code(post(reader, {"extensions": by_hash(text)})) == "PERSISTED_QUERY_NOT_FOUND"


def test_what_is_kept_is_bounded() -> None:
    queries = PersistedQueries(Persisted(entries_max=3, bytes_max=40))
    for number in range(10):
        queries.learn(str(number), f"{number} text")
    assert queries.size == (3, 18)
    queries.learn("long", "x" * 30)
    assert queries.size == (2, 36)
    queries.learn("longer", "x" * 41)
    assert queries.size == (2, 36)
    assert queries.meant({"documentId": "long"}) is not None
    with pytest.raises(NotFoundError):
        queries.meant({"documentId": "7"})


def test_the_one_used_last_stays() -> None:
    queries = PersistedQueries(Persisted(entries_max=2))
    queries.learn("a", "{ a }")
    queries.learn("b", "{ b }")
    queries.meant({"documentId": "a"})
    queries.learn("c", "{ c }")
    assert queries.meant({"documentId": "a"}) is not None
    with pytest.raises(NotFoundError):
        queries.meant({"documentId": "b"})


def test_without_automatic_ones_nothing_is_learnt() -> None:
    queries = PersistedQueries(Persisted(automatic=False))
    meant = queries.meant({"query": QUERY, "extensions": by_hash(QUERY)})
    assert meant is not None
    assert meant.learn is None
    with pytest.raises(InputError) as caught:
        queries.meant({"extensions": by_hash(QUERY)})
    assert caught.value.code == "PERSISTED_QUERY_NOT_SUPPORTED"


# Trusted documents


def trusted_of(folder: Path, files: dict[str, str], documents: str = "trusted") -> Trusted:
    for name, content in files.items():
        path = folder / "trusted" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    return load_trusted(Persisted(documents=documents), folder)


APOLLO = {
    "format": "apollo-persisted-query-manifest",
    "version": 1,
    "operations": [{"id": "a1", "name": "one", "type": "query", "body": NAMED}],
}


def test_files_of_every_form(tmp_path: Path) -> None:
    files = {
        "sites.graphql": QUERY,
        "deep/manifest.json": json.dumps(APOLLO),
        "map.json": json.dumps({f"sha256:{sha256('{ a }')}": "{ a }"}),
        "README.md": "not read",
    }
    trusted = trusted_of(tmp_path, files)
    assert trusted.texts == {QUERY, NAMED, "{ a }"}
    assert {"sites", "a1", sha256(QUERY), sha256(NAMED), sha256("{ a }")} == set(trusted.by_id)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.graphql", "{ a"),
        ("a.json", "{"),
        ("a.json", "{}"),
        ("a.json", '{"a": 1}'),
        ("a.json", '{"format": "apollo-persisted-query-manifest", "version": 2, "operations": []}'),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(InputError) as caught:
        trusted_of(tmp_path, {name: content})
    assert caught.value.code == "TRUSTED_DOCUMENT_INVALID"
    assert name in str(caught.value.place)


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_trusted(Persisted(documents="absent.json"), tmp_path)
    assert caught.value.code == "CONFIG_UNREADABLE"
    (tmp_path / "latin.graphql").write_bytes(b'{ a(b: "\xff") }')
    with pytest.raises(InputError, match="UTF-8"):
        load_trusted(Persisted(documents="latin.graphql"), tmp_path)
    with (tmp_path / "big.json").open("wb") as file:
        file.truncate(17 << 20)
    with pytest.raises(LimitError) as large:
        load_trusted(Persisted(documents="big.json"), tmp_path)
    assert large.value.code == "TRUSTED_DOCUMENTS_TOO_LARGE"
    with pytest.raises(InputError) as empty:
        load_trusted(Persisted(trusted_only=True), tmp_path)
    assert empty.value.code == "TRUSTED_DOCUMENT_INVALID"


def test_one_id_for_two_texts(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        trusted_of(tmp_path, {"a.json": '{"x": "{ a }"}', "b.json": '{"x": "{ b }"}'})
    assert caught.value.code == "TRUSTED_DOCUMENT_CONFLICT"


async def test_nothing_but_trusted_documents(mesh: Any, serve: Callable[..., Any]) -> None:
    (mesh.folder / "trusted.json").write_text(json.dumps({"sites": QUERY}), "utf-8")
    settings = Settings(persisted=Persisted(documents="trusted.json", trusted_only=True))
    with serve(mesh, settings) as server:
        assert post(server, {"query": QUERY}).json()["data"]["sites"]
        assert post(server, {"documentId": "sites"}).json()["data"]["sites"]
        assert post(server, {"extensions": by_hash(QUERY)}).json()["data"]["sites"]
        for accept in ("application/json", "text/event-stream", "application/x-ndjson"):
            refused = post(server, {"query": "{ sites { base } }"}, Accept=accept)
            assert "DOCUMENT_NOT_TRUSTED" in refused.text, accept
        assert post(server, {"query": "{ sites { base } }"}, Accept=GRAPHQL).status_code == 400
        async with connect(server.ws_url, subprotocols=["graphql-transport-ws"]) as socket:  # type: ignore[list-item]
            await socket.send('{"type": "connection_init"}')
            await socket.recv()
            payload = {"query": "{ sites { base } }"}
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
            assert "DOCUMENT_NOT_TRUSTED" in str(await socket.recv())


def test_settings_have_truths(tmp_path: Path) -> None:
    path = tmp_path / "twinmesh.toml"
    path.write_text("[persisted]\nautomatic = false\n[limits]\nintrospection = false\n", "utf-8")
    settings = load_settings(path, {"TWINMESH_PERSISTED__TRUSTED_ONLY": "true"})
    assert (settings.persisted.automatic, settings.persisted.trusted_only) == (False, True)
    assert settings.limits.introspection is False
    path.write_text("[persisted]\nautomatic = 1\n", "utf-8")
    with pytest.raises(InputError) as caught:
        load_settings(path)
    assert caught.value.code == "CONFIG_WRONG_TYPE"
    with pytest.raises((InputError, UsageError)):
        load_settings(None, {"TWINMESH_PERSISTED__TRUSTED_ONLY": "perhaps"})
