"""Live telemetry for the demo: an own broker on a free loopback port, and a thread that plays the devices."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from api.demo.points import DemoPoint

SERVICE_PATH = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"
START_S_MAX = 5.0
LOOPBACK = "127.0.0.1"


def find_broker() -> str | None:
    """Path of the mosquitto program, None where there is none."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=SERVICE_PATH)


@contextlib.contextmanager
def broker(program: str, folder: Path) -> Generator[int | None]:
    """A broker that only this machine reaches; gives its port, None where it would not start."""
    port = _free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} {LOOPBACK}\nallow_anonymous true\npersistence false\nlog_dest none\n")
    process = subprocess.Popen(
        [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield port if _answers(port, process) else None
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(START_S_MAX)
        process.kill()
        process.wait()


class Publisher:
    """Plays the devices: every point says its value of now, once every `period_s`."""

    def __init__(self, points: Sequence[DemoPoint], port: int, *, period_s: float = 2.0) -> None:
        self._points = tuple(points)
        self._period_s = period_s
        self._stop = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="twinmesh-demo-devices")
        self._client.connect(LOOPBACK, port)
        self._thread = threading.Thread(target=self._run, name="demo-devices", daemon=True)

    def start(self) -> None:
        self._client.loop_start()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(self._period_s + 1.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        while not self._stop.is_set():
            now_ns = time.time_ns()
            for point in self._points:
                self._client.publish(point.topic, point.payload(now_ns), qos=1)
            self._stop.wait(self._period_s)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + START_S_MAX
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=0.5):
            return True
        time.sleep(0.05)
    return False
