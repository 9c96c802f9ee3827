"""Write docs/errors.md from the source: every stable code, what it says and where it comes from.

`--check` writes nothing and exits 1 if the document is not what the source says.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("ontology", "graph", "simulation", "adapters", "federation", "api")
CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|USAGE|INTERNAL|FORBIDDEN")
TEXTS_SHOWN = 3
HEADER = """# Error codes

Every error carries a stable code. On the command line: `error: CODE: place: message (hint: ...)` on stderr,
exit 1 (2 for wrong usage). In GraphQL: `extensions.code`. Over HTTP: problem+json with the same code.
Warnings of an import use codes too; they do not stop it.

Made by `scripts/make_error_docs.py` from the source; `{...}` stands for what was found.

| code | says | from |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Use:
    code: str
    text: str
    room: str


def uses_in(path: Path) -> Iterator[Use]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    room = path.relative_to(ROOT).parts[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (Use(code, message_of(node, code), room) for code in codes_of(node))
        elif isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None:
            named = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            if named == "default_code" and is_code(node.value):
                yield Use(ast.literal_eval(node.value), "", room)


def codes_of(call: ast.Call) -> list[str]:
    """Codes among the direct arguments of a call, through `a if b else c`."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    spread = [
        part
        for item in arguments
        for part in ([item.body, item.orelse] if isinstance(item, ast.IfExp) else [item])
    ]
    return [ast.literal_eval(item) for item in spread if is_code(item)]


def is_code(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(CODE.fullmatch(node.value))


def message_of(call: ast.Call, code: str) -> str:
    """The longest text among the arguments that is not the code: by our habit, the message."""
    texts = [text_of(item) for item in call.args]
    texts += [text_of(keyword.value) for keyword in call.keywords if keyword.arg == "message"]
    texts = [text for text in texts if " " in text and text != code]
    return max(texts, key=len, default="")


def text_of(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "{...}" for part in node.values)
    return ""


def sources(package: str) -> list[Path]:
    """The demo writes an IFC file, whose enumerations look like codes; it has no errors of its own."""
    return [path for path in sorted((ROOT / package).rglob("*.py")) if "demo" not in path.parts]


def document() -> str:
    uses = [use for name in PACKAGES for path in sources(name) for use in uses_in(path)]
    texts: dict[str, dict[str, None]] = defaultdict(dict)
    rooms: dict[str, dict[str, None]] = defaultdict(dict)
    for use in uses:
        if use.code.startswith(("TWINMESH_", "LC_", "OMP_", "MKL_", "OPENBLAS_")):
            continue
        rooms[use.code][use.room] = None
        if use.text:
            texts[use.code][use.text.replace("|", "\\|").replace("\n", " ")] = None
    rows = [
        f"| `{code}` | {'; '.join(list(texts[code])[:TEXTS_SHOWN])} | {', '.join(rooms[code])} |"
        for code in sorted(rooms)
    ]
    return HEADER + "\n".join(rows) + "\n"


def main(arguments: list[str]) -> int:
    target = ROOT / "docs" / "errors.md"
    made = document()
    if "--check" in arguments:
        return 0 if target.is_file() and target.read_text(encoding="utf-8") == made else 1
    target.write_text(made, encoding="utf-8")
    print(f"docs/errors.md: {made.count(chr(10) + '| `')} codes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
