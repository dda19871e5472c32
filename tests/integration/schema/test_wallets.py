"""Wallets through GraphQL: what a screen asks, what mutations answer, what it costs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from typing import Any, cast

import pytest
from graphql import ExecutionResult

from datastores import accounts as people
from datastores import ledger
from datastores.commit import CommitLoops
from datastores.mongo import Database, Document, Driver
from datastores.person_keys import PersonKeys
from datastores.sealing import SealingKey
from gateway.live.hub import Hub
from resolvers.context import ANONYMOUS, Context, Viewer
from schema.graph import whole_graph
from tests.integration.resolvers.listening import Listener, listening

GRAPH = whole_graph()
MONEY = "fragment M on Money { amount currency minorUnits }"
RESULT = """{
  __typename
  ... on Error { code message }
  ... on InsufficientFunds { available { ...M } }
  ... on ValidationError { path }
  ... on OutcomeUnknown { idempotencyKey }
  ... on TransferFundsSuccess {
    replayed cursor
    wallet {
      id version status currency owner { handle }
      available { ...M } posted { ...M } pendingOut { ...M } pendingIn { ...M }
    }
    transfer {
      id state amount { ...M } fee { ...M } memo createdAt refundedAmount { ...M }
      from { id } to { id } sender { handle } recipient { handle } conversation { id } order { id }
      receipt { seq body entryHash previousHash headSeq headHash keyId signature }
    }
  }
}"""
WALLETS = """
query Wallets {
  viewer {
    wallets {
      id currency
      entries(first: 50) {
        edges { cursor node {
          id seq kind state createdAt hash memo
          amount { minorUnits } balanceAfter { minorUnits }
          counterparty { handle displayName }
          wallet { currency }
          transfer { id state sender { handle } recipient { handle } receipt { seq } from { id } }
        } }
        nodes { id }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}
"""


class Town:
    """Two people with an account each, and the commands that their questions cost."""

    def __init__(self, database: Database, ids: list[str], commands: Counter[str]) -> None:
        self.database, self.commands = database, commands
        self.hub = Hub(database, {})
        self.alice, self.bob = ids
        self._commits = CommitLoops(database)
        self._keys = PersonKeys(SealingKey.generate())

    def context(self, who: str | None) -> Context:
        viewer = ANONYMOUS if who is None else Viewer("person", who)
        return Context(self.database, self._commits, self.hub, viewer, keys=self._keys)

    async def ask(self, who: str | None, document: str, **variables: Any) -> Any:
        """The data of a query or mutation without errors."""
        result = await GRAPH.execute(document, variable_values=variables, context_value=self.context(who))
        assert result.errors is None, result.errors
        return result.data

    async def do(self, who: str | None, field: str, **input: Any) -> Any:
        """The answer of a mutation whose result is a TransferFundsResult."""
        kind = field[0].upper() + field[1:] + "Input"
        document = f"mutation M($input: {kind}!) {{ it: {field}(input: $input) {RESULT} }} {MONEY}"
        return (await self.ask(who, document, input=input))["it"]

    async def hear(self, who: str, document: str, **variables: Any) -> AsyncGenerator[Document, None]:
        """The events of a subscription."""
        stream = await GRAPH.subscribe(document, variable_values=variables, context_value=self.context(who))

        async def events() -> AsyncGenerator[Document, None]:
            async for result in cast("AsyncGenerator[ExecutionResult, None]", stream):
                assert result.errors is None, result.errors
                yield cast(Document, result.data)

        return events()

    async def open(self, who: str, currency: str = "EUR") -> str:
        """The id of an open wallet."""
        document = """mutation M($input: OpenWalletInput!) {
          openWallet(input: $input) { ... on OpenWalletSuccess { wallet { id } } }
        }"""
        return str((await self.ask(who, document, input={"currency": currency}))["openWallet"]["wallet"]["id"])

    async def fill(self, who: str, amount: str, currency: str = "EUR") -> str:
        """The id of a wallet with money in it."""
        id = await self.open(who, currency)
        made = await self.do(
            who,
            "topUpWallet",
            idempotencyKey=f"fill {currency} {amount}",
            walletId=id,
            amount={"amount": amount, "currency": currency},
            source="sandbox:ok",
        )
        assert made["__typename"] == "TransferFundsSuccess", made
        return id

    async def pay(self, who: str, amount: str, key: str, **more: Any) -> Any:
        """A transfer to Bob."""
        given = {"to": {"handle": "bob"}, "amount": {"amount": amount, "currency": "EUR"}, **more}
        return await self.do(who, "transferFunds", idempotencyKey=key, **given)


@pytest.fixture
async def town(
    database: Database, mongodb_uri: str, mongo_driver: Driver, shared_database_name: str
) -> AsyncIterator[Town]:
    """Alice and Bob in an empty database."""
    documents = [
        people.user_document(handle=handle, display_name=handle.title(), created_at=datetime(2026, 1, 1))
        for handle in ("alice", "bob")
    ]
    await people.insert_users(database, documents)
    commands: Counter[str] = Counter()

    def count(name: str, collection: str, *_: object) -> None:
        commands[f"{name} {collection}"] += 1

    counted = await Database.connect(mongodb_uri, name=shared_database_name, driver=mongo_driver, on_command=count)
    try:
        yield Town(counted, [document["_id"] for document in documents], commands)
    finally:
        await counted.close()


async def test_paying_answers_with_all_that_a_screen_shows(town: Town) -> None:
    wallet = await town.fill(town.alice, "10")

    made = await town.pay(town.alice, "2.5", "lunch", memo="lunch")

    assert made["__typename"] == "TransferFundsSuccess", made
    assert made["wallet"]["available"] == {"amount": "7.50", "currency": "EUR", "minorUnits": "750"}
    assert (made["wallet"]["status"], made["wallet"]["version"], made["wallet"]["owner"]) == (
        "OPEN",
        "3",
        {"handle": "alice"},
    )
    transfer = made["transfer"]
    assert (transfer["state"], transfer["memo"], transfer["fee"]) == ("POSTED", "lunch", None)
    assert (transfer["from"], transfer["to"]) == ({"id": wallet}, None)
    assert (transfer["sender"], transfer["recipient"]) == ({"handle": "alice"}, {"handle": "bob"})


async def test_the_receipt_in_the_graph_verifies_offline(town: Town) -> None:
    await town.fill(town.alice, "10")
    made = await town.pay(town.alice, "2.5", "lunch", memo="lunch")
    keys = await ledger.public_keys(town.database)

    shown = made["transfer"]["receipt"]

    names = {"entryHash": "entry_hash", "previousHash": "previous_hash", "headSeq": "head_seq"}
    names |= {"headHash": "head_hash", "keyId": "key_id"}
    receipt = {names.get(name, name): value for name, value in shown.items()}
    body = ledger.check_receipt(receipt, keys)
    assert body["memo"]["text"] == "lunch"
    seen = "query T($id: ID!) { transfer(id: $id) { to { id } from { id } receipt { entryHash } } }"
    bobs = (await town.ask(town.bob, seen, id=made["transfer"]["id"]))["transfer"]
    assert bobs["receipt"]["entryHash"] == receipt["entry_hash"]
    assert bobs["from"] is None
    assert bobs["to"] is not None
    assert (await town.ask(None, seen, id=made["transfer"]["id"]))["transfer"] is None


ERRORS: list[tuple[dict[str, Any], str, str]] = [
    ({"amount": {"amount": "100", "currency": "EUR"}}, "InsufficientFunds", "INSUFFICIENT_FUNDS"),
    ({"amount": {"amount": "0.001", "currency": "EUR"}}, "ValidationError", "INVALID_INPUT"),
    ({"amount": {"amount": "-1", "currency": "EUR"}}, "ValidationError", "INVALID_INPUT"),
    ({"amount": {"amount": "0", "currency": "EUR"}}, "ValidationError", "INVALID_INPUT"),
    ({"amount": {"amount": "1", "currency": "XYZ"}}, "ValidationError", "INVALID_INPUT"),
    ({"to": {"handle": "alice"}}, "ValidationError", "INVALID_INPUT"),
    ({"to": {"handle": "nobody"}}, "NotFoundError", "NOT_FOUND"),
    ({"fromWalletId": "wal_01JD0000000000000000000000"}, "NotFoundError", "NOT_FOUND"),
    ({"conversationId": "cnv_01JD0000000000000000000000"}, "NotFoundError", "NOT_FOUND"),
    ({"memo": "m" * 281}, "ValidationError", "INVALID_INPUT"),
    ({"idempotencyKey": ""}, "ValidationError", "INVALID_INPUT"),
]


@pytest.mark.parametrize(("change", "name", "code"), ERRORS)
async def test_every_expected_failure_is_a_type(town: Town, change: dict[str, Any], name: str, code: str) -> None:
    await town.fill(town.alice, "10")
    input = {"idempotencyKey": "k", "to": {"handle": "bob"}, "amount": {"amount": "1", "currency": "EUR"}, **change}

    answers = [await town.do(town.alice, "transferFunds", **input) for _ in range(2)]

    assert [(answer["__typename"], answer["code"]) for answer in answers] == [(name, code)] * 2
    assert all(answer["message"] for answer in answers)
    if name == "InsufficientFunds":
        assert answers[1]["available"] == {"amount": "10.00", "currency": "EUR", "minorUnits": "1000"}


async def test_codes_of_refusals_that_share_a_type(town: Town) -> None:
    yen = await town.fill(town.alice, "1000", "JPY")
    await town.fill(town.alice, "10")

    mismatch = await town.pay(town.alice, "1", "k1", fromWalletId=yen)
    refused = await town.do(
        town.alice,
        "topUpWallet",
        idempotencyKey="k2",
        walletId=yen,
        amount={"amount": "1", "currency": "JPY"},
        source="sandbox:refuse",
    )

    assert (mismatch["__typename"], mismatch["code"]) == ("TransferRefused", "CURRENCY_MISMATCH")
    assert (refused["__typename"], refused["code"]) == ("TransferRefused", "FORBIDDEN")


async def test_nobody_signed_in_is_an_error_of_the_request(town: Town) -> None:
    document = f"mutation M($input: TransferFundsInput!) {{ transferFunds(input: $input) {RESULT} }} {MONEY}"
    input = {"idempotencyKey": "k", "to": {"handle": "bob"}, "amount": {"amount": "1", "currency": "EUR"}}

    result = await GRAPH.execute(document, variable_values={"input": input}, context_value=town.context(None))

    assert result.errors is not None
    assert result.data == {"transferFunds": None}


@pytest.mark.parametrize("to", [{}, {"handle": "bob", "userId": "usr_01JD0000000000000000000000"}, {"handle": None}])
async def test_a_target_is_exactly_one(town: Town, to: dict[str, Any]) -> None:
    await town.fill(town.alice, "10")
    document = f"mutation M($input: TransferFundsInput!) {{ it: transferFunds(input: $input) {RESULT} }} {MONEY}"
    input = {"idempotencyKey": "k", "to": to, "amount": {"amount": "1", "currency": "EUR"}}

    result = await GRAPH.execute(document, variable_values={"input": input}, context_value=town.context(town.alice))

    assert result.errors is not None or cast(Any, result.data)["it"]["__typename"] == "ValidationError"
    assert await town.database.count("entries", {"kind": "TRANSFER"}) == 0


async def test_sixty_four_at_once_through_the_graph(town: Town) -> None:
    await town.fill(town.alice, "40")

    made = await asyncio.gather(*(town.pay(town.alice, "1", f"k{n}") for n in range(64)))

    assert Counter(each["__typename"] for each in made) == {"TransferFundsSuccess": 40, "InsufficientFunds": 24}


async def test_a_screen_of_wallets_costs_the_same_however_much_is_on_it(town: Town) -> None:
    await town.fill(town.alice, "10")
    await town.pay(town.alice, "0.01", "first", memo="memo")
    town.commands.clear()
    few = await town.ask(town.alice, WALLETS)
    cost_of_few = +town.commands

    for currency in ("USD", "CHF", "JPY"):
        await town.fill(town.alice, "10", currency)
    for n in range(20):
        await town.pay(town.alice, "0.01", f"k{n}", memo=f"memo {n}")
    town.commands.clear()
    many = await town.ask(town.alice, WALLETS)

    assert +town.commands == cost_of_few
    assert cost_of_few.total() <= 13
    assert len(few["viewer"]["wallets"]) == 1
    wallets = many["viewer"]["wallets"]
    assert [len(each["entries"]["edges"]) for each in wallets] == [23, 2, 2, 2]
    newest = wallets[0]["entries"]["edges"][0]["node"]
    assert (newest["memo"], newest["amount"]["minorUnits"], newest["kind"]) == ("memo 19", "-1", "TRANSFER")
    assert newest["counterparty"] == {"handle": "bob", "displayName": "Bob"}
    assert newest["transfer"]["receipt"]["seq"] == newest["seq"]
    assert len(newest["hash"]) == 64


async def test_every_kind_of_id_is_a_node(town: Town) -> None:
    wallet = await town.fill(town.alice, "10")
    made = await town.pay(town.alice, "1", "k")
    asked = await town.ask(
        town.alice,
        """mutation M($input: RequestPaymentInput!) {
          requestPayment(input: $input) { ... on RequestPaymentSuccess { paymentRequest { id } replayed } }
        }""",
        input={"idempotencyKey": "r", "payerId": town.bob, "amount": {"amount": "1", "currency": "EUR"}},
    )
    legs = await town.ask(town.alice, WALLETS)
    ids = {
        "Wallet": wallet,
        "Transfer": made["transfer"]["id"],
        "PaymentRequest": asked["requestPayment"]["paymentRequest"]["id"],
        "LedgerEntry": legs["viewer"]["wallets"][0]["entries"]["nodes"][0]["id"],
    }

    for name, id in ids.items():
        document = "query N($id: ID!) { node(id: $id) { __typename id } }"
        assert (await town.ask(town.alice, document, id=id))["node"] == {"__typename": name, "id": id}
        assert (await town.ask(None, document, id=id))["node"] is None


async def test_requests_through_the_graph(town: Town) -> None:
    await town.fill(town.bob, "10")
    asked = """mutation M($input: RequestPaymentInput!) { it: requestPayment(input: $input) {
      __typename ... on Error { code }
      ... on RequestPaymentSuccess { replayed paymentRequest {
        id state amount { amount } requester { handle } payer { handle } memo createdAt expiresAt transfer { id }
      } }
    } }"""
    ended = """mutation M($input: PaymentRequestRefInput!) { it: %s(input: $input) {
      __typename ... on Error { code } ... on PaymentRequestActionSuccess { paymentRequest { state } }
    } }"""
    listed = """query L($state: PaymentRequestState) { viewer {
      paymentRequests(direction: INCOMING, state: $state, first: 5) { nodes { id state transfer { id } } }
    } }"""
    input = {"idempotencyKey": "r", "payerId": town.bob, "amount": {"amount": "1", "currency": "EUR"}, "memo": "tea"}

    request = (await town.ask(town.alice, asked, input=input))["it"]["paymentRequest"]
    again = (await town.ask(town.alice, asked, input=input))["it"]
    id = {"paymentRequestId": request["id"]}
    forbidden = (await town.ask(town.alice, ended % "declinePaymentRequest", input=id))["it"]
    paid = await town.do(town.bob, "acceptPaymentRequest", idempotencyKey="yes", **id)
    conflict = await town.do(town.bob, "acceptPaymentRequest", idempotencyKey="again", **id)
    late = (await town.ask(town.bob, ended % "declinePaymentRequest", input=id))["it"]

    assert (request["state"], request["requester"], request["payer"]) == (
        "OPEN",
        {"handle": "alice"},
        {"handle": "bob"},
    )
    assert (again["replayed"], again["paymentRequest"]) == (True, request)
    assert (forbidden["__typename"], conflict["__typename"], late["code"]) == (
        "ForbiddenError",
        "ConflictError",
        "CONFLICT",
    )
    incoming = (await town.ask(town.bob, listed, state="ACCEPTED"))["viewer"]["paymentRequests"]["nodes"]
    assert incoming == [{"id": request["id"], "state": "ACCEPTED", "transfer": {"id": paid["transfer"]["id"]}}]
    assert (await town.ask(town.alice, listed))["viewer"]["paymentRequests"]["nodes"] == []


async def test_balances_are_heard_from_the_cursor_of_a_transfer(town: Town) -> None:
    await town.fill(town.alice, "10")
    first = await town.pay(town.alice, "1", "k1")
    await town.pay(town.alice, "2", "k2")
    document = """subscription B($after: Cursor) { balanceChanged(after: $after) {
      cursor coalesced wallet { posted { amount } version } entry { id kind amount { amount } counterparty { handle } }
    } }"""

    async with Hub(town.database) as town.hub:
        stream = await town.hear(town.alice, document, after=first["cursor"])
        async with listening(stream, town.hub) as listener:
            missed = await _heard(listener)
            third = await town.pay(town.alice, "3", "k3")
            live = await _heard(listener)

    assert (missed["wallet"]["posted"]["amount"], missed["entry"]["amount"]["amount"]) == ("7.00", "-2.00")
    assert (live["wallet"]["posted"]["amount"], live["cursor"]) == ("4.00", third["cursor"])
    assert live["entry"]["counterparty"] == {"handle": "bob"}


async def _heard(listener: Listener) -> Any:
    (event,) = await listener.hear(1)
    return event["balanceChanged"]
