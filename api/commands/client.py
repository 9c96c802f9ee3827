"""GraphQL and HTTP of a server, from outside: what `--url` speaks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import httpx

from ontology.errors import AccessError, InputError, Place, Problem, StoreError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_S, ANSWER_S = 5.0, 120.0
CODES_OF_ACCESS = ("UNAUTHENTICATED", "FORBIDDEN")


@dataclass(frozen=True, slots=True)
class Client:
    """A server and who asks. Every method raises StoreError SERVER_UNREACHABLE where nobody answers."""

    url: str
    token: str | None

    def graphql(self, text: str, variables: Mapping[str, object] | None = None) -> dict[str, Any]:
        """The response of one operation, errors and all."""
        response = self.send(
            "POST", "/graphql", json_body={"query": text, "variables": dict(variables or {})}
        )
        return _document(response)

    def data(self, text: str, variables: Mapping[str, object] | None = None) -> dict[str, Any]:
        """The data of one operation. InputError or AccessError with the server's codes if it has errors."""
        answer = self.graphql(text, variables)
        errors = answer.get("errors")
        if errors:
            raise _error_of(errors)
        return cast("dict[str, Any]", answer["data"])

    def send(
        self,
        method: str,
        path: str,
        *,
        json_body: object = None,
        params: Mapping[str, str] | None = None,
        files: list[tuple[str, tuple[str, bytes]]] | None = None,
    ) -> httpx.Response:
        """One request; the response whatever its status."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        try:
            with httpx.Client(base_url=self.url, headers=headers, timeout=timeout) as http:
                return http.request(method, path, json=json_body, params=params, files=files)
        except httpx.HTTPError as error:
            raise StoreError(
                f"no answer: {error}", code="SERVER_UNREACHABLE", place=Place(self.url), hint="is it running?"
            ) from error


def problem_of(response: httpx.Response) -> TwinmeshError:
    """The error that a problem+json answer tells."""
    try:
        body = cast("dict[str, Any]", response.json())
    except json.JSONDecodeError:
        body = {}
    code = str(body.get("code", f"HTTP_{response.status_code}"))
    message = str(body.get("detail") or body.get("title") or response.reason_phrase)
    kind = AccessError if response.status_code in (401, 403) else InputError
    return kind(message, code=code, hint=cast("str | None", body.get("hint")))


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except json.JSONDecodeError:
        body = None
    if not isinstance(body, dict) or not ("data" in body or "errors" in body):
        raise problem_of(response)
    return cast("dict[str, Any]", body)


def _error_of(errors: list[dict[str, Any]]) -> TwinmeshError:
    problems = [_problem(error) for error in errors]
    if problems[0].code in CODES_OF_ACCESS:
        return AccessError(problems[0].message, code=problems[0].code, hint=problems[0].hint)
    return InputError.of(problems)


def _problem(error: dict[str, Any]) -> Problem:
    extensions = cast("dict[str, Any]", error.get("extensions") or {})
    path = ".".join(str(part) for part in cast("list[object]", error.get("path") or []))
    code = str(extensions.get("code", "GRAPHQL_ERROR"))
    hint = cast("str | None", extensions.get("hint"))
    return Problem(code, str(error.get("message")), Place(item=path or None), hint)
