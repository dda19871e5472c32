"""Answers each operation with bytes from a file: what server and load can do at most."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

from .serving import serve

_ANSWERS = {name: answer.encode() for name, answer in orjson.loads(Path(sys.argv[3]).read_bytes()).items()}


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = _ANSWERS[orjson.loads(body)["operationName"]]
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    serve(app)
