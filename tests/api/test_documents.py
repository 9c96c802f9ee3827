"""Documents by IRI: which format, whether anything is new, and where others tell about theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from pyoxigraph import CanonicalizationAlgorithm, Dataset, Quad, RdfFormat, parse

from api.policy import Role
from graph.values import Change, RelationshipRecord
from tests.api.conftest import Running, iri, link, served, twin

FAR = "https://far.example/id/pump?x=1"
NOWHERE = "urn:uuid:0000"
SECRET = "https://user:word@far.example/pump"


def graph(content: bytes, form: RdfFormat) -> Dataset:
    found = Dataset(each for each in parse(content, form) if isinstance(each, Quad))
    found.canonicalize(CanonicalizationAlgorithm.UNSTABLE)
    return found


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "text/turtle; charset=utf-8"),
        ("text/*", "text/turtle; charset=utf-8"),
        ("application/ld+json;q=0.4, application/n-triples;q=0.5, image/png", "application/n-triples"),
        ("application/json", "application/ld+json"),
        ("text/turtle;q=0, application/*;q=0.1", "application/ld+json"),
    ],
)
def test_accept_is_weighed(reader: Running, accept: str, expected: str) -> None:
    with reader.client() as client:
        answer = client.get("/id/campus:AHU-1", headers={"Accept": accept})
        head = client.head("/id/campus:AHU-1", headers={"Accept": accept})
        again = client.get(answer.headers["content-location"], headers={"Accept": "image/png"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, expected)
    assert "Accept" in answer.headers["vary"]
    assert (head.status_code, head.content) == (200, b"")
    assert {**head.headers, "date": ""} == {**answer.headers, "date": ""}
    assert (again.content, again.headers["etag"]) == (answer.content, answer.headers["etag"])


def test_all_formats_say_the_same(reader: Running) -> None:
    forms = {"ttl": RdfFormat.TURTLE, "nt": RdfFormat.N_TRIPLES, "jsonld": RdfFormat.JSON_LD}
    with reader.client() as client:
        found = [
            graph(client.get("/id/campus:AHU-1", params={"format": name}).content, form)
            for name, form in forms.items()
        ]
        refused = client.get("/id/campus:AHU-1", params={"format": "exe"})
    assert len(found[0]) > 10
    assert found[0] == found[1] == found[2]
    assert refused.json()["code"] == "FORMAT_UNKNOWN"


def test_a_document_is_sent_again_only_when_its_site_changed(server: Running) -> None:
    with server.client() as client:
        first = client.get("/id/campus:AHU-1")
        known = {"If-None-Match": f'"other", W/{first.headers["etag"]}'}
        same = client.get("/id/campus:AHU-1", headers=known)
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
        other = client.get("/id/campus:AHU-1", headers={**known, "Accept": "application/n-triples"})
        assert other.status_code == 200
        server.mesh.twin("plant").apply(Change(put_twins=(twin("plant", "NEW", "tm:Asset", "New"),)))
        assert client.get("/id/campus:AHU-1", headers=known).status_code == 304
        server.mesh.twin("campus").apply(Change(put_twins=(twin("campus", "AHU-1", "brick:AHU", "Renamed"),)))
        changed = client.get("/id/campus:AHU-1", headers=known)
    assert (changed.status_code, "Renamed" in changed.text) == (200, True)


def test_what_one_asker_has_is_not_good_for_another(guarded: Running, token: Callable[..., str]) -> None:
    partner = token(Role.PARTNER, "handlers", kinds=("brick:AHU",))
    with guarded.client(token(Role.ANALYST)) as all_of_it, guarded.client(partner) as part:
        whole = all_of_it.get("/id/campus:AHU-1")
        known = {"If-None-Match": whole.headers["etag"]}
        answer = part.get("/id/campus:AHU-1", headers=known)
        hidden = part.get("/id/campus:CH-1", headers={"If-None-Match": "*"})
    assert "VAV-1" in whole.text
    assert (answer.status_code, "VAV-1" in answer.text) == (200, False)
    assert (hidden.status_code, hidden.json()["code"]) == (404, "TWIN_UNKNOWN")


def feeding(far: str) -> RelationshipRecord:
    return replace(link("campus", "CH-1", "brick:feeds", FAR), target=far)


@pytest.fixture
def linked(mesh: Any) -> Any:
    """The campus, feeding what lies elsewhere."""
    mesh.twin("campus").apply(Change(put_relationships=tuple(map(feeding, (FAR, NOWHERE, SECRET)))))
    return mesh


def test_twins_of_other_servers_are_told_about_there(linked: Any) -> None:
    with served(linked) as server, server.client() as client:
        own = f"http://{urlsplit(server.url).netloc}/id/x"
        linked.twin("campus").apply(Change(put_relationships=(feeding(own),)))
        answer = client.get(f"/id/{FAR.replace('?', '%3F')}")
        assert (answer.status_code, answer.headers["location"]) == (303, FAR)
        assert answer.headers["referrer-policy"] == "no-referrer"
        for known in (NOWHERE, SECRET, own):  # nothing there could be asked: what is known here is told
            told = client.get(f"/id/{known}")
            assert (told.status_code, iri("campus", "CH-1") in told.text) == (200, True), known
        for unknown in ("https://evil.example/", "//evil.example/", "https:evil.example", "javascript:x"):
            assert client.get(f"/id/{unknown}").status_code == 404, unknown


def test_nobody_is_sent_to_what_they_may_not_see(linked: Any) -> None:
    with served(linked, dev=False) as server:
        partner = server.tokens.create("rooms", Role.PARTNER, kinds=("rec:Room",))
        with server.client(partner) as client:
            answer = client.get(f"/id/{FAR.replace('?', '%3F')}")
    assert (answer.status_code, "location" in answer.headers) == (404, False)


def test_the_page_is_shown_the_id_as_one_value(reader: Running) -> None:
    with reader.client() as client:
        answer = client.get("/id/a%26x=1%23y", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?id=a%26x%3D1%23y")
