"""Who neither pays nor is paid: accounts of the system, oneself, and whoever is not there, by whatever name."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from datastores import ledger
from tests.contract.acts import attempt, code_of, codes
from tests.contract.ledger.trials import document
from tests.contract.scene import Scene, eur, play
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOBODY = "usr_00000000000000000000000000"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(town: Town) -> Scene:
    """What Alice, Bob and Carol have among themselves."""
    return await play(town)


async def test_no_account_of_the_system_pays_or_is_paid_by_name(scene: Scene) -> None:
    escrow, rail = ledger.escrow_account_id(scene.ids["order"]), ledger.rail_account_id("sandbox", "EUR")
    before = await accounts(scene.town)
    assert {escrow, rail} <= set(before)

    for account in (escrow, rail, ledger.fees_account_id("EUR"), "acct_", "wal_"):
        for mutation, input in (
            ("transferFunds", {"to": {"walletId": account}, "amount": eur("1")}),
            ("transferFunds", {"to": {"userId": scene.ids["bob"]}, "amount": eur("1"), "fromWalletId": account}),
            ("transferFunds", {"to": {"userId": account}, "amount": eur("1")}),
            ("topUpWallet", {"walletId": account, "amount": eur("1"), "source": "sandbox:ok"}),
            ("withdrawFromWallet", {"walletId": account, "amount": eur("1"), "destination": "sandbox:ok"}),
            ("payOrder", {"orderId": scene.ids["order"], "fromWalletId": account}),
        ):
            answer = await scene.do("alice", mutation, idempotencyKey=uuid4().hex, **input)
            assert answer["code"] == "NOT_FOUND", (mutation, account, answer)

    assert await accounts(scene.town) == before


@pytest.mark.parametrize("by", ["walletId", "userId", "handle"])
async def test_nobody_pays_themselves_by_any_name(scene: Scene, by: str) -> None:
    to = {"walletId": scene.ids["wallet"], "userId": scene.ids["alice"], "handle": "@ALICE"}[by]

    answer = await scene.do("alice", "transferFunds", idempotencyKey=uuid4().hex, to={by: to}, amount=eur("1"))

    assert answer["code"] == "INVALID_INPUT"


@pytest.mark.parametrize(
    ("mutation", "input", "code"),
    [
        ("transferFunds", {"to": {"handle": "alice"}}, "INVALID_INPUT"),
        ("transferFunds", {"to": {"handle": "nobody_at_all"}}, "NOT_FOUND"),
        ("transferFunds", {"to": {"userId": NOBODY}}, "NOT_FOUND"),
        ("transferFunds", {"to": {"walletId": "wal_00000000000000000000000000"}}, "NOT_FOUND"),
        ("transferFunds", {"to": {"handle": "bob"}, "fromWalletId": "wal_00000000000000000000000000"}, "NOT_FOUND"),
        ("transferFunds", {"to": {"handle": "bob"}, "memo": "m" * 281}, "INVALID_INPUT"),
        ("transferFunds", {"to": {"handle": "bob"}, "conversationId": "cnv_00000000000000000000000000"}, "NOT_FOUND"),
        ("transferFunds", {"to": {"handle": "bob"}, "idempotencyKey": ""}, "INVALID_INPUT"),
        ("transferFunds", {"to": {"handle": "bob"}, "idempotencyKey": "k" * 1000}, "INVALID_INPUT"),
        ("holdFunds", {"to": {"handle": "alice"}}, "INVALID_INPUT"),
        ("holdFunds", {"to": {"handle": "bob"}, "expiresAt": "2020-01-01T00:00:00Z"}, "INVALID_INPUT"),
        ("holdFunds", {"to": {"handle": "bob"}, "expiresAt": "9999-12-31T23:59:59Z"}, "INVALID_INPUT"),
    ],
    ids=str,
)
async def test_a_transfer_that_cannot_be_moves_nothing(
    town: Town, mutation: str, input: dict[str, Any], code: str
) -> None:
    before = await accounts(town)

    answer = await attempt(town, "alice", mutation, **{"idempotencyKey": uuid4().hex, "amount": eur("1.00"), **input})

    assert answer["code"] == code
    assert await accounts(town) == before


@pytest.mark.parametrize(
    "to", [{}, {"handle": "bob", "userId": NOBODY}, {"handle": None}, {"email": "b@example.org"}], ids=str
)
async def test_a_transfer_names_exactly_one_target(town: Town, to: dict[str, Any]) -> None:
    for mutation in ("transferFunds", "holdFunds"):
        given = {"idempotencyKey": uuid4().hex, "to": to, "amount": eur("1.00")}
        assert set(await codes(town, "alice", document(mutation), input=given)) == {"INVALID_INPUT"}


@pytest.mark.parametrize("quantity", [0, -1, 1_001, 2**31, 1.5, "1", True, None], ids=repr)
async def test_no_other_quantity_than_a_small_positive_one_is_ordered(scene: Scene, quantity: Any) -> None:
    query = f'{{ listing(id: "{scene.ids["ware"]}") {{ stock price {{ amount currency }} }} }}'
    ware = await scene.town.ask(None, query)
    line = {"listingId": scene.ids["ware"], "quantity": quantity, "expectedUnitPrice": ware["listing"]["price"]}

    answer = await scene.do("alice", "placeOrder", idempotencyKey=uuid4().hex, lines=[line])

    assert refused(answer), answer
    assert ware == await scene.town.ask(None, query)


async def test_an_order_that_is_cancelled_and_paid_at_once_ends_in_one_way(scene: Scene) -> None:
    query = f'{{ listing(id: "{scene.ids["ware"]}") {{ stock price {{ amount currency }} }} }}'
    ware = (await scene.town.ask(None, query))["listing"]
    line = {"listingId": scene.ids["ware"], "quantity": 1, "expectedUnitPrice": ware["price"]}
    select = "... on PlaceOrderSuccess { order { id } }"
    placed = await scene.do("alice", "placeOrder", select, idempotencyKey=uuid4().hex, lines=[line])
    order = placed["order"]["id"]

    await asyncio.gather(
        *(scene.do("alice", "payOrder", idempotencyKey=uuid4().hex, orderId=order) for _ in range(3)),
        *(scene.do(who, "cancelOrder", orderId=order) for who in ("alice", "carol", "alice")),
    )
    await scene.do("alice", "cancelOrder", orderId=order)

    ended = await scene.answer("alice", "query ($id: ID!) { order(id: $id) { state } }", id=order)
    left = await accounts(scene.town)
    assert ended["data"]["order"]["state"] in ("CANCELLED", "REFUNDED")
    assert left.get(ledger.escrow_account_id(order), 0) == 0
    assert (await scene.town.ask(None, query))["listing"]["stock"] == ware["stock"]


async def test_a_key_is_its_callers_alone_and_of_one_mutation(scene: Scene) -> None:
    key, select = uuid4().hex, "... on TransferFundsSuccess { replayed transfer { sender { handle } } }"
    await scene.do("mallory", "openWallet", currency="EUR")

    mine = await scene.do("alice", "transferFunds", select, idempotencyKey=key,
                          to={"userId": scene.ids["bob"]}, amount=eur("1"))  # fmt: skip
    theirs = await scene.do("mallory", "transferFunds", select, idempotencyKey=key,
                            to={"userId": scene.ids["bob"]}, amount=eur("1"))  # fmt: skip
    other = await scene.do("alice", "requestPayment", idempotencyKey=key, payerId=scene.ids["bob"], amount=eur("1"))
    more = await scene.do("alice", "transferFunds", idempotencyKey=key,
                          to={"userId": scene.ids["bob"]}, amount=eur("2"))  # fmt: skip
    again = await scene.do("alice", "transferFunds", select, idempotencyKey=key,
                           to={"userId": scene.ids["bob"]}, amount=eur("1.00"))  # fmt: skip

    assert mine["replayed"] is False
    assert theirs["__typename"] != "IdempotencyKeyReused"
    assert theirs.get("transfer", {}).get("sender", {}).get("handle") != "alice"
    assert {other["code"], more["code"]} == {"IDEMPOTENCY_KEY_REUSED"}
    assert again == {**mine, "replayed": True}


async def accounts(town: Town) -> dict[str, int]:
    """What every account of the ledger holds, in minor units."""
    found = await town.gateway.database.find("accounts", {}, limit=10_000)
    return {account["_id"]: account["posted"] for account in found}


def refused(answer: Any) -> bool:
    """Whether the input was not accepted, as a typed error or because it is no such type."""
    if "errors" in answer:
        return {code_of(error) for error in answer["errors"]} == {"INVALID_INPUT"}
    return answer.get("code") in ("INVALID_INPUT", "INSUFFICIENT_FUNDS", "LIMIT_EXCEEDED", "CONFLICT")
