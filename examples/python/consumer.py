"""A consumer of payment events that may be killed at any moment and ends with every event, once and in order.

    consumer.py follow  --state DIR --graph URL            by subscription, forever
    consumer.py receive --state DIR --graph URL --port N   by webhooks, forever; $WEBHOOK_SECRET verifies them
    consumer.py report  --state DIR                        what it has, and whether anything is missing

The application's key is in $AGORA_KEY. Whatever brings an event, three rules decide: one that is not past the last
`seq` is there already; one whose `previousSeq` is at most the last `seq` follows it; any other means that something was
missed, and the feed is read on from the last cursor, which never expires.

`events.ndjson` stands for your work: one line an event, forced to the disk before the place is. `place.json` is the
place: replaced as a whole. A kill between the two is found by the journal, whose last line is at or past the place.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from standardwebhooks import Webhook, WebhookVerificationError
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

Event = dict[str, Any]

FIELDS = """id type seq previousSeq cursor createdAt eventAmount { amount currency minorUnits }
            transfer { id } order { id }"""
PAGE = f"""query ($after: Cursor, $types: [String!]) {{
  paymentEvents(first: 100, after: $after, types: $types) {{ nodes {{ {FIELDS} }} pageInfo {{ hasNextPage }} }} }}"""
LIVE = f"""subscription ($after: Cursor, $types: [String!]) {{
  paymentEvents(after: $after, types: $types) {{ {FIELDS} }} }}"""
MAX_BODY_BYTES = 64 * 1024
FIRST_LOOK_S = 0.5
MAX_PAUSE_S = 5.0
ANSWER_TIMEOUT_S = 15.0


# What is refused for these reasons is refused again; anything else passes.
LASTING = {"UNAUTHENTICATED", "FORBIDDEN", "INVALID_INPUT", "BAD_REQUEST", "GRAPHQL_VALIDATION_FAILED"}


class Missed(Exception):
    """An event came whose forerunner did not."""


class NotAnswered(Exception):
    """The graph cannot answer now."""


class Journal:
    """What was done, and up to where, on the disk."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._events = folder / "events.ndjson"
        self._place = folder / "place.json"
        self.cursor: str | None = None
        self.last = 0
        if self._place.exists():
            place = json.loads(self._place.read_text())
            self.cursor, self.last = place["cursor"], place["seq"]
        self._recover()

    def accept(self, event: Event) -> bool:
        """Do the work of an event that follows the last one; False for one that is there. Raises Missed."""
        seq, previous = int(event["seq"]), event["previousSeq"]
        if seq <= self.last:
            return False
        if previous is not None and int(previous) > self.last:
            raise Missed(f"{previous} came before {seq}, and the last here is {self.last}")
        with self._events.open("ab") as file:
            file.write(json.dumps(event).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._keep(seq, event["cursor"])
        return True

    def report(self) -> tuple[int, list[str]]:
        """How many events there are, and what is wrong with them."""
        wrong, last = [], 0
        events = self._lines()
        for event in events:
            seq, previous = int(event["seq"]), event["previousSeq"]
            if seq <= last:
                wrong.append(f"{seq} comes after {last}")
            if previous is not None and int(previous) > last:
                wrong.append(f"{previous} is missing before {seq}")
            last = seq
        return len(events), wrong

    def _keep(self, seq: int, cursor: str) -> None:
        draft = self._place.with_suffix(".draft")
        with draft.open("w") as file:
            json.dump({"seq": seq, "cursor": cursor}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._place)
        self.last, self.cursor = seq, cursor

    def _recover(self) -> None:
        """Cut off a line that was half written, and take up the place from the last whole one."""
        if not self._events.exists():
            return
        raw = self._events.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            os.truncate(self._events, len(whole))
        for event in self._lines():
            if int(event["seq"]) > self.last:
                self._keep(int(event["seq"]), event["cursor"])

    def _lines(self) -> list[Event]:
        if not self._events.exists():
            return []
        return [json.loads(line) for line in self._events.read_text().splitlines()]


class Feed:
    """The application's feed, read by query and by subscription."""

    def __init__(self, graph: str, key: str, types: list[str] | None) -> None:
        self._graph = graph
        self._headers = {"Authorization": f"Bearer {key}"}
        self._types = types

    async def catch_up(self, journal: Journal) -> None:
        """Take everything past the place."""
        async with httpx.AsyncClient(headers=self._headers, timeout=ANSWER_TIMEOUT_S) as client:
            while True:
                variables = {"after": journal.cursor, "types": self._types}
                response = await client.post(self._graph, json={"query": PAGE, "variables": variables})
                answer = response.raise_for_status().json()
                if "errors" in answer:
                    first = answer["errors"][0]
                    lasts = first.get("extensions", {}).get("code") in LASTING
                    raise (SystemExit if lasts else NotAnswered)(first["message"])
                page = answer["data"]["paymentEvents"]
                for event in page["nodes"]:
                    journal.accept(event)
                if not page["pageInfo"]["hasNextPage"]:
                    return

    async def live(self, cursor: str) -> AsyncIterator[Event]:
        """What comes past the cursor, until the connection ends."""
        url = self._graph.replace("http", "ws", 1)
        async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
            await socket.send(json.dumps({"type": "connection_init", "payload": self._headers}))
            variables = {"after": cursor, "types": self._types}
            subscribe = {"type": "subscribe", "id": "1", "payload": {"query": LIVE, "variables": variables}}
            async for raw in socket:
                message = json.loads(raw)
                if message["type"] == "connection_ack":
                    await socket.send(json.dumps(subscribe))
                elif message["type"] == "ping":
                    await socket.send(json.dumps({"type": "pong"}))
                elif message["type"] == "next":
                    yield message["payload"]["data"]["paymentEvents"]
                elif message["type"] in ("error", "complete"):
                    return


async def follow(feed: Feed, journal: Journal) -> None:
    """Follow the feed for ever, through whatever breaks in between."""
    pause_s = 0.1
    while True:
        try:
            await feed.catch_up(journal)
            if journal.cursor is None:
                # There is no place yet to follow from: the first event makes one.
                await asyncio.sleep(FIRST_LOOK_S)
                continue
            async for event in feed.live(journal.cursor):
                pause_s = 0.1
                if journal.accept(event):
                    print(line_of(event), flush=True)
        except Missed as missed:
            print(f"reading on: {missed}", file=sys.stderr, flush=True)
        except (OSError, httpx.HTTPError, WebSocketException, NotAnswered) as error:
            print(f"broken off: {error!r}", file=sys.stderr, flush=True)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, MAX_PAUSE_S)


