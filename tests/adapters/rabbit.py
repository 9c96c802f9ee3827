"""A RabbitMQ of the tests' own: node name, home, database, ports and port mapper."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import missing

READY_S_MAX = 120.0


def server_program() -> str:
    """The script of the package itself: the one on the PATH insists on a user of the system."""
    known = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    found = str(known) if known.is_file() else shutil.which("rabbitmq-server")
    if not found:
        missing("rabbitmq-server is not installed")
    return found or ""


class Rabbit:
    """A broker that can be killed and started again with what it holds."""

    def __init__(self, folder, secure=None):
        """secure: (CA file, certificate, key, user, password); then it listens by TLS alone."""
        self._folder = folder
        self._program = server_program()
        self._secure = secure is not None
        self.port, distribution, mapper = free_ports(3)
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "rabbit.conf").write_text(
            f"{self._listener(secure)}disk_free_limit.absolute = 50MB\n"
            "vm_memory_high_watermark.absolute = 400MB\n"
        )
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"twinmesh{self.port}@localhost",
            **({} if secure else {"RABBITMQ_NODE_PORT": str(self.port)}),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbit"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "absent.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(folder / "rabbit.pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        self._mapper = self._start_mapper(mapper)
        self.start()

    def start(self):
        output = (self._folder / "output").open("ab")
        self._process = subprocess.Popen(
            [self._program],
            env=self._environment,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        output.close()
        until = time.monotonic() + READY_S_MAX
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                pytest.fail(f"RabbitMQ did not start: {(self._folder / 'output').read_text()[-2_000:]}")
            time.sleep(0.2)

    def kill(self):
        """The whole session of the process: a script, and the Erlang machine below it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)

    def close(self):
        self.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait(30)

    def _listener(self, secure):
        if secure is None:
            return f"listeners.tcp.1 = 127.0.0.1:{self.port}\nloopback_users.guest = false\n"
        authority, certificate, key, user, password = secure
        return (
            f"listeners.tcp = none\nlisteners.ssl.1 = 127.0.0.1:{self.port}\n"
            f"ssl_options.cacertfile = {authority}\nssl_options.certfile = {certificate}\n"
            f"ssl_options.keyfile = {key}\nssl_options.verify = verify_none\n"
            f"default_user = {user}\ndefault_pass = {password}\n"
        )

    def _start_mapper(self, port):
        """Erlang's port mapper on a port of our own, so that none is left behind when we end."""
        program = shutil.which("epmd") or "/usr/bin/epmd"
        environment = {**os.environ, "ERL_EPMD_PORT": str(port), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        quiet = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
        return subprocess.Popen([program, "-relaxed_command_check"], env=environment, **quiet)

    def _line(self):
        line = socket.create_connection(("127.0.0.1", self.port), timeout=2)
        if not self._secure:
            return line
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only whether it is up
        return context.wrap_socket(line)

    def _answers(self):
        """It speaks AMQP: a header that no version has is answered with the one it speaks."""
        try:
            with self._line() as probe:
                probe.sendall(b"AMQP\x00\x00\x09\x00")
                return probe.recv(8) == b"AMQP\x00\x00\x09\x01"
        except OSError:
            return False


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
