"""Listening to webhooks on this machine: an endpoint for as long as the command runs, and a line for each event."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any, Final

import httpx
import uvicorn
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from .errors import CommandError

MAX_BODY_BYTES: Final = 64 * 1024
MAX_IDS: Final = 10_000
ANSWER_TIMEOUT_S: Final = 10.0
CREATE: Final = """mutation ($input: CreateWebhookEndpointInput!) { createWebhookEndpoint(input: $input) {
  ... on WebhookEndpointWithSecretSuccess { secret endpoint { id url } } ... on Error { message } } }"""
DELETE: Final = (
    """mutation ($input: WebhookEndpointRefInput!) { deleteWebhookEndpoint(input: $input) { __typename } }"""
)

Say = Callable[[str], None]


async def listen(graph: str, key: str, *, port: int, types: list[str], say: Say) -> None:
    """Make an endpoint, print what arrives there once its signature is verified, and delete it in the end.

    Raises CommandError where the graph cannot be reached or does not make the endpoint.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise CommandError(f"cannot listen at 127.0.0.1:{port} ({error.strerror}): choose another --port") from None
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/webhooks"
    async with endpoint(graph, key, url, types) as secret:
        say(f"listening at {url}; Ctrl-C ends it and deletes the endpoint")
        config = uvicorn.Config(receiver(secret, say), lifespan="off", log_config=None, access_log=False)
        await _Server(config).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn that ends on a signal without raising it again: the endpoint is deleted first."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def receiver(secret: str, say: Say) -> Router:
    """An application that takes webhooks, verifies them, and says what they tell; each once."""
    verifier = Webhook(secret)
    seen: dict[str, None] = {}

    async def receive(request: Request) -> Response:
        body = await request.body()
        if len(body) > MAX_BODY_BYTES:
            return Response(status_code=413)
        try:
            payload = verifier.verify(body, dict(request.headers))
        except WebhookVerificationError as error:
            say(f"refused: {error}")
            return Response(status_code=401)
        id = request.headers["webhook-id"]
        if id not in seen:
            seen[id] = None
            if len(seen) > MAX_IDS:
                del seen[next(iter(seen))]
            say(line_of(payload))
        return Response(status_code=204)

    return Router([Route("/webhooks", receive, methods=["POST"])])


def line_of(payload: dict[str, Any]) -> str:
    """One event as a line of text."""
    data = payload["data"]
    parts = [payload["timestamp"], payload["type"]]
    if "seq" in data:
        amount = data["eventAmount"]
        parts.append(f"seq {data['seq']} after {data['previousSeq'] or 'none'}")
        parts += [f"{amount['amount']} {amount['currency']}"] if amount else []
        parts += [each["id"] for each in (data["order"], data["transfer"]) if each]
    return "  ".join(parts)


@asynccontextmanager
async def endpoint(graph: str, key: str, url: str, types: list[str]) -> AsyncIterator[str]:
    """The secret of an endpoint that lives as long as the block."""
    async with httpx.AsyncClient(timeout=ANSWER_TIMEOUT_S, headers={"Authorization": f"Bearer {key}"}) as client:

        async def ask(document: str, input: dict[str, Any]) -> Any:
            try:
                response = await client.post(graph, json={"query": document, "variables": {"input": input}})
                answer = response.json()
            except (httpx.HTTPError, ValueError) as error:
                raise CommandError(f"the graph at {graph} does not answer ({error}): does `agora dev` run?") from None
            if errors := answer.get("errors"):
                raise CommandError(errors[0]["message"])
            return next(iter(answer["data"].values()))

        made = await ask(CREATE, {"url": url, "types": types or None, "description": "agora partner listen"})
        if "secret" not in made:
            raise CommandError(made["message"])
        try:
            yield made["secret"]
        finally:
            await _quietly(ask(DELETE, {"endpointId": made["endpoint"]["id"]}))


async def _quietly(work: Awaitable[Any]) -> None:
    """The graph may have gone before us: then there is nothing to delete from."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await work
    except (CommandError, TimeoutError):
        return