async def receive(feed: Feed, journal: Journal, port: int, secret: str) -> None:
    """Take webhooks at http://127.0.0.1:PORT/ for ever."""
    verifier, turn = Webhook(secret), asyncio.Lock()

    async def answer(headers: dict[str, str], body: bytes) -> int:
        try:
            payload = verifier.verify(body, headers)
        except WebhookVerificationError:
            return 401
        if "seq" not in payload["data"]:
            return 204
        async with turn:
            try:
                journal.accept(payload["data"])
            except Missed:
                await feed.catch_up(journal)
                journal.accept(payload["data"])
        print(line_of(payload["data"]), flush=True)
        return 204

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            while True:
                headers, body = await read_request(reader)
                try:
                    status = await answer(headers, body)
                except (OSError, httpx.HTTPError, Missed, NotAnswered):
                    # Not kept, so not taken: it comes again.
                    status = 503
                writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    print(f"receiving at http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
    await server.serve_forever()


async def read_request(reader: asyncio.StreamReader) -> tuple[dict[str, str], bytes]:
    """Headers and body of one POST: enough of HTTP for an example, behind a real server in production."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= MAX_BODY_BYTES:
        raise ValueError("too long")
    return headers, await reader.readexactly(length)


def line_of(event: Event) -> str:
    """An event as a line of text."""
    amount = event["eventAmount"]
    return f"{event['seq']} {event['type']} {amount['amount'] + ' ' + amount['currency'] if amount else ''}".rstrip()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Follow payment events.")
    parser.add_argument("command", choices=["follow", "receive", "report"])
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--graph", default="http://127.0.0.1:8000/graphql")
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--type", action="append", dest="types")
    given = parser.parse_args()
    journal = Journal(given.state)
    if given.command == "report":
        count, wrong = journal.report()
        print(f"{count} events, {'complete' if not wrong else '; '.join(wrong)}")
        raise SystemExit(1 if wrong else 0)
    feed = Feed(given.graph, os.environ["AGORA_KEY"], given.types)
    if given.command == "follow":
        asyncio.run(follow(feed, journal))
    else:
        asyncio.run(receive(feed, journal, given.port, os.environ["WEBHOOK_SECRET"]))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
