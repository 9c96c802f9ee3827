"""Loads that cost little themselves: packets and requests are made before the clock starts.

python -m bench.live.sending mqtt PORT MESSAGES PER_MESSAGE      blast messages of QoS 0; 0: for others
python -m bench.live.sending http PORT REQUESTS LINES            post bodies on a few connections
python -m bench.live.sending steady PORT SECONDS                 every point once a second, evenly
python -m bench.live.sending flood PORT SECONDS                  messages of QoS 0, as fast as can be
"""

from __future__ import annotations

import os
import random
import selectors
import socket
import struct
import sys
import time

POINTS = 10_000
CHUNK_BYTES = 1 << 18
CONNECTIONS = 16
SLICES = 20  # of a second
HOST = "127.0.0.1"
START_NS = 1_768_219_200_000_000_000


def payload(draw: random.Random, number: int, per_message: int) -> bytes:
    """One reading, or lists of them."""
    if per_message <= 1:
        return b'{"value":%.2f,"time":%d}' % (draw.uniform(0, 100), START_NS + number * 1_000)
    values = ",".join(f"{draw.uniform(0, 100):.2f}" for _ in range(per_message))
    times = ",".join(str(START_NS + (number * per_message + i) * 1_000) for i in range(per_message))
    return f'{{"v":[{values}],"t":[{times}]}}'.encode()


def packet(topic: bytes, body: bytes) -> bytes:
    """A PUBLISH of QoS 0 (MQTT 3.1.1, section 3.3)."""
    rest = struct.pack("!H", len(topic)) + topic + body
    return b"\x30" + length_bytes(len(rest)) + rest


def length_bytes(length: int) -> bytes:
    found = bytearray()
    while True:
        length, digit = divmod(length, 128)
        found.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(found)


def connect(port: int, client_id: bytes = b"blast") -> socket.socket:
    """A connection to a broker that has been accepted."""
    found = socket.create_connection((HOST, port), timeout=60)
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack("!H", len(client_id)) + client_id
    found.sendall(b"\x10" + length_bytes(len(body)) + body)
    if found.recv(4)[:2] != b"\x20\x02":
        raise OSError("the broker refused")
    return found


def blast(port: int, messages: int, per_message: int) -> None:
    draw = random.Random(7)
    topic = {0: b"stock", 1: b"one"}.get(per_message, b"many")
    packets = [
        packet(topic + b"/p-%d" % (number % POINTS), payload(draw, number, per_message))
        for number in range(messages)
    ]
    data = b"".join(packets)
    with connect(port) as broker:
        print(f"began {time.time_ns()}", flush=True)
        for start in range(0, len(data), CHUNK_BYTES):
            broker.sendall(data[start : start + CHUNK_BYTES])
        broker.sendall(b"\xe0\x00")
    print(f"ended {time.time_ns()}", flush=True)


def steady(port: int, seconds: int) -> None:
    """Every point once a second, in slices; a value is the time at which it was sent, in seconds."""
    size = POINTS // SLICES
    with connect(port, b"steady") as broker:
        print(f"began {time.time_ns()}", flush=True)
        began_s = time.monotonic()
        for number in range(seconds * SLICES):
            time.sleep(max(0.0, began_s + number / SLICES - time.monotonic()))
            now_ns, first = time.time_ns(), number % SLICES * size
            text = b'{"value":%.6f,"time":%d}' % (now_ns / 1e9, now_ns)
            broker.sendall(
                b"".join([packet(b"one/p-%d" % point, text) for point in range(first, first + size)])
            )
        broker.sendall(b"\xe0\x00")
    print(f"ended {time.time_ns()}", flush=True)


def flood(port: int, seconds: int) -> None:
    """The same messages again and again; says how many there were."""
    draw = random.Random(7)
    pieces = [packet(b"one/p-%d" % point, payload(draw, point, 1)) for point in range(1, POINTS)]
    parts = [b"".join(pieces[start : start + 500]) for start in range(0, len(pieces), 500)]
    sent = 0
    with connect(port, b"flood-%d" % os.getpid()) as broker:
        print(f"began {time.time_ns()}", flush=True)
        ends_s = time.monotonic() + seconds
        while time.monotonic() < ends_s:
            for number, part in enumerate(parts):
                broker.sendall(part)
                sent += len(pieces[number * 500 : number * 500 + 500])
        broker.sendall(b"\xe0\x00")
    print(f"ended {time.time_ns()} {sent}", flush=True)


def body_of(draw: random.Random, request: int, lines: int) -> bytes:
    found: list[str] = []
    for i in range(lines):
        number = request * lines + i
        clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(START_NS / 1e9 + number // 1_000))
        found.append(
            f'{{"point":"p-{number % POINTS}","time":"{clock}.{number % 1000:03}Z",'
            f'"value":{draw.uniform(0, 100):.2f}}}'
        )
    return "\n".join(found).encode()


def request_of(body: bytes) -> bytes:
    head = f"POST /ingest HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/x-ndjson\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def post(port: int, requests: int, lines: int) -> None:
    """Requests one after the other on each connection; every answer is read and its counts added."""
    draw = random.Random(7)
    waiting = [request_of(body_of(draw, number, lines)) for number in range(requests)]
    selector, spent_s = selectors.DefaultSelector(), time.process_time()
    print(f"began {time.time_ns()}", flush=True)
    for _ in range(min(CONNECTIONS, requests)):
        found = socket.create_connection((HOST, port), timeout=60)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(found, selectors.EVENT_READ)
        found.sendall(waiting.pop())
    accepted = 0
    while selector.get_map():
        for key, _ in selector.select(60):
            accepted += accepted_of(answer(key.fileobj))
            if waiting:
                key.fileobj.sendall(waiting.pop())
            else:
                selector.unregister(key.fileobj)
                key.fileobj.close()
    print(f"ended {time.time_ns()} {accepted} {time.process_time() - spent_s:.3f}", flush=True)


def answer(found: socket.socket) -> bytes:
    """An answer to its end: head and body may come apart."""
    text = found.recv(1 << 16)
    while text.startswith(b"HTTP/1.1 200") and not text.endswith(b"}"):
        more = found.recv(1 << 16)
        if not more:
            break
        text += more
    return text


def accepted_of(answer: bytes) -> int:
    """How many readings an answer says were taken. OSError where it is a refusal."""
    head, _, text = answer.partition(b'{"accepted":')
    if not head.startswith(b"HTTP/1.1 200") or not text:
        raise OSError(f"refused: {answer[:300]!r}")
    return int(text.partition(b",")[0])


if __name__ == "__main__":
    way, *numbers = sys.argv[1:]
    {"mqtt": blast, "http": post, "steady": steady, "flood": flood}[way](*map(int, numbers))
