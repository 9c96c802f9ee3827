"""`query` and `schema`: GraphQL to a folder or a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from graphql import (
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    build_client_schema,
    get_introspection_query,
    parse,
    print_schema,
)

from api.commands.console import EXIT_DONE, EXIT_PROBLEM, note, say, say_json
from api.commands.folders import open_to_read, open_to_write
from api.commands.service import respond, schema_text
from api.schema.changes import breaking_changes
from ontology.errors import InputError, UsageError
from ontology.errors import Place as Spot

if TYPE_CHECKING:
    from api.commands.place import Place


def run_query(place: Place, text: str, variables: str | None) -> int:
    """Print the response. Exit code 1 where it has errors; their codes go to stderr too."""
    given = _variables(variables)
    operation = _read(Path(text[1:])) if text.startswith("@") else text
    answer = place.server.graphql(operation, given) if place.server else _locally(place, operation, given)
    say_json(answer)
    errors = cast("list[dict[str, Any]]", answer.get("errors") or [])
    for error in errors:
        note(f"error: {error.get('extensions', {}).get('code', 'GRAPHQL_ERROR')}: {error['message']}")
    return EXIT_PROBLEM if errors else EXIT_DONE


def run_schema(place: Place, against: Path | None, *, as_json: bool) -> int:
    """Print the schema, or what it breaks for clients of an older one: then exit code 1."""
    text = _schema_text(place)
    if against is None:
        say_json({"schema": text}) if as_json else say(text)
        return EXIT_DONE
    try:
        broken = breaking_changes(_read(against), text)
    except (GraphQLSyntaxError, TypeError) as error:
        raise InputError(f"is no schema: {error}", code="SCHEMA_INVALID", place=Spot(str(against))) from error
    if as_json:
        say_json({"breaking": broken})
    else:
        say("\n".join(broken) or "nothing breaks")
    return EXIT_PROBLEM if broken else EXIT_DONE


def _schema_text(place: Place) -> str:
    if place.server is not None:
        asked = get_introspection_query(
            specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True
        )
        return print_schema(build_client_schema(cast("Any", place.server.data(asked))))
    with open_to_read(place.data_folder) as mesh:
        return schema_text(mesh)


def _locally(place: Place, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Questions follow a folder that somebody else may write; mutations must be its writer."""
    opened = open_to_write if _is_mutation(operation) else open_to_read
    with opened(place.data_folder) as mesh:
        return respond(mesh, operation, variables)


def _is_mutation(operation: str) -> bool:
    try:
        definitions = parse(operation).definitions
    except GraphQLSyntaxError:
        return False  # the engine will say what is wrong, and where
    return any(
        isinstance(node, OperationDefinitionNode) and node.operation is OperationType.MUTATION
        for node in definitions
    )


def _variables(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(_read(Path(text[1:])) if text.startswith("@") else text)
    except json.JSONDecodeError as error:
        raise UsageError(f"--variables is not JSON: {error}", code="VARIABLES_INVALID") from error
    if not isinstance(value, dict):
        raise UsageError("--variables must be a JSON object", code="VARIABLES_INVALID")
    return cast("dict[str, Any]", value)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("cannot be read as UTF-8", code="FILE_UNREADABLE", place=Spot(str(path))) from error
