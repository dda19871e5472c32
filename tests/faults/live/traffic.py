"""What happens all the while: payments to a merchant and messages of a conversation, each asked for until answered."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

import httpx

PAYERS: Final = 2
PAUSE_S: Final = 0.12
AGAIN_S: Final = 0.1
MAX_TRIES_S: Final = 90.0
PAY: Final = """
mutation ($input: TransferFundsInput!) { transferFunds(input: $input) { __typename
  ... on TransferFundsSuccess { transfer { id } } ... on Error { code message } } }
"""
SAY: Final = """
mutation ($input: SendMessageInput!) { sendMessage(input: $input) { __typename
  ... on MessageSuccess { cursor node { id seq } } ... on Error { code message } } }
"""
FEED: Final = """
query ($after: Cursor) { paymentEvents(first: 100, after: $after) {
  nodes { seq previousSeq type transfer { id } } pageInfo { hasNextPage endCursor } } }
"""
Json = dict[str, Any]


class NotAnswered(Exception):
    """No word of what became of it: it is asked for again, with the same key."""


class Graph:
    """The graph behind the proxy, asked by one person or application."""

    def __init__(self, http: httpx.AsyncClient, url: str, token: str) -> None:
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, document: str, **variables: Any) -> Json:
        """The data of an answer without errors; raises NotAnswered."""
        body = {"query": document, "variables": variables}
        try:
            response = await self._http.post(self._url, json=body, headers=self._headers)
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise NotAnswered(type(error).__name__) from None
        if "errors" in answer or not answer.get("data"):
            errors = answer.get("errors") or [{"message": str(answer)[:200]}]
            raise NotAnswered(str((errors[0].get("extensions") or {}).get("code") or errors[0]["message"]))
        data: Json = answer["data"]
        return data

    async def patiently(self, document: str, **variables: Any) -> Json:
        """The data of an answer, asked for again until it comes, 90 s at most. For what may be asked twice."""
        give_up = time.monotonic() + MAX_TRIES_S
        while True:
            try:
                return await self.ask(document, **variables)
            except NotAnswered:
                if time.monotonic() > give_up:
                    raise
            await asyncio.sleep(AGAIN_S)

    async def feed(self) -> list[Json]:
        """All events of the application that asks."""
        found: list[Json] = []
        after: str | None = None
        while True:
            page = (await self.patiently(FEED, after=after))["paymentEvents"]
            found += page["nodes"]
            if not page["pageInfo"]["hasNextPage"]:
                return found
            after = page["pageInfo"]["endCursor"]


class Traffic:
    """Payments and messages, of which every one is acknowledged before the end; use `start` and `stop`."""

    def __init__(self, payer: Graph, speaker: Graph, conversation_id: str, chance: random.Random) -> None:
        self.transfers: list[str] = []
        self.messages: dict[int, str] = {}
        self.answers: list[float] = []
        self.unclear: Counter[str] = Counter()
        self._payer = payer
        self._speaker = speaker
        self.conversation_id = conversation_id
        self._chance = chance
        self._is_ending = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin, or go on."""
        self._is_ending = False
        self._tasks = [asyncio.create_task(self._pay()) for _ in range(PAYERS)]
        self._tasks.append(asyncio.create_task(self._talk()))

    async def stop(self) -> None:
        """End once all that was asked for is answered; raises what kept one from its answer."""
        self._is_ending = True
        await asyncio.gather(*self._tasks)

    async def say(self) -> str:
        """Say something; the cursor of its event."""
        input = {"conversationId": self.conversation_id, "text": "a word", "clientId": self._key()}
        said = await self._until("sendMessage", lambda: self._speaker.ask(SAY, input=input), "MessageSuccess")
        self.messages[int(said["node"]["seq"])] = said["node"]["id"]
        return str(said["cursor"])

    async def pay(self) -> None:
        """Pay the merchant a cent."""
        amount = {"amount": "0.01", "currency": "EUR"}
        input = {"idempotencyKey": self._key(), "amount": amount, "to": {"handle": "carol"}}
        paid = await self._until("transferFunds", lambda: self._payer.ask(PAY, input=input), "TransferFundsSuccess")
        self.transfers.append(paid["transfer"]["id"])
        self.answers.append(time.time())

    async def _pay(self) -> None:
        while not self._is_ending:
            await self.pay()
            await asyncio.sleep(self._chance.uniform(0, PAUSE_S))

    async def _talk(self) -> None:
        while not self._is_ending:
            await self.say()
            await asyncio.sleep(self._chance.uniform(0, 2 * PAUSE_S))

    async def _until(self, field: str, ask: Callable[[], Any], success: str) -> Mapping[str, Any]:
        give_up = time.monotonic() + MAX_TRIES_S
        while True:
            try:
                outcome: Json = (await ask())[field] or {}
                if outcome.get("__typename") == success:
                    return outcome
                raise NotAnswered(str(outcome.get("code") or outcome))
            except NotAnswered as error:
                self.unclear[str(error)] += 1
                if time.monotonic() > give_up:
                    raise
            await asyncio.sleep(AGAIN_S)

    def _key(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))
