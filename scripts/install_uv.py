"""Install uv by pip into a folder of its own: works without venv and where site-packages are guarded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def pip_is_missing() -> bool:
    return subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0


def main(target: Path) -> int:
    if pip_is_missing() and subprocess.run([sys.executable, "-m", "ensurepip", "--user"]).returncode != 0:
        print("setup: python3 has no pip (Debian: apt-get install python3-pip)", file=sys.stderr)
        return 1
    target.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
    return subprocess.run([*command, "--root-user-action=ignore", "--target", str(target), "uv"]).returncode


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
