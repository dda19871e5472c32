"""The same transfers through GraphQL: a whole gateway in the process of the load, called as an ASGI application."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from datastores import ledger
from datastores.ledger import AccountKind, EntryKind, Party, PostTransfer, Transfer
from gateway.app import Gateway, open_gateway
from gateway.identity.development import DevelopmentIssuer
from gateway.settings import Environment, MongoDriver, Settings

from .people import CURRENCY, FUNDS, Request

RESIDENTS: Final = 64
WHO: Final = "{ viewer { user { id } } }"
TRANSFER: Final = """mutation Pay($input: TransferFundsInput!) {
  transferFunds(input: $input) { __typename ... on TransferFundsSuccess { transfer { id } } }
}"""


class ThroughGraphQL:
    """Each transfer is one POST of `transferFunds` by one of 64 people, with tokens and limits, without sockets."""

    def __init__(self, uri: str, driver: str) -> None:
        self._uri = uri
        self._driver = driver
        self._stack = AsyncExitStack()
        self._gateway: Gateway | None = None
        self._people: list[tuple[str, str]] = []

    async def prepare(self, requests: Sequence[Request]) -> None:
        if self._gateway is not None:
            return
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="agora-bench-")))
        settings = Settings(
            data_dir=folder, database=f"bench_graph_{uuid4().hex[:8]}", mongo_driver=MongoDriver(self._driver)
        )
        issuer = DevelopmentIssuer.open(folder, Environment.DEVELOPMENT)
        gateway = await self._stack.enter_async_context(open_gateway(settings, self._uri, issuer=issuer))
        self._gateway = gateway
        tokens = [issuer.token(f"payer-{number}") for number in range(RESIDENTS)]
        answers = await asyncio.gather(*(self._ask(token, WHO, {}) for token in tokens))
        self._people = [(token, answer["viewer"]["user"]["id"]) for token, answer in zip(tokens, answers, strict=True)]
        rail = Party(ledger.rail_account_id("sandbox", CURRENCY), AccountKind.RAIL)
        for _, person in self._people:
            wallet = Party(ledger.wallet_id(person, CURRENCY), owner_id=person)
            filled = Transfer(rail, wallet, FUNDS, CURRENCY, recipient_id=person, kind=EntryKind.TOP_UP)
            asked = ledger.command(person, "first", "topUp", {"amount": FUNDS})
            await gateway.commits[ledger.COMMIT_LOOP].submit(PostTransfer(asked, filled))

    async def post(self, request: Request) -> None:
        token, payer = self._people[request.payer % RESIDENTS]
        payee = self._people[request.payee % RESIDENTS][1]
        if payee == payer:
            payee = self._people[(request.payee + 1) % RESIDENTS][1]
        money = {"amount": f"{request.amount / 100:.2f}", "currency": CURRENCY}
        variables = {"input": {"idempotencyKey": request.key, "amount": money, "to": {"userId": payee}}}
        answer = await self._ask(token, TRANSFER, variables)
        if answer["transferFunds"]["__typename"] != "TransferFundsSuccess":
            raise RuntimeError(str(answer))

    async def _ask(self, token: str, document: str, variables: dict[str, Any]) -> Any:
        assert self._gateway is not None
        body = json.dumps({"query": document, "variables": variables}).encode()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/graphql",
            "raw_path": b"/graphql",
            "root_path": "",
            "query_string": b"",
            "headers": [
                (b"host", b"bench"),
                (b"content-type", b"application/json"),
                (b"accept", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"authorization", f"Bearer {token}".encode()),
            ],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        sent: list[bytes] = []
        incoming = [{"type": "http.request", "body": body, "more_body": False}]
        gone: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        async def receive() -> dict[str, Any]:
            return incoming.pop() if incoming else await gone

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))

        await self._gateway.app(scope, receive, send)
        answer = json.loads(b"".join(sent))
        if answer.get("errors"):
            raise RuntimeError(str(answer["errors"])[:500])
        return answer["data"]

    async def close(self) -> None:
        await self._stack.aclose()
