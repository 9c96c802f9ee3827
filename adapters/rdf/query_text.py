"""What the text of a SPARQL query says of where it reads, without parsing it.

Comments, strings and IRIs are looked past, escapes of code points are undone as the language wants it. That
no service is called is held by the kernel (see `query_child`); here it is refused with a reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_ESCAPE: Final = re.compile(r"\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})")
_HIDDEN: Final = re.compile(
    r"""(?P<iri><[^<>"{}|^`\\\x00-\x20]*>)"""
    r"""|\"\"\"(?:[^"\\]|\\.|"(?!""))*\"\"\"|'''(?:[^'\\]|\\.|'(?!''))*'''"""
    r"""|"(?:[^"\\\n\r]|\\.)*"|'(?:[^'\\\n\r]|\\.)*'|\#[^\n\r]*""",
    re.DOTALL,
)
_SERVICE: Final = re.compile(r"(?<![\w?$:@.-])SERVICE(?![\w:.-])", re.IGNORECASE)
_FROM: Final = re.compile(r"(?<![\w?$:@.-])FROM(?:\s*(<\d+>)|\s+NAMED\s*(<\d+>)?|\s+[\w.-]*:)", re.IGNORECASE)
_CODE_POINT_MAX: Final = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Reads:
    """calls_service: another endpoint. names_graphs: it has `FROM`; `graphs` are those named by full IRIs."""

    calls_service: bool
    names_graphs: bool
    graphs: tuple[str, ...]


def reads_of(text: str) -> Reads:
    """Linear in the text."""
    iris: list[str] = []

    def hide(found: re.Match[str]) -> str:
        if found["iri"] is None:
            return " "
        iris.append(found["iri"][1:-1])
        return f"<{len(iris) - 1}>"

    plain = _HIDDEN.sub(hide, _ESCAPE.sub(_character, text))
    named = list(_FROM.finditer(plain))
    marks = [mark for found in named for mark in found.groups() if mark is not None]
    graphs = tuple(iris[int(mark[1:-1])] for mark in marks)
    return Reads(_SERVICE.search(plain) is not None, bool(named), graphs)


def _character(found: re.Match[str]) -> str:
    number = int(found[1] or found[2], 16)
    return chr(number) if number <= _CODE_POINT_MAX else " "
