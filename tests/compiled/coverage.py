"""What a run of operations has covered, and how much of it was truly compiled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from graphql import (
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
)

from tests.compiled.operations import Operation
from tests.compiled.oracle import Seen


@dataclass
class Coverage:
    """Counts over many operations. An operation counts as compiled where every execution of it was."""

    operations: int = 0
    executions: int = 0
    compiled_operations: int = 0
    compiled_executions: int = 0
    good_executions: int = 0  # without an error
    compiled_good: int = 0
    answer_bytes: int = 0
    texts: set[int] = field(default_factory=set)
    used: Counter[str] = field(default_factory=Counter)
    compiled_use: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)
    compiled_features: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)

    def add(self, operation: Operation, seen: Iterable[Seen]) -> None:
        all_seen = list(seen)
        self.operations += 1
        self.executions += len(all_seen)
        self.texts.add(hash(operation.text))
        self.used.update(operation.used)
        self.features.update(operation.features)
        self.answer_bytes += sum(len(each.body) for each in all_seen)
        for each in all_seen:
            self.codes.update(set(each.errors))
            self.compiled_executions += each.was_compiled
            self.good_executions += not each.errors
            self.compiled_good += each.was_compiled and not each.errors
        if all_seen and all(each.was_compiled for each in all_seen):
            self.compiled_operations += 1
            self.compiled_use.update(operation.used)
            self.compiled_features.update(operation.features)

    def report(self, schema: GraphQLSchema) -> str:
        """A few lines for the terminal."""
        fields, arguments = reachable(schema)
        lines = [
            f"{self.operations:,} operations ({len(self.texts):,} different texts), "
            f"{self.executions:,} executions, {self.answer_bytes / 1e6:,.1f} MB of answers, all byte-equal",
            f"truly compiled: {_share(self.compiled_operations, self.operations)} of operations, "
            f"{_share(self.compiled_executions, self.executions)} of executions, "
            f"{_share(self.compiled_good, self.good_executions)} of executions without an error",
            _line("fields of types", fields, self.used, self.compiled_use),
            _line("fields by name", _names(fields), _named(self.used), _named(self.compiled_use)),
            _line("arguments and input fields", arguments, self.used, self.compiled_use),
            "never asked: " + _without(fields, self.used),
            "never compiled: " + _without(fields, self.compiled_use),
            "features: " + _counts(self.features, self.compiled_features),
            "errors: " + ", ".join(f"{code} {count}" for code, count in sorted(self.codes.items())),
        ]
        return "\n".join(lines)


def reachable(schema: GraphQLSchema) -> tuple[set[str], set[str]]:
    """("Type.field", "Type.field(argument)" and "Input.field") of all that a query may ask."""
    fields: set[str] = set()
    arguments: set[str] = set()
    waiting, met = [schema.query_type], {schema.query_type.name if schema.query_type else ""}
    while waiting:
        type_ = waiting.pop()
        inner: list[object] = []
        if isinstance(type_, GraphQLObjectType | GraphQLInterfaceType):
            for name, item in type_.fields.items():
                fields.add(f"{type_.name}.{name}")
                arguments |= {f"{type_.name}.{name}({argument})" for argument in item.args}
                inner += [item.type, *(argument.type for argument in item.args.values())]
            if isinstance(type_, GraphQLInterfaceType):
                inner += list(schema.get_possible_types(type_))
            inner += list(type_.interfaces)
        elif isinstance(type_, GraphQLInputObjectType):
            arguments |= {f"{type_.name}.{name}" for name in type_.fields}
            inner += [item.type for item in type_.fields.values()]
        for each in inner:
            named = get_named_type(each)  # type: ignore[arg-type]
            if named.name not in met and not named.name.startswith("__"):
                met.add(named.name)
                waiting.append(named)  # type: ignore[arg-type]
    return fields, arguments


def _names(fields: Iterable[str]) -> set[str]:
    """`localId` of `AHUTwin.localId`; roots of kinds count as one."""
    return {_name(each) for each in fields}


def _name(used: str) -> str:
    owner, _, name = used.partition(".")
    if owner == "Query":
        fixed = {"node", "nodes", "twins", "search", "reachable", "paths", "aggregate", "sites", "simulation"}
        return f"Query.{name if name in fixed else 'kList' if name.endswith('List') else 'k'}"
    return name


def _named(used: Counter[str]) -> Counter[str]:
    return Counter({_name(each): 1 for each in used if "(" not in each})


def _line(what: str, known: set[str], used: Iterable[str], compiled: Iterable[str]) -> str:
    met, fast = known & set(used), known & set(compiled)
    return f"{what}: {len(met):,} of {len(known):,} asked, {len(fast):,} of them compiled"


def _without(fields: set[str], used: Counter[str]) -> str:
    return ", ".join(sorted(_names(fields) - _named(used).keys())) or "nothing"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _counts(found: Counter[str], compiled: Counter[str]) -> str:
    return ", ".join(f"{name} {count} ({compiled[name]})" for name, count in sorted(found.items()))
