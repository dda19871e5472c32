"""Connections over real sockets: answers in one piece, as ASGI and HTTP want them, and heads that do not come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.asyncio.client import connect

from gateway.transports import connections
from tests.unit.gateway.servers import serving

HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n"
OK: Message = {"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"5")]}
HELLO: Message = {"type": "http.response.body", "body": b"hello"}


def sending(*messages: Message, failure: Exception | None = None) -> ASGIApp:
    """An application that sends these, and then fails where it is told to."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send({**message})
        if failure is not None:
            raise failure

    return app


class Client:
    """A connection of bytes; `pieces` are what each packet of the server brought."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, *parts: bytes) -> bytes:
        """What comes next, as it comes."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
        return await asyncio.wait_for(self.reader.read(1_000_000), 5)

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        return await asyncio.wait_for(self.reader.read(), 5)


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(*address.split(":"))
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


class TestAnswers:
    async def test_head_and_body_come_in_one_piece(self) -> None:
        async with serving(sending(OK, HELLO)) as address, connected(address) as client:
            for _ in range(3):
                head, _, body = (await client.ask(HEAD + b"\r\n")).partition(b"\r\n\r\n")

                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                assert b"\r\ncontent-length: 5" in head
                assert b"\r\ndate: " in head
                assert body == b"hello"

    async def test_a_head_waits_for_its_body_and_no_longer(self) -> None:
        go = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await go.wait()
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            await receive()
            await asyncio.Event().wait()

        async with serving(app, timeout_graceful_shutdown=1) as address, connected(address) as client:
            client.writer.write(HEAD + b"\r\n")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(first := asyncio.ensure_future(client.ask())), 0.1)
            go.set()
            head = await first

        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert head.endswith(b"transfer-encoding: chunked\r\n\r\n")

    async def test_parts_come_as_they_are_sent(self) -> None:
        parts = [{"type": "http.response.body", "body": text, "more_body": True} for text in (b"one", b"two")]
        start = {"type": "http.response.start", "status": 200}
        app = sending(start, *parts, {"type": "http.response.body"})

        async with serving(app) as address, httpx.AsyncClient() as client:
            async with client.stream("GET", f"http://{address}/") as answer:
                assert answer.headers["transfer-encoding"] == "chunked"
                assert b"".join([part async for part in answer.aiter_raw()]) == b"onetwo"
            assert (await client.get(f"http://{address}/")).text == "onetwo"

    @pytest.mark.parametrize(
        ("method", "status", "headers", "body"),
        [
            ("HEAD", 200, [(b"content-length", b"5")], b"hello"),
            ("GET", 204, [], b""),
            ("GET", 304, [(b"etag", b'"1"')], b""),
            ("GET", 200, [], b"hello"),
            ("GET", 294, [(b"content-length", b"5")], b"hello"),
            ("GET", 200, [(b"content-length", b"5"), (b"connection", b"close")], b"hello"),
        ],
    )
    async def test_every_kind_of_answer_is_as_http_wants_it(
        self, method: str, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> None:
        start = {"type": "http.response.start", "status": status, "headers": headers}
        app = sending(start, {"type": "http.response.body", "body": body})

        async with serving(app) as address, httpx.AsyncClient() as client:
            for _ in range(2):
                answer = await client.request(method, f"http://{address}/")

                assert answer.status_code == status
                assert answer.content == (b"" if method == "HEAD" else body)

    async def test_a_client_that_wants_to_close_is_closed(self) -> None:
        async with serving(sending(OK, HELLO)) as address, connected(address) as client:
            answer = await client.ask(HEAD + b"Connection: close\r\n\r\n")

            assert (answer + await client.rest()).endswith(b"\r\n\r\nhello")
            assert b"connection: close\r\n" in answer

    async def test_requests_that_are_sent_at_once_are_answered_in_order(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope["path"].encode()
            await asyncio.sleep(0.05 if path == b"/0" else 0)
            length = b"%d" % len(path)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
            await send({"type": "http.response.body", "body": path})

        async with serving(app) as address, connected(address) as client:
            client.writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: here\r\n\r\n" % at for at in range(5)))
            answers = b""
            while answers.count(b"HTTP/1.1") < 5 or not answers.endswith(b"/4"):
                answers += await client.ask()

        assert [part.rpartition(b"\r\n\r\n")[2] for part in answers.split(b"HTTP/1.1")[1:]] == [
            b"/%d" % at for at in range(5)
        ]

    async def test_a_large_body_and_what_follows_it_at_once_is_no_large_head(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            size = 0
            while True:
                message = await receive()
                size += len(message["body"])
                if not message["more_body"]:
                    break
            length = b"%d" % size
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
            await send({"type": "http.response.body", "body": length.rjust(6)})

        large = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
        async with serving(app) as address, connected(address) as client:
            client.writer.write(large + large + HEAD)
            answers = b""
            while answers.count(b"200000") < 2:
                answers += await client.ask()
            assert (await client.ask(b"\r\n")).endswith(b"     0")

    async def test_requests_without_end_that_wait_for_the_first_end_the_connection(self) -> None:
        begun = 0

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal begun
            begun += 1
            await asyncio.sleep(0.02)
            await send({**OK})
            await send({**HELLO})

        small = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        async with serving(app) as address, connected(address) as client:
            client.writer.write(small * 50_000)
            with suppress(ConnectionError):
                await client.rest()

        assert begun <= connections.MAX_PIPELINED


class TestApplicationsThatAreWrong:
    async def test_one_that_fails_after_its_head_is_a_500(self) -> None:
        async with serving(sending(OK, failure=ValueError("no body"))) as address, connected(address) as client:
            assert (await client.ask(HEAD + b"\r\n")).startswith(b"HTTP/1.1 500 ")

    async def test_one_that_sends_no_body_is_a_500(self) -> None:
        async with serving(sending(OK)) as address, connected(address) as client:
            assert (await client.ask(HEAD + b"\r\n")).startswith(b"HTTP/1.1 500 ")

    @pytest.mark.parametrize(
        "field",
        [(b"x-name", b"a\r\nset-cookie: stolen=1"), (b"x name", b"a"), (b"x-name: a\r\nset-cookie", b"1")],
    )
    async def test_no_header_adds_another(self, field: tuple[bytes, bytes]) -> None:
        start = {**OK, "headers": [*OK["headers"], field]}

        async with serving(sending(start, HELLO)) as address, connected(address) as client:
            answer = await client.ask(HEAD + b"\r\n")

        assert b"set-cookie" not in answer
        assert not answer.startswith(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize("length", [b"4", b"6"])
    async def test_a_wrong_length_ends_the_connection(self, length: bytes) -> None:
        start = {**OK, "headers": [(b"content-length", length)]}

        async with serving(sending(start, HELLO)) as address, connected(address) as client:
            client.writer.write(HEAD + b"\r\n")
            answer = await client.rest()

        # Whoever counts the bytes must not take what comes next for a part of this answer.
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.count(b"HTTP/1.1") == 1


class TestHeads:
    @pytest.fixture(autouse=True)
    def _soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 0.5)

    async def test_one_in_pieces_is_read(self) -> None:
        async with serving(sending(OK, HELLO)) as address, connected(address) as client:
            answer = await client.ask(HEAD, b"X-More: 1\r\n", b"\r\n")

            assert answer.endswith(b"\r\n\r\nhello")
            await asyncio.sleep(0.8)
            assert (await client.ask(HEAD + b"\r\n")).endswith(b"\r\n\r\nhello")

    @pytest.mark.parametrize("said", [b"G", HEAD], ids=["a byte", "a line"])
    async def test_one_that_does_not_end_is_408(self, said: bytes) -> None:
        async with serving(sending(OK, HELLO)) as address, connected(address) as client:
            first = await client.ask(HEAD + b"\r\n")
            client.writer.write(said)
            answer = await client.rest()

        assert first.endswith(b"hello")
        assert answer.startswith(b"HTTP/1.1 408 ")

    async def test_a_byte_now_and_then_does_not_help(self) -> None:
        async with serving(sending(OK, HELLO)) as address, connected(address) as client:
            client.writer.write(HEAD)
            answer = asyncio.create_task(client.ask())
            while not answer.done():
                client.writer.write(b"x")
                await asyncio.sleep(0.02)

        assert answer.result().startswith(b"HTTP/1.1 408 ")

    async def test_who_says_nothing_is_told_nothing(self) -> None:
        async with serving(sending(OK, HELLO)) as address, connected(address) as client:
            assert await client.rest() == b""

    async def test_one_without_end_is_431(self) -> None:
        async def go_on(client: Client) -> None:
            client.writer.write(HEAD)
            for _ in range(1_000):
                client.writer.write(b"x-more: %b\r\n" % (b"y" * 4_000))
                await client.writer.drain()
                # The server, in this loop too, has to have its turn.
                await asyncio.sleep(0)

        async with serving(sending(OK, HELLO)) as address, connected(address) as client:
            with pytest.raises(ConnectionError):
                await go_on(client)

    async def test_one_that_is_too_large_is_told_so(self) -> None:
        async with serving(sending(OK, HELLO)) as address, connected(address) as client:
            answer = await client.ask(HEAD, b"x-more: %b" % (b"y" * 66_000))

        assert answer.startswith(b"HTTP/1.1 431 ")

    async def test_a_body_without_end_after_its_answer_ends_the_connection(self) -> None:
        async with serving(sending(OK, HELLO)) as address, connected(address) as client:
            first = await client.ask(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n")
            rest = asyncio.create_task(client.rest())
            while not rest.done():
                client.writer.write(b"x")
                await asyncio.sleep(0.02)

        assert first.endswith(b"hello")

    async def test_empty_lines_do_not_keep_a_connection(self) -> None:
        async with serving(sending(OK, HELLO)) as address, connected(address) as client:
            await client.ask(HEAD + b"\r\n")
            client.writer.write(b"\r\n")

            assert (await client.rest()).startswith(b"HTTP/1.1 408 ")

    async def test_headers_after_a_body_are_not_kept_and_have_a_limit(self) -> None:
        scopes: list[Scope] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scopes.append(scope)
            while (await receive()).get("more_body"):
                pass
            await send({**OK})
            await send({**HELLO})

        chunked = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
        async with serving(app) as address, connected(address) as client:
            answer = await client.ask(chunked, b"0\r\nX-After: 1\r\n\r\n")
            client.writer.write(chunked + b"0\r\n")
            ended = asyncio.create_task(client.rest())
            for _ in range(100):
                client.writer.write(b"X-After: %b\r\n" % (b"y" * 1_000))
                await asyncio.sleep(0.001)
            await ended

        assert answer.endswith(b"hello")
        assert [[name for name, _ in scope["headers"]] for scope in scopes] == [[b"host", b"transfer-encoding"]] * 2

    async def test_a_socket_is_not_waited_for(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await asyncio.sleep(0.5)
            await send({"type": "websocket.send", "text": "still here"})
            await send({"type": "websocket.close"})

        async with serving(app) as address, connect(f"ws://{address}/") as socket:
            assert await socket.recv() == "still here"

    async def test_an_answer_under_way_is_not_written_into(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first", "more_body": True})
            await asyncio.sleep(0.5)
            await send({"type": "http.response.body", "body": b"last"})

        async with serving(app) as address, connected(address) as client:
            client.writer.write(HEAD + b"\r\n" + HEAD)
            answer = b""
            while not answer.endswith(b"0\r\n\r\n"):
                answer += await client.ask()
            ended = await client.ask(b"x")

        assert b"HTTP/1.1 200 OK" in answer
        assert b"5\r\nfirst\r\n4\r\nlast\r\n" in answer
        assert ended.startswith(b"HTTP/1.1 408 ")
