"""Settings: file and environment, unknown keys, types, secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.config import Settings, load_settings, masked
from ontology.errors import InputError


def written(folder: Path, text: str) -> Path:
    path = folder / "twinmesh.toml"
    path.write_text(text)
    return path


def codes(caught: pytest.ExceptionInfo[InputError]) -> list[str]:
    return [problem.code for problem in caught.value.problems]


def test_defaults_without_anything() -> None:
    assert load_settings() == Settings()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "[limits]\ncost_max = 5\nwall_s = 2\n[server]\nhosts = ['a.example']")
    settings = load_settings(
        path, {"TWINMESH_LIMITS__COST_MAX": "7", "TWINMESH_SERVER__HOSTS": '["b"]', "HOME": "/"}
    )
    assert (settings.limits.cost_max, settings.limits.wall_s, settings.server.hosts) == (7, 2.0, ("b",))


def test_every_unknown_key_is_named_with_a_hint(tmp_path: Path) -> None:
    path = written(tmp_path, "[limits]\ncost_mx = 5\n[sever]\nport = 1")
    with pytest.raises(InputError) as caught:
        load_settings(path, {"TWINMESH_LIMITS__TOKEN_MAX": "7", "TWINMESH_LIMITS_COST_MAX": "1"})
    assert codes(caught) == ["CONFIG_UNKNOWN_KEY"] * 4
    assert "limits.cost_max" in str([problem.hint for problem in caught.value.problems])


@pytest.mark.parametrize(
    "line", ["cost_max = 'x'", "cost_max = 1.5", "cost_max = true", "cost_max = -1", "wall_s = 'soon'"]
)
def test_a_wrong_type_is_an_error(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError) as caught:
        load_settings(written(tmp_path, f"[limits]\n{line}"))
    assert codes(caught) == ["CONFIG_WRONG_TYPE"]


def test_a_secret_comes_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("tm_1_secret\n")
    settings = load_settings(None, {"TWINMESH_AUTH__ADMIN_TOKEN_FILE": str(tmp_path / "token")})
    assert settings.auth.admin_token == "tm_1_secret"
    assert "secret" not in str(masked(settings)["auth"]["admin_token"])
    with pytest.raises(InputError) as caught:
        load_settings(None, {"TWINMESH_AUTH__ADMIN_TOKEN_FILE": str(tmp_path / "absent")})
    assert codes(caught) == ["CONFIG_UNREADABLE"]


def test_other_variables_of_our_prefix_are_left_alone(tmp_path: Path) -> None:
    environment = {"TWINMESH_TOKEN": "tm_x", "TWINMESH_REQUIRE_ALL": "1", "TWINMESH_SEED": "7"}
    assert load_settings(written(tmp_path, "format = 1\n"), environment) == Settings()


def test_sections_of_others_are_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "[sites.campus]\nbase = 'https://x.invalid/'")
    assert load_settings(path, {"TWINMESH_SITES__X": "1"}, foreign=("sites",)) == Settings()
    with pytest.raises(InputError):
        load_settings(path)


@pytest.mark.parametrize(("text", "code"), [("x = ", "CONFIG_SYNTAX"), ("limits = 3", "CONFIG_WRONG_TYPE")])
def test_broken_files(tmp_path: Path, text: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        load_settings(written(tmp_path, text))
    assert codes(caught) == [code]
    with pytest.raises(InputError):
        load_settings(tmp_path / "absent.toml")
