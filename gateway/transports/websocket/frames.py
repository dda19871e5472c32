"""uvicorn's sockets, which also write a frame at once where the client keeps up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# The ASGI extension: in `scope["extensions"]` of a socket, a Push. Other servers have none; all goes by `send` there.
PUSH: Final = "agora.websocket.push"
# Writes a text message, UTF-8, at once. False, and nothing written, where the client leaves untaken what it was sent
# (more than the 64 KB that a transport keeps by default), or the socket is about to close. Raises nothing.
Push = Callable[[bytes], bool]

_TEXT: Final = b"\x81"
_BYTE, _TWO_BYTES = 126, 65_536


class PushingProtocol(WebSocketsSansIOProtocol):
    """A socket with the extension `agora.websocket.push`, which keeps nothing of a handshake that is over.

    A message to a thousand sockets by `send` is a thousand tasks to wake, and eight calls each to come to a transport.
    Extensions are negotiated as always: permessage-deflate leaves it to whoever sends whether a message is compressed.
    """

    async def run_asgi(self) -> None:
        """Run the application with the extension in its scope."""
        # uvicorn's types know the extensions of the specification alone.
        extensions: dict[str, object] = self.scope["extensions"]  # type: ignore[assignment]
        extensions[PUSH] = self.push
        await super().run_asgi()

    def push(self, text: bytes) -> bool:
        """See Push."""
        if self.close_sent or not self.writable.is_set() or self.transport.is_closing() or not self.handshake_complete:
            return False
        self.transport.write(frame(text))
        return True

    def start_keepalive(self) -> None:
        """Called once the handshake is over: what it consisted of is needed by nobody any more, and is 4 KB."""
        self.request.headers.clear()
        self.response.headers.clear()
        super().start_keepalive()


def frame(text: bytes) -> bytes:
    """A whole text message in one frame, as servers send them: not masked (RFC 6455, 5.2)."""
    size = len(text)
    if size < _BYTE:
        return _TEXT + bytes((size,)) + text
    if size < _TWO_BYTES:
        return b"\x81\x7e" + size.to_bytes(2, "big") + text
    return b"\x81\x7f" + size.to_bytes(8, "big") + text
