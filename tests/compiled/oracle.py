"""The other way to answer: graphql-core's own executor over the resolvers. And the comparison, by bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from graphql import ExecutionResult, execute_sync, parse

from api.failures import graphql_errors
from api.operation import Answer, Request, encode
from api.policy import Principal
from api.schema.context import RequestContext
from tests.compiled.composing import Operation
from tests.compiled.world import World

Answerer: TypeAlias = Callable[[World, Request, Principal, str], Answer]


@dataclass(frozen=True, slots=True)
class Seen:
    """One execution as it was answered."""

    body: bytes
    was_compiled: bool
    started: bool
    errors: tuple[str, ...]  # codes


class Different(AssertionError):
    """The two ways gave different bytes."""


def ask_engine(world: World, request: Request, principal: Principal, limits: str) -> Answer:
    """The answer that a client gets, compiled where it can be."""
    return world.ask(request, principal, limits)


def compared(world: World, operation: Operation, answerer: Answerer = ask_engine) -> Iterator[Seen]:
    """Run an operation in all its rounds, the first one twice (cold, warm). Different, with both bodies."""
    for number, variables in enumerate(rounds(world, operation)):
        request = Request(operation.text, variables, operation.name)
        result = resolved(world, request, operation)
        for _ in range(2 if number == 0 else 1):
            answer = answerer(world, request, operation.principal, operation.limits)
            expected = body_of(result, answer.result.extensions)
            body = encode(answer.formatted)
            if body != expected:
                raise Different(_told(request, operation, body, expected))
            codes = tuple(str((error.extensions or {}).get("code")) for error in answer.result.errors or ())
            was_compiled = getattr(answer, "data_bytes", None) is not None
            yield Seen(body, was_compiled, answer.started, codes)


def body_of(result: ExecutionResult, extensions: Mapping[str, Any] | None) -> bytes:
    """What HTTP would send of a result. The extensions are not judged: they are taken from the answer."""
    errors = graphql_errors(result.errors) if result.errors else None
    started = not (errors and result.data is None and all(error.path is None for error in errors))
    told = ExecutionResult(result.data, errors, dict(extensions) if extensions else None)
    return encode(Answer(told, started).formatted)


def resolved(world: World, request: Request, operation: Operation) -> ExecutionResult:
    """The result of graphql-core's executor, nothing of the engine in it but the schema."""
    context = RequestContext(world.services[operation.limits], operation.principal)
    result = execute_sync(
        world.engines[operation.limits].current_schema(),
        parse(request.query),
        context_value=context,
        variable_values=dict(request.variables),
        operation_name=request.operation_name,
    )
    return cast("ExecutionResult", result)


def rounds(world: World, operation: Operation) -> Iterator[dict[str, Any]]:
    """The variables to send: as drawn, with directives the other way round, with cursors of the answer."""
    variables = dict(operation.variables)
    yield variables
    for flip in operation.flips[:1]:
        yield {**variables, flip: not variables.get(flip, False)}
    if operation.slots:
        request = Request(operation.text, variables, operation.name)
        data = resolved(world, request, replace(operation, limits="wide")).data
        for pick in (0, -1):
            cursors = {
                slot.variable: found[pick]
                for slot in operation.slots
                if (found := _cursors(data, (*slot.path, slot.info)))
            }
            if cursors:
                yield {**variables, **cursors}


def _cursors(data: Any, path: tuple[str, ...]) -> list[str]:
    """The cursors of all pageInfos at a path of response keys."""
    if isinstance(data, list):
        return [cursor for item in data for cursor in _cursors(item, path)]
    if not isinstance(data, dict):
        return []
    if path:
        return _cursors(data.get(path[0]), path[1:])
    return [data[name] for name in ("startCursor", "endCursor") if data.get(name)]


def _told(request: Request, operation: Operation, body: bytes, expected: bytes) -> str:
    place = next(
        (i for i, (a, b) in enumerate(zip(body, expected, strict=False)) if a != b),
        min(len(body), len(expected)),
    )
    low = max(0, place - 200)
    return (
        f"as {operation.principal.name}, limits {operation.limits}\n{request.query}\n"
        f"variables {dict(request.variables)!r} name {request.operation_name!r}\n"
        f"differs at byte {place}\n  engine    ...{body[low : place + 200]!r}\n"
        f"  resolvers ...{expected[low : place + 200]!r}"
    )
