"""A real broker for tests, and waiting with a deadline."""

from __future__ import annotations

import socket
import subprocess
import time

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion


class Broker:
    """A mosquitto on one port that can be killed and started again, with its sessions kept on disk."""

    def __init__(self, program, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nlog_dest none\n"
            f"persistence true\npersistence_location {folder}/\n"
            "autosave_interval 1\nautosave_on_changes true\n"
            "max_queued_messages 0\nuser root\n"
        )
        self._program = program
        self.start()

    def start(self):
        self._process = subprocess.Popen([self._program, "-c", str(self._config)])
        wait_for(self._answers)

    def stop(self):
        self._process.terminate()
        self._process.wait(10)

    def publish(self, items, qos=1):
        client = Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        sent = [client.publish(topic, body, qos=qos) for topic, body in items]
        for message in sent:
            message.wait_for_publish(10)
        client.disconnect()
        client.loop_stop()

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


def wait_for(happened, timeout_s=60.0):
    until = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
