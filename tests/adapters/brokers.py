"""A real broker for tests, and waiting with a deadline."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.conftest import missing


class Broker:
    """A mosquitto on one port that can be killed and started again, with its sessions kept on disk."""

    def __init__(self, program, folder, security="allow_anonymous true\n", login=None):
        """security: lines of its configuration. login: (name, password, CA file) of `publish`, over TLS."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._login = login
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\n{security}log_dest none\n"
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
        self._process.wait(60)

    def kill(self):
        """kill -9: what it had not written to its disk is gone."""
        self._process.kill()
        self._process.wait(60)

    def publish(self, items, qos=1):
        client = Client(CallbackAPIVersion.VERSION2)
        if self._login is not None:
            name, password, authority = self._login
            client.tls_set(str(authority))
            client.username_pw_set(name, password)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        sent = [client.publish(topic, body, qos=qos) for topic, body in items]
        for message in sent:
            message.wait_for_publish(60)
        client.disconnect()
        client.loop_stop()

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


def secure_broker(program, folder, authority, users, rights, days=1):
    """A broker that speaks TLS alone, to users with a password, each for the topics of `rights` (mosquitto's
    own words). Its `publish` is the first user's. days: how long its certificate holds from now."""
    folder.mkdir()
    pair = authority.pair(folder.name, days=days)
    hasher = shutil.which("mosquitto_passwd")
    if not hasher:
        missing("mosquitto_passwd is not installed")
    passwords, allowed = folder / "passwords", folder / "rights"
    for path in (passwords, allowed):
        path.touch(0o600)
    allowed.write_text(rights)
    for name, password in users.items():
        subprocess.run([hasher, "-b", str(passwords), name, password], check=True, timeout=60)
    name, password = next(iter(users.items()))
    security = (
        f"allow_anonymous false\npassword_file {passwords}\nacl_file {allowed}\n"
        f"certfile {pair.certificate}\nkeyfile {pair.key}\n"
    )
    return Broker(program, folder, security, (name, password, authority.file))


def wait_for(happened, timeout_s=60.0):
    until = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
