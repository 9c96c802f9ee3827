"""The key of a folder: private, made once, never told."""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from joserfc.jwk import OKPKey

from federation.keys import KEY_FILE, PublicKey, is_fingerprint, own_key
from graph.backup import make_backup
from graph.mesh import Mesh
from ontology.errors import AccessError, StoreError
from ontology.schema import load_schema


def test_made_once_and_private(tmp_path: Path) -> None:
    before = os.umask(0)  # the mode must not hang on what the shell has set
    try:
        first = own_key(tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert own_key(tmp_path).fingerprint == first.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE], "no draft is left"
    assert is_fingerprint(first.fingerprint)


MAKE = """
import sys, pathlib
from federation.keys import own_key
print(own_key(pathlib.Path(sys.argv[1])).fingerprint)
"""


def test_processes_that_begin_at_once_have_one_key(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE, str(tmp_path)], cwd=root, stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    told = {process.communicate()[0].strip() for process in running}
    assert told == {own_key(tmp_path).fingerprint}
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    own_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(StoreError) as caught:
        own_key(tmp_path)
    assert caught.value.code == "KEY_EXPOSED"
    assert "chmod 600" in (caught.value.hint or "")


def secret_of(folder: Path) -> list[str]:
    """What of a key must be seen nowhere: its lines on disk and its secret number."""
    content = (folder / KEY_FILE).read_text()
    lines = [line for line in content.splitlines() if not line.startswith("-----")]
    return [*lines, str(OKPKey.import_key(content).as_dict(private=True)["d"])]


def test_a_damaged_key_is_refused_and_not_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = own_key(tmp_path)
    secrets = secret_of(tmp_path)
    told = [repr(key), str(key), f"{key}", repr(key.public)]
    path = tmp_path / KEY_FILE
    content = path.read_bytes()
    public = OKPKey.import_key(content).as_pem(private=False)
    for wrong in (b"", content[:60], content.replace(b"PRIVATE", b"PUBLIC"), public, b"\xff" * 100):
        path.write_bytes(wrong)
        with pytest.raises(StoreError) as caught:
            own_key(tmp_path)
        assert caught.value.code == "KEY_UNREADABLE"
        told += [str(caught.value), repr(caught.value.__cause__)]
    text = "\n".join(told) + caplog.text
    assert [secret for secret in secrets if secret in text] == []


def test_a_backup_has_neither_key_nor_a_part_of_it(tmp_path: Path) -> None:
    data, target = tmp_path / "data", tmp_path / "backup"
    schema = load_schema()
    with Mesh.open(data, schema) as mesh:
        mesh.create_site("campus")
    own_key(data)
    make_backup(data, target, schema)
    files = [path for path in target.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if path.name.startswith(KEY_FILE)] == []
    secrets = [secret.encode() for secret in secret_of(data)]
    assert [path for path in files if any(secret in path.read_bytes() for secret in secrets)] == []


@pytest.mark.parametrize("x", ["", "AA", "A" * 44, "*" * 43, "é" * 43])
def test_what_is_no_key_is_refused(x: str) -> None:
    with pytest.raises(AccessError) as caught:
        PublicKey.of(x)
    assert caught.value.code == "PEER_KEY_INVALID"


def test_a_key_cannot_be_pickled(tmp_path: Path) -> None:
    """What is sent to another process by accident must not carry it."""
    with pytest.raises(TypeError):
        pickle.dumps(own_key(tmp_path))
