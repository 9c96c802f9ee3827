"""The sandbox: results come back whole, errors as raised, limits hold, nothing stays behind."""

from __future__ import annotations

import io
import pickle
import socket
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from adapters.sandbox import RecordUnpickler, run_limited
from ontology.errors import InputError, NotFoundError

# The child imports the functions it runs by name, which test modules (import mode "importlib") do not have.
sys.path.append(str(Path(__file__).parent))
import sandbox_helpers as helpers


def children() -> set[str]:
    """Process ids of this process's children, zombies included."""
    return {
        pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()
    }


@pytest.fixture(autouse=True)
def nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No child, no zombie, no folder: other programs' temporary files lie elsewhere."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = children()
    yield
    assert children() <= before
    assert list(temporary.iterdir()) == []


def test_a_result_comes_back_equal(tmp_path: Path) -> None:
    here = helpers.parsed(tmp_path / "f.csv")
    there = run_limited(helpers.parsed, tmp_path / "f.csv")
    assert (there.twins, there.relationships, there.path) == (here.twins, here.relationships, here.path)
    assert there.readings is not None
    assert here.readings is not None
    assert there.readings.values == here.readings.values
    assert np.array_equal(there.readings.times_ns, here.readings.times_ns)
    assert there.readings.quality.dtype == np.uint8


@pytest.mark.parametrize("value", [None, 1, "ä", [1.5, {"a": (True,)}], {"x": frozenset({1})}, b"\0"])
def test_plain_values_pass(value: object) -> None:
    assert run_limited(helpers.echo, value) == value


def test_an_input_error_keeps_all_its_problems() -> None:
    with pytest.raises(InputError) as caught:
        run_limited(helpers.refuse)
    assert [str(problem) for problem in caught.value.problems] == [
        "ONE: f.csv:3: first (hint: look)",
        "TWO: second",
    ]
    assert str(caught.value) == "ONE: f.csv:3: first (hint: look)"


def test_other_errors_of_the_tree_keep_their_class() -> None:
    with pytest.raises(NotFoundError) as caught:
        run_limited(helpers.not_found)
    assert (caught.value.code, caught.value.hint) == ("KIND_UNKNOWN", "did you mean brick:AHU?")


def test_a_foreign_exception_is_a_crash_with_its_last_line() -> None:
    with pytest.raises(InputError, match=r"ZeroDivisionError: of a kind that nobody foresaw") as caught:
        run_limited(helpers.fail)
    assert caught.value.code == "IMPORT_CRASHED"


@pytest.mark.parametrize("call", [(helpers.abort,), (helpers.leave, 3), (helpers.leave, 0)])
def test_any_other_end_is_a_crash(call: tuple) -> None:
    with pytest.raises(InputError) as caught:
        run_limited(*call)
    assert caught.value.code == "IMPORT_CRASHED"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("call", "limits", "reason"),
    [
        ((helpers.hoard,), {"memory_mb": 1024}, "memory"),
        ((helpers.spin,), {"cpu_s": 1}, "processor time"),
        ((helpers.sleep,), {"wall_s": 1.0}, "wall-clock time"),
        ((helpers.sleep_after_closing_output,), {"wall_s": 1.0}, "wall-clock time"),
        ((helpers.large, 3 << 20), {"result_mb": 2}, "size of the result"),
        ((helpers.write_large, 3 << 20), {"result_mb": 2}, "space on disk"),
    ],
)
def test_limits_hold_and_say_which(call: tuple, limits: dict, reason: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        run_limited(*call, **limits)
    assert caught.value.code == "IMPORT_LIMIT"
    assert reason in caught.value.message


def test_the_error_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        run_limited(helpers.fail_on, tmp_path / "bad.ifc")
    assert caught.value.place.path == str(tmp_path / "bad.ifc")


def test_prints_of_libraries_do_not_reach_the_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_limited(helpers.chatter) == "kept apart"
    assert capfd.readouterr().out == ""


def test_no_network_from_python() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(InputError, match="importers have no network"),
    ):
        run_limited(helpers.connect, server.getsockname()[1])


def test_no_network_beneath_python() -> None:
    if run_limited(helpers.network_namespace) == str(Path("/proc/self/ns/net").readlink()):
        pytest.skip("this kernel grants no network namespace; only Python's sockets are closed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert run_limited(helpers.connect_without_python, server.getsockname()[1]) != 0


def test_the_environment_stays_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINMESH_SECRET", "s3cret")
    seen = run_limited(helpers.environment)
    assert not [name for name in seen if name.startswith("TWINMESH")]


def test_temporary_files_are_removed() -> None:
    assert not Path(run_limited(helpers.scratch)).exists()


def test_grandchildren_die_when_the_child_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run_limited(helpers.sleep_with_grandchild, str(tmp_path / "pid"), wall_s=2.0)
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):  # it is reaped by init, in its own time
        if not _runs(pid):
            break
        time.sleep(0.02)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_an_answer_cannot_run_code_here(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"posix\.system is no record") as caught:
        run_limited(helpers.payload, str(tmp_path / "touched"))
    assert caught.value.code == "IMPORT_CRASHED"
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", ["os", "ctypes.CDLL", "dataclass", "Place", "main"])
def test_an_answer_cannot_reach_through_a_record_module(name: str) -> None:
    module = b"adapters.child"
    named = (
        b"\x80\x04\x8c"
        + bytes([len(module)])
        + module
        + b"\x8c"
        + bytes([len(name)])
        + name.encode()
        + b"\x93."
    )
    with pytest.raises(pickle.UnpicklingError, match="is no record"):
        RecordUnpickler(io.BytesIO(named)).load()
