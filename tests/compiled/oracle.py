"""The other way to answer: graphql-core's own executor over the resolvers. And the comparison, by bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from graphql import ExecutionResult, execute_sync, parse

from api.failures import graphql_errors
from api.operation import Answer, Request, encode
from api.policy import Principal
from api.schema.context import RequestContext
from tests.compiled.operations import Operation
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
    """Run an operation in all its rounds, the first one twice (cold, warm). Different where bytes differ."""
    for number, (request, principal) in enumerate(rounds(world, operation)):
        result = resolved(world, request, principal, operation.limits)
        for _ in range(2 if number == 0 else 1):
            answer = answerer(world, request, principal, operation.limits)
            yield judged(request, f"as {principal.name}, limits {operation.limits}", answer, result)


def judged(request: Request, told: str, answer: Answer, result: ExecutionResult) -> Seen:
    """What an answer is like; Different where it is not what the resolvers gave.

    What the limits refuse before it runs, the resolvers alone would answer: it is only counted.
    """
    expected, body = body_of(result, answer.result.extensions), encode(answer.formatted)
    codes = tuple(str((error.extensions or {}).get("code")) for error in answer.result.errors or ())
    is_refused = not answer.started and codes == ("QUERY_TOO_COSTLY",)
    if body != expected and not is_refused:
        raise Different(_shown(request, told, body, expected))
    return Seen(body, answer.data_bytes is not None, answer.started, codes)


def body_of(result: ExecutionResult, extensions: Mapping[str, Any] | None) -> bytes:
    """What HTTP would send of a result. The extensions are not judged: they are taken from the answer."""
    errors = graphql_errors(result.errors) if result.errors else None
    started = not (errors and result.data is None and all(error.path is None for error in errors))
    told = ExecutionResult(result.data, errors, dict(extensions) if extensions else None)
    return encode(Answer(told, started).formatted)


def resolved(world: World, request: Request, principal: Principal, limits: str) -> ExecutionResult:
    """The result of graphql-core's executor, nothing of the engine in it but the schema."""
    result = execute_sync(
        world.engines[limits].current_schema(),
        parse(request.query),
        context_value=RequestContext(world.services[limits], principal),
        variable_values=dict(request.variables),
        operation_name=request.operation_name,
    )
    return cast("ExecutionResult", result)


def rounds(world: World, operation: Operation) -> Iterator[tuple[Request, Principal]]:
    """What is sent: as drawn, with a directive turned round, with cursors of the answer, by another."""
    variables, principal = dict(operation.variables), operation.principal

    def request(**changed: Any) -> Request:
        return Request(operation.text, {**variables, **changed}, operation.name)

    yield request(), principal
    for flip in operation.flips[:1]:
        yield request(**{flip: not variables.get(flip, False)}), principal
    if operation.slots:
        data = resolved(world, request(), principal, "wide").data
        for pick in (0, -1):
            cursors = {
                slot.variable: found[pick]
                for slot in operation.slots
                if (found := _cursors(data, (*slot.path, slot.info)))
            }
            if cursors:
                yield request(**cursors), principal
    if operation.other is not None:
        yield request(), operation.other


def _cursors(data: Any, path: tuple[str, ...]) -> list[str]:
    """The cursors of all pageInfos at a path of response keys."""
    if isinstance(data, list):
        return [cursor for item in data for cursor in _cursors(item, path)]
    if not isinstance(data, dict):
        return []
    if path:
        return _cursors(data.get(path[0]), path[1:])
    return [data[name] for name in ("startCursor", "endCursor") if data.get(name)]


def _shown(request: Request, told: str, body: bytes, expected: bytes) -> str:
    pairs = enumerate(zip(body, expected, strict=False))
    ends = min(len(body), len(expected))
    place = next((place for place, (one, other) in pairs if one != other), ends)
    low = max(0, place - 200)
    return (
        f"{told}\n{request.query}\n"
        f"variables {dict(request.variables)!r} name {request.operation_name!r}\n"
        f"differs at byte {place}\n  engine    ...{body[low : place + 200]!r}\n"
        f"  resolvers ...{expected[low : place + 200]!r}"
    )
