"""The command line: what it costs to start, what is wrong usage, and what each verb says when it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "strawberry",
    "numba",
    "ifcopenshell",
    "pyoxigraph",
    "rdflib",
    "starlette",
    "uvicorn",
    "numpy",
    "graphql",
    "asyncua",
)
VERBS = [
    "backup",
    "bench",
    "bind",
    "check",
    "demo",
    "doctor",
    "export",
    "import",
    "migrate",
    "peers",
    "query",
    "restore",
    "routes",
    "schema",
    "serve",
    "simulate",
    "tokens",
    "verify",
    "watch",
]


def twinmesh(*words, **options):
    program = [str(Path(sys.executable).parent / "twinmesh"), *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True, timeout=120, check=False, **options)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['twinmesh', '--help']\n"
        "from api.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('HEAVY', [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_help_names_every_verb_and_no_other():
    shown = twinmesh("--help").stdout.split("Commands:")[1]
    assert sorted(line.split()[0] for line in shown.strip().splitlines()) == VERBS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nonsense"], "No such command"),
        (["import"], "FILE"),
        (["import", "a.csv", "--data", "x"], "--site"),
        (["simulate", "--data", "x"], "SCENARIO_MISSING"),
        (["simulate", "--data", "x", "--fail", "a", "--scenario", "b.json"], "SCENARIO_MISSING"),
        (["simulate", "--data", "x", "--scenario", "b.json", "--repair-hours", "1"], "REPAIR_WITHOUT_FAIL"),
        (["simulate", "--data", "x", "--fail", "a", "--runs", "zero"], "--runs"),
        (["query", "{ sites { name } }"], "PLACE_MISSING"),
        (["query", "{ sites { name } }", "--data", "x", "--url", "http://h"], "PLACE_TWICE"),
        (["query", "{ sites { name } }", "--url", "h:8000"], "URL_INVALID"),
        (["export", "--data", "x", "--format", "tll"], "did you mean ttl?"),
        (["bench", "nonsense"], "BENCH_UNKNOWN"),
        (["tokens", "create", "--name", "bob", "--data", ".", "--role", "admn"], "did you mean admin?"),
        (["serve", "--data", "x", "--dev", "--host", "0.0.0.0"], "DEV_OFF_LOOPBACK"),
        (["demo", "--port", "70000"], "--port"),
    ],
)
def test_wrong_usage_is_exit_code_2(words, said, tmp_path):
    done = twinmesh(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["export", "--data", "absent", "--format", "nq"], "STORE_MISSING"),
        (["query", "{ sites { name } }", "--data", "absent"], "STORE_MISSING"),
        (["simulate", "--data", "absent", "--fail", "x"], "STORE_MISSING"),
        (["check", "--data", "absent"], "STORE_MISSING"),
        (["verify", "--data", "absent"], "STORE_MISSING"),
        (["schema", "--data", "absent"], "STORE_MISSING"),
        (["watch", "--data", "absent"], "STORE_MISSING"),
        (["tokens", "list", "--data", "absent"], "STORE_MISSING"),
        (["simulate", "--data", "absent", "--scenario", "absent.json"], "FILE_UNREADABLE"),
        (["query", "{ sites { name } }", "--url", "http://127.0.0.1:9"], "SERVER_UNREACHABLE"),
    ],
)
def test_a_problem_is_exit_code_1_with_a_stable_code_and_one_json_document(words, code, tmp_path):
    done = twinmesh(*words, "--json", cwd=tmp_path)
    assert done.returncode == 1, done
    assert done.stderr.startswith(f"error: {code}: ")
    assert [problem["code"] for problem in json.loads(done.stdout)["errors"]] == [code]
    assert list(tmp_path.iterdir()) == []


def test_a_scenario_that_is_no_json_is_placed(tmp_path):
    (tmp_path / "s.json").write_text('{"events": [\n  nonsense]}')
    done = twinmesh("simulate", "--data", tmp_path, "--scenario", "s.json", cwd=tmp_path)
    assert done.returncode == 1
    assert "SCENARIO_SYNTAX: s.json:2:3" in done.stderr


def test_doctor_finds_this_environment_fit():
    done = twinmesh("doctor", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["healthy"]) == (0, True)
    names = {finding["name"] for finding in report["findings"]}
    assert {"python", "packages", "numpy", "ifcopenshell", "mosquitto"} <= names


def test_doctor_notices_a_stranger_in_our_place(tmp_path):
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "__init__.py").write_text("")
    code = "from api.commands.doctor import run_doctor; raise SystemExit(run_doctor(as_json=True))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    findings = json.loads(done.stdout)["findings"]
    (layout,) = [finding for finding in findings if finding["name"] == "packages"]
    assert (done.returncode, layout["state"]) == (1, "problem")
    assert str(tmp_path) in layout["detail"]


def test_tokens_are_made_listed_and_revoked(tmp_path):
    (tmp_path / "twinmesh.toml").write_text("format = 1\n")
    made = twinmesh(
        "tokens", "create", "--name", "ops", "--data", tmp_path, "--role", "operator", "--site", "a", "--json"
    )
    text = json.loads(made.stdout)["token"]
    listed = json.loads(twinmesh("tokens", "list", "--data", tmp_path, "--json").stdout)["tokens"]
    assert [(t["name"], t["role"], t["sites"], t["state"]) for t in listed] == [
        ("ops", "operator", ["a"], "live")
    ]
    assert text not in json.dumps(listed)
    assert twinmesh("tokens", "revoke", "ops", "--data", tmp_path).returncode == 0
    listed = json.loads(twinmesh("tokens", "list", "--data", tmp_path, "--json").stdout)["tokens"]
    assert [token["state"] for token in listed] == ["revoked"]
    assert twinmesh("tokens", "revoke", "ops", "--data", tmp_path).returncode == 1


def test_a_server_without_opc_ua_does_not_import_its_library():
    code = (
        "import sys\n"
        "import api.commands.serve, api.commands.sources, adapters.formats\n"
        "print('asyncua' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
