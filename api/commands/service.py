"""Asking a mesh of this process by GraphQL: the same engine that a server runs, without the network."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

from graphql import print_schema

from api.app import create_app
from api.engine import Request
from api.policy import LOCAL
from ontology.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from api.engine import Engine
    from graph.mesh import Mesh


@contextlib.contextmanager
def engine_of(mesh: Mesh) -> Generator[Engine]:
    """An engine over an open mesh, for somebody who may all."""
    engine = cast("Engine", create_app(mesh, dev=True).state.engine)
    try:
        yield engine
    finally:
        engine.services.simulations.close()
        engine.close()


def respond(mesh: Mesh, text: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The GraphQL response to one operation, errors and all."""
    with engine_of(mesh) as engine:
        return asyncio.run(engine.run(Request(text, variables), LOCAL)).plain


def ask(mesh: Mesh, text: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The data of one operation that must not fail."""
    answer = respond(mesh, text, variables)
    if answer.get("errors"):
        raise InputError(str(answer["errors"][0]["message"]), code="QUERY_FAILED")
    return cast("dict[str, Any]", answer["data"])


def schema_text(mesh: Mesh) -> str:
    """The schema in its definition language."""
    with engine_of(mesh) as engine:
        return print_schema(engine.current_schema())
