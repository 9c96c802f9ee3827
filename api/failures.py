"""Errors on their way out: the same stable codes at every door, nothing of the inside.

GraphQL: `extensions.code`, `hint`, `place`. HTTP: problem+json (RFC 9457) with `code` and `hint`.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final

from graphql import GraphQLError, GraphQLSyntaxError
from starlette.responses import JSONResponse

from ontology.errors import (
    AccessError,
    ConflictError,
    LimitError,
    NotFoundError,
    StoreError,
    TwinmeshError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.responses import Response

_LOG = logging.getLogger("twinmesh.api")
_DID_YOU_MEAN = re.compile(r" Did you mean .*\?$")
_STATUS: Final[tuple[tuple[type[TwinmeshError], int], ...]] = (
    (AccessError, 403),
    (NotFoundError, 404),
    (ConflictError, 409),
    (LimitError, 429),
    (StoreError, 503),
)
_STATUS_OF_CODE: Final = {
    "UNAUTHENTICATED": 401,
    "TOKEN_INVALID": 401,
    "TOKEN_EXPIRED": 401,
    "TOKEN_REVOKED": 401,
    "INTERNAL": 500,
    "OVERLOADED": 503,
    "BODY_TOO_LARGE": 413,
    "METHOD_NOT_ALLOWED": 405,
    "NOT_ACCEPTABLE": 406,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "HOST_REFUSED": 421,
    # As the SPARQL 1.1 Protocol has it: a legal query that was not run to its end.
    "SPARQL_TIMEOUT": 500,
    "SPARQL_MEMORY": 500,
    "SPARQL_RESULT_TOO_LARGE": 500,
    "SPARQL_TOO_LARGE": 500,
    "SPARQL_FAILED": 500,
    "PUSHDOWN_UNSUPPORTED": 501,
    "STORE_LOCKED": 421,  # the process that writes is another one; the hint has its URL
}
ERRORS_MAX: Final = 100


def graphql_errors(errors: Sequence[GraphQLError], *, suggest: bool = True) -> list[GraphQLError]:
    """Errors of an operation as they may be sent. Unknown ones are logged and masked."""
    return [graphql_error(error, suggest=suggest) for error in errors[:ERRORS_MAX]]


def graphql_error(error: GraphQLError, *, suggest: bool = True) -> GraphQLError:
    cause = error.original_error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    if isinstance(cause, TwinmeshError):
        return _located(error, str(cause.message), problem_extensions(cause))
    if cause is not None and not isinstance(cause, GraphQLError):
        _LOG.error("internal error at %s", error.path, exc_info=cause)
        return _located(error, "internal error", {"code": "INTERNAL"})
    message = error.message if suggest else _DID_YOU_MEAN.sub("", error.message)
    return _located(error, message, {"code": _code_of(error), **(error.extensions or {})})


def error_of(problem: TwinmeshError) -> GraphQLError:
    """A refusal of a whole request."""
    return GraphQLError(problem.message, extensions=problem_extensions(problem))


def problem_extensions(error: TwinmeshError) -> dict[str, Any]:
    extensions: dict[str, Any] = {"code": error.code}
    if error.hint:
        extensions["hint"] = error.hint
    if str(error.place):
        extensions["place"] = str(error.place)
    if len(error.problems) > 1:
        extensions["problems"] = [
            {"code": each.code, "message": each.message, "place": str(each.place), "hint": each.hint}
            for each in error.problems[:ERRORS_MAX]
        ]
    return extensions


def status_of(error: TwinmeshError) -> int:
    """The HTTP status of an error at a plain HTTP door."""
    if error.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[error.code]
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 400)


def problem_response(error: TwinmeshError) -> Response:
    """An error as application/problem+json."""
    status = status_of(error)
    headers = {"WWW-Authenticate": 'Bearer realm="twinmesh"'} if status == 401 else None
    body = {
        "type": "about:blank",
        "title": error.code.replace("_", " ").lower(),
        "status": status,
        "detail": error.message,
        **problem_extensions(error),
    }
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def _located(error: GraphQLError, message: str, extensions: dict[str, Any]) -> GraphQLError:
    return GraphQLError(
        message, nodes=error.nodes, source=error.source, positions=error.positions, path=error.path,
        extensions=extensions,
    )  # fmt: skip


def _code_of(error: GraphQLError) -> str:
    if isinstance(error, GraphQLSyntaxError):
        return "GRAPHQL_SYNTAX"
    return "GRAPHQL_INVALID" if error.path is None else "GRAPHQL_EXECUTION"
