"""The shape of the code: directions, sizes, and habits that are not wanted here."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("ontology", "graph", "simulation", "adapters", "federation", "api")
FILES = sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
LINES_PER_FILE_MAX = 500
LINES_PER_FUNCTION_MAX = 70
LINES_PER_KERNEL_MAX = 150
# Where any failure must be met: the outermost ASGI handler and the supervisor of background tasks.
BROAD_EXCEPT_ALLOWED = {"api/app.py", "api/supervisor.py"}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def is_kernel(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(
        "njit" in ast.unparse(decorator) or "kernel" in ast.unparse(decorator)
        for decorator in function.decorator_list
    )


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_code_to_check() -> None:
    assert len(FILES) > 40
    assert all((ROOT / name / "__init__.py").is_file() for name in PACKAGES)


def test_imports_go_one_way() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_functions_are_short(path: Path) -> None:
    sizes = {
        f"{f.name}:{f.lineno}": (f.end_lineno or f.lineno) - f.lineno + 1
        for f in functions(path)
        if not is_kernel(f)
    }
    kernels = {
        f"{f.name}:{f.lineno}": (f.end_lineno or f.lineno) - f.lineno + 1
        for f in functions(path)
        if is_kernel(f)
    }
    assert {name: size for name, size in sizes.items() if size > LINES_PER_FUNCTION_MAX} == {}
    assert {name: size for name, size in kernels.items() if size > LINES_PER_KERNEL_MAX} == {}


def test_files_are_short() -> None:
    sizes = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: size for name, size in sizes.items() if size > LINES_PER_FILE_MAX} == {}


def test_no_broad_except() -> None:
    found = {
        f"{relative(path)}:{node.lineno}"
        for path in FILES
        if relative(path) not in BROAD_EXCEPT_ALLOWED
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
    }
    assert found == set()


def test_decoders_are_made_at_import() -> None:
    """msgspec crashes the process where two threads meet a type of ours for the first time."""
    plain = {"dict", "list", "tuple", "str", "int", "float", "bytes", "bool", "object", "msgspec.Raw", "None"}
    found = {
        f"{relative(path)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in DECODES
        for keyword in node.keywords
        if keyword.arg == "type" and not names_in(keyword.value) <= plain
    }
    assert found == set()


def names_in(annotation: ast.expr) -> set[str]:
    text = ast.unparse(annotation)
    return {word for word in re.split(r"[^A-Za-z0-9_.]+", text) if word and word != "..."}


DECODES = {"msgspec.json.decode", "msgspec.msgpack.decode", "msgspec.yaml.decode", "msgspec.toml.decode"}


def test_own_imports_stand_at_the_top() -> None:
    """The command line imports its heavy parts inside its commands; nobody else hides an import."""
    found = {
        f"{relative(path)}:{node.lineno}"
        for path in FILES
        if not relative(path).startswith(("api/cli", "api/commands/"))
        for function in functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES
    }
    assert found == set()


def test_no_file_is_a_drawer_for_anything() -> None:
    assert [
        relative(path) for path in FILES if path.stem in {"utils", "util", "helpers", "misc", "common"}
    ] == []


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")
    assert [relative(path) for path in FILES if marks.search(path.read_text(encoding="utf-8"))] == []


def test_every_package_says_what_it_is() -> None:
    without = [name for name in PACKAGES if not ast.get_docstring(tree(ROOT / name / "__init__.py"))]
    assert without == []


def test_functions_are_annotated() -> None:
    bare = {
        f"{relative(path)}:{f.name}"
        for path in FILES
        for f in functions(path)
        if f.returns is None and not is_kernel(f)
    }
    assert bare == set()
