"""The tests that failed in the last run, once more and one after the other.

Many tests here start real servers, brokers and networks on a machine of two cores that runs two tests at a
time. What fails there and passes alone is no proof of a defect, and none of health either: it is named as
unstable, for somebody to mend. What fails again fails the run; so do more failures than chance explains.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

AGAIN_MAX = 5
LAST_FAILED = Path(".pytest_cache/v/cache/lastfailed")


def main() -> int:
    failed = sorted(json.loads(LAST_FAILED.read_text("utf-8"))) if LAST_FAILED.exists() else []
    if not failed or len(failed) > AGAIN_MAX:
        print(f"again: {len(failed)} tests failed; 1 to {AGAIN_MAX} are run again", flush=True)
        return 1
    code = subprocess.run([sys.executable, "-m", "pytest", "-n", "0", *failed], check=False).returncode
    if code == 0:
        for name in failed:
            print(f"UNSTABLE: failed beside others, passed alone: {name}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
