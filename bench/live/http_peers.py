"""What a plain server makes of the same bodies: python -m bench.live.http_peers starlette|raw PORT

The body is decoded by msgspec into structs and its values go into a numpy column by point. Nothing is
checked, judged, authenticated or kept: nothing is durable. `starlette`: a route of it; `raw`: ASGI without a
framework.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench.live.sending import HOST, POINTS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send


class Line(msgspec.Struct, gc=False):
    point: str
    time: str
    value: float


LINES = msgspec.json.Decoder(Line)


class Columns:
    """The last value of each point."""

    def __init__(self) -> None:
        self.rows = {f"p-{number}": number for number in range(POINTS)}
        self.values = np.zeros(POINTS)

    def take(self, body: bytes) -> int:
        lines = LINES.decode_lines(body)
        rows = [self.rows[line.point] for line in lines]
        self.values[rows] = [line.value for line in lines]
        return len(lines)


def starlette(columns: Columns) -> Starlette:
    async def ingest(request: Request) -> Response:
        return JSONResponse({"accepted": columns.take(await request.body()), "refused": 0})

    return Starlette(routes=[Route("/ingest", ingest, methods=["POST"])])


class Raw:
    """An ASGI application, no more."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts: list[bytes] = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        text = b'{"accepted":%d,"refused":0}' % self.columns.take(b"".join(parts))
        length = (b"content-length", b"%d" % len(text))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": text})


def main(name: str, port: int) -> None:
    app = starlette(Columns()) if name == "starlette" else Raw(Columns())
    uvicorn.run(app, host=HOST, port=port, log_level="warning", access_log=False, lifespan="off")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
