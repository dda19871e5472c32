"""Holds as people may rely on them: promised, captured in parts, given back, over at their time, and once each."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datastores import ledger
from gateway.demo.script import PARTNER
from tests.contract.acts import attempt, codes, done, eur, key, newcomer, refused, talk
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

MONEY = "{ amount currency }"
HOLD = f"""transfer {{ id state amount {MONEY} capturedAmount {MONEY} refundedAmount {MONEY} expiresAt createdAt memo
  sender {{ handle }} recipient {{ handle }} from {{ id }} to {{ id }} receipt {{ seq entryHash }} }}"""
HELD = f"replayed cursor wallet {{ available {MONEY} pendingIn {MONEY} pendingOut {MONEY} posted {MONEY} }} {HOLD}"
WALLET = """{ viewer { wallet(currency: "EUR") {
  posted { amount } available { amount } pendingOut { amount } pendingIn { amount }
  entries(first: 50, states: [PENDING, POSTED, REFUSED]) { nodes { kind state amount { amount } } } } } }"""
RECEIPTS = """{ viewer { wallet(currency: "EUR") { entries(first: 10, states: [PENDING, POSTED, REFUSED]) { nodes {
  seq hash receipt { seq body entryHash previousHash headSeq headHash keyId signature } } } } } }"""
TRANSFER = f"query ($id: ID!) {{ transfer(id: $id) {{ {HOLD.removeprefix('transfer {')} }}"
BALANCES = """subscription ($after: Cursor) { balanceChanged(after: $after) {
  cursor entry { kind amount { amount } } wallet { pendingOut { amount } } } }"""
EVENTS = """query ($after: Cursor) { paymentEvents(after: $after, first: 100) {
  nodes { type cursor eventAmount { amount } transfer { id memo capturedAmount { amount } } } } }"""
UNKNOWN = "trf_00000000000000000000000000"


async def hold(town: Town, who: str, payee: str, amount: str = "6.00", **more: Any) -> Any:
    given: dict[str, Any] = {"idempotencyKey": key(), "to": {"handle": payee}, "amount": eur(amount), **more}
    return await done(town, who, "holdFunds", HELD, **given)


async def held(town: Town, amount: str = "6.00", **more: Any) -> tuple[str, str, str]:
    """Somebody with 10 EUR, of which this much is held for somebody else; and the id of the hold."""
    one, other = await newcomer(town, funds="10.00"), await newcomer(town)
    made = await hold(town, one, other, amount, **more)
    return one, other, made["transfer"]["id"]


async def capture(town: Town, who: str | None, id: str, amount: str | None = None, **more: Any) -> Any:
    given: dict[str, Any] = {"idempotencyKey": key(), "transferId": id, **more}
    return await attempt(town, who, "captureHold", HELD, **given, **({"amount": eur(amount)} if amount else {}))


async def void(town: Town, who: str | None, id: str, **more: Any) -> Any:
    return await attempt(town, who, "voidHold", HELD, **{"idempotencyKey": key(), "transferId": id, **more})


async def purse(town: Town, who: str) -> tuple[str, ...]:
    """What somebody has posted, available, on its way out and on its way in."""
    wallet = (await town.ask(who, WALLET))["viewer"]["wallet"]
    return tuple(wallet[name]["amount"] for name in ("posted", "available", "pendingOut", "pendingIn"))


async def entries(town: Town, who: str) -> list[tuple[str, str, str]]:
    """The newest entries of somebody's wallet: kind, state, amount."""
    nodes = (await town.ask(who, WALLET))["viewer"]["wallet"]["entries"]["nodes"]
    return [(node["kind"], node["state"], node["amount"]["amount"]) for node in nodes]


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def in_days(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


async def test_a_hold_is_promised_and_nothing_has_moved(town: Town) -> None:
    one, other = await newcomer(town, funds="10.00"), await newcomer(town)

    made = await hold(town, one, other, memo="A room")

    shown = made["transfer"]
    assert (shown["state"], shown["amount"], shown["capturedAmount"]) == ("PENDING", eur("6.00"), eur("0.00"))
    lifetime = datetime.fromisoformat(shown["expiresAt"]) - datetime.fromisoformat(shown["createdAt"])
    assert lifetime == timedelta(days=7)
    assert (shown["sender"], shown["recipient"]) == ({"handle": one}, {"handle": other})
    assert (await purse(town, one), await purse(town, other)) == (
        ("10.00", "4.00", "6.00", "0.00"),
        ("0.00", "0.00", "0.00", "6.00"),
    )
    seen = (await town.ask(other, TRANSFER, id=shown["id"]))["transfer"]
    assert (seen["memo"], seen["from"], seen["to"] is None) == ("A room", None, False)
    assert (await town.ask(await newcomer(town), TRANSFER, id=shown["id"]))["transfer"] is None
    poor: dict[str, Any] = {"to": {"handle": other}, "amount": eur("4.01")}
    assert await refused(town, one, "transferFunds", idempotencyKey=key(), **poor) == "InsufficientFunds"


async def test_captured_in_parts_each_with_a_receipt(town: Town) -> None:
    one, other, id = await held(town)

    first = await capture(town, other, id, "2.00")
    last = await capture(town, other, id)

    assert [each["transfer"]["state"] for each in (first, last)] == ["PENDING", "POSTED"]
    assert [each["transfer"]["capturedAmount"] for each in (first, last)] == [eur("2.00"), eur("6.00")]
    assert [each["wallet"]["pendingIn"]["amount"] for each in (first, last)] == ["4.00", "0.00"]
    seqs = [int(each["transfer"]["receipt"]["seq"]) for each in (first, last)]
    assert seqs == sorted(set(seqs))
    assert (await purse(town, one), await purse(town, other)) == (
        ("4.00", "4.00", "0.00", "0.00"),
        ("6.00", "6.00", "0.00", "0.00"),
    )
    assert await entries(town, other) == [
        ("CAPTURE", "POSTED", "4.00"),
        ("CAPTURE", "POSTED", "2.00"),
        ("HOLD", "PENDING", "6.00"),
    ]


async def test_each_entry_of_a_hold_has_a_receipt_that_holds_for_each_side(town: Town) -> None:
    one, other, id = await held(town, memo="A room")
    await capture(town, other, id, "2.00")
    await capture(town, other, id, "1.00", final=True)
    assert (await capture(town, other, id))["code"] == "HOLD_RESOLVED"
    keys = await ledger.public_keys(town.gateway.database)

    said: dict[str, list[Any]] = {}
    for who in (one, other):
        nodes = (await town.ask(who, RECEIPTS))["viewer"]["wallet"]["entries"]["nodes"]
        assert [int(node["receipt"]["seq"]) for node in nodes] == [int(node["seq"]) for node in nodes]
        assert [node["receipt"]["entryHash"] for node in nodes] == [node["hash"] for node in nodes]
        receipts = [{_snake(name): value for name, value in node["receipt"].items()} for node in nodes]
        said[who] = [ledger.check_receipt(receipt, keys) for receipt in receipts]

    mine = [(body["kind"], body["state"], body["amount"]) for body in said[other]]
    assert mine == [
        ("CAPTURE", "REFUSED", "0"),
        ("VOID", "POSTED", "300"),
        ("CAPTURE", "POSTED", "100"),
        ("CAPTURE", "POSTED", "200"),
        ("HOLD", "PENDING", "600"),
    ]
    assert [(body["kind"], body["state"], body["amount"]) for body in said[one]][:4] == mine[1:]
    assert {body["memo"]["text"] for body in said[other][1:]} == {"A room"}


async def test_a_final_capture_gives_back_the_rest_at_once(town: Town) -> None:
    one, other, id = await held(town)

    answer = await capture(town, other, id, "2.00", final=True)

    assert (answer["transfer"]["state"], answer["transfer"]["capturedAmount"]) == ("POSTED", eur("2.00"))
    assert answer["wallet"]["pendingIn"] == eur("0.00")
    assert await purse(town, one) == ("8.00", "8.00", "0.00", "0.00")
    assert (await entries(town, one))[:2] == [("VOID", "POSTED", "4.00"), ("CAPTURE", "POSTED", "-2.00")]


async def test_given_back_what_was_not_captured(town: Town) -> None:
    one, other, id = await held(town)
    untouched = (await hold(town, one, other, "1.00"))["transfer"]["id"]
    await capture(town, other, id, "2.00")

    answers = [await void(town, other, each) for each in (id, untouched)]

    assert [each["transfer"]["state"] for each in answers] == ["POSTED", "VOIDED"]
    assert await purse(town, one) == ("8.00", "8.00", "0.00", "0.00")


async def test_the_sweeper_gives_back_what_is_overdue_and_the_payer_hears_of_it(town: Town) -> None:
    one, other = await newcomer(town, funds="10.00"), await newcomer(town)
    soon = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
    made = await hold(town, one, other, expiresAt=soon)
    id = made["transfer"]["id"]

    async with town.subscribed(one, BALANCES, after=made["cursor"]) as heard:
        event = (await heard.next())["balanceChanged"]

    assert (event["entry"], event["wallet"]["pendingOut"]) == (
        {"kind": "VOID", "amount": {"amount": "6.00"}},
        {"amount": "0.00"},
    )
    assert (await town.ask(one, TRANSFER, id=id))["transfer"]["state"] == "VOIDED"
    for answer in (await capture(town, other, id), await void(town, other, id)):
        assert (answer["__typename"], answer["code"]) == ("TransferRefused", "HOLD_EXPIRED")


@pytest.mark.parametrize("end", ["captureHold", "voidHold"])
async def test_after_the_end_each_try_is_refused_and_kept(town: Town, end: str) -> None:
    one, other, id = await held(town)
    await done(town, other, end, idempotencyKey="end", transferId=id)

    tries = [await capture(town, other, id, idempotencyKey="late") for _ in range(2)]
    tries += [await void(town, other, id, idempotencyKey="later") for _ in range(2)]
    tries.append(await capture(town, other, id, "99.00"))

    assert {(each["__typename"], each["code"]) for each in tries} == {("TransferRefused", "HOLD_RESOLVED")}
    assert (tries[0], tries[2]) == (tries[1], tries[3])
    again = await attempt(town, other, end, "replayed", idempotencyKey="end", transferId=id)
    assert again["replayed"] is True
    assert (await purse(town, one))[2] == "0.00"


async def test_more_than_is_left_cannot_be_captured(town: Town) -> None:
    _, other, id = await held(town)
    await capture(town, other, id, "5.00")

    tries = [await capture(town, other, id, amount) for amount in ("1.01", "6.00", "92233720368547758.07")]

    assert {each["code"] for each in tries} == {"AMOUNT_EXCEEDS_HOLD"}
    assert (await entries(town, other))[0] == ("CAPTURE", "REFUSED", "92233720368547758.07")
    assert (await purse(town, other))[0] == "5.00"


async def test_only_who_is_promised_it_may_and_strangers_learn_nothing(town: Town) -> None:
    one, other, id = await held(town)
    stranger = await newcomer(town)

    for act in (capture, void):
        assert (await act(town, one, id))["code"] == "FORBIDDEN"
        assert (await act(town, stranger, id))["code"] == "NOT_FOUND"
        assert (await act(town, PARTNER, id))["code"] == "FORBIDDEN"
    document = """mutation ($input: CaptureHoldInput!) { captureHold(input: $input) { __typename } }"""
    assert await codes(town, None, document, input={"idempotencyKey": key(), "transferId": id}) == ["UNAUTHENTICATED"]
    assert (await purse(town, other))[3] == "6.00"


@pytest.mark.parametrize("id", ["", "nonsense", "x" * 400, UNKNOWN, "usr_00000000000000000000000000", "trf_🦉"])
@pytest.mark.parametrize("mutation", ["captureHold", "voidHold"])
async def test_an_id_that_is_no_holds_is_not_found(town: Town, mutation: str, id: str) -> None:
    assert await refused(town, "alice", mutation, idempotencyKey=key(), transferId=id) == "NotFoundError"


async def test_a_transfer_is_no_hold(town: Town) -> None:
    one, other = await newcomer(town, funds="5.00"), await newcomer(town)
    given: dict[str, Any] = {"to": {"handle": other}, "amount": eur("1.00")}
    paid = await done(town, one, "transferFunds", HOLD, idempotencyKey=key(), **given)

    assert (paid["transfer"]["capturedAmount"], paid["transfer"]["expiresAt"]) == (None, None)
    assert (await capture(town, other, paid["transfer"]["id"]))["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("input", "code"),
    [
        ({"amount": eur("0.00")}, "INVALID_INPUT"),
        ({"amount": eur("-1.00")}, "INVALID_INPUT"),
        ({"amount": eur("0.001")}, "INVALID_INPUT"),
        ({"amount": {"amount": "1.00", "currency": "XXQ"}}, "INVALID_INPUT"),
        ({"idempotencyKey": ""}, "INVALID_INPUT"),
        ({"memo": "m" * 281}, "INVALID_INPUT"),
        ({"to": {"handle": "nobody_at_all"}}, "NOT_FOUND"),
        ({"fromWalletId": "wal_00000000000000000000000000"}, "NOT_FOUND"),
        ({"conversationId": "cnv_00000000000000000000000000"}, "NOT_FOUND"),
        ({"amount": eur("10.01")}, "INSUFFICIENT_FUNDS"),
    ],
    ids=str,
)
async def test_what_cannot_be_held_reserves_nothing(town: Town, input: dict[str, Any], code: str) -> None:
    one, other = await newcomer(town, funds="10.00"), await newcomer(town)
    given = {"idempotencyKey": key(), "to": {"handle": other}, "amount": eur("1.00"), **input}

    assert (await attempt(town, one, "holdFunds", **given))["code"] == code
    assert await purse(town, one) == ("10.00", "10.00", "0.00", "0.00")


@pytest.mark.parametrize("days", [-1, 30.1])
async def test_a_hold_that_ends_too_early_or_too_late_reserves_nothing(town: Town, days: float) -> None:
    one, other = await newcomer(town, funds="10.00"), await newcomer(town)
    given: dict[str, Any] = {
        "idempotencyKey": key(),
        "to": {"handle": other},
        "amount": eur("1.00"),
        "expiresAt": in_days(days),
    }

    assert (await attempt(town, one, "holdFunds", **given))["code"] == "INVALID_INPUT"
    assert await purse(town, one) == ("10.00", "10.00", "0.00", "0.00")


async def test_nobody_holds_money_for_themselves(town: Town) -> None:
    one = await newcomer(town, funds="10.00")
    given: dict[str, Any] = {"to": {"handle": one}, "amount": eur("1.00")}

    assert await refused(town, one, "holdFunds", idempotencyKey=key(), **given) == "ValidationError"


@pytest.mark.parametrize("expires_at", ["tomorrow", "2026-01-01", "2026-01-01T00:00:00", 7])
async def test_a_time_that_is_none_is_no_request(town: Town, expires_at: Any) -> None:
    document = "mutation ($input: HoldFundsInput!) { holdFunds(input: $input) { __typename } }"
    given = {"idempotencyKey": key(), "to": {"handle": "bob"}, "amount": eur("1.00"), "expiresAt": expires_at}

    assert await codes(town, "alice", document, input=given) == ["INVALID_INPUT"]


async def test_a_key_many_times_at_once_is_one_hold_one_capture_and_one_void(town: Town) -> None:
    one, other = await newcomer(town, funds="10.00"), await newcomer(town)

    made = await asyncio.gather(*(hold(town, one, other, "3.00", idempotencyKey="k") for _ in range(12)))
    id = made[0]["transfer"]["id"]
    taken = await asyncio.gather(*(capture(town, other, id, "1.00", idempotencyKey="c") for _ in range(12)))
    back = await asyncio.gather(*(void(town, other, id, idempotencyKey="v") for _ in range(12)))

    for answers in (made, taken, back):
        assert Counter(each["replayed"] for each in answers) == {True: 11, False: 1}
        assert {each["transfer"]["id"] for each in answers} == {id}
    assert (await purse(town, one), (await purse(town, other))[0]) == (("9.00", "9.00", "0.00", "0.00"), "1.00")
    given: dict[str, Any] = {"to": {"handle": other}, "amount": eur("3.00"), "expiresAt": in_days(2)}
    assert await refused(town, one, "holdFunds", idempotencyKey="k", **given) == "IdempotencyKeyReused"
    assert (await capture(town, other, id, "1.00", idempotencyKey="c", final=True))["code"] == "IDEMPOTENCY_KEY_REUSED"


async def test_captures_and_voids_at_once_end_it_once(town: Town) -> None:
    one, other, id = await held(town)

    answers = await asyncio.gather(
        *(capture(town, other, id, "2.00") for _ in range(8)),
        *(capture(town, other, id, "1.00", final=True) for _ in range(2)),
        *(void(town, other, id) for _ in range(2)),
    )

    told = {each.get("code") for each in answers}
    assert told <= {None, "HOLD_RESOLVED", "AMOUNT_EXCEEDS_HOLD"}
    mine = await entries(town, other)
    captured = sum(float(amount) for kind, state, amount in mine if (kind, state) == ("CAPTURE", "POSTED"))
    assert captured <= 6
    assert await purse(town, other) == (f"{captured:.2f}", f"{captured:.2f}", "0.00", "0.00")
    assert (await purse(town, one))[2] == "0.00"
    assert (await capture(town, other, id))["code"] == "HOLD_RESOLVED"


async def test_what_was_captured_can_be_refunded(town: Town) -> None:
    one, other, id = await held(town)
    await capture(town, other, id, "2.00", final=True)

    too_much = await refused(town, other, "refundTransfer", idempotencyKey=key(), transferId=id, amount=eur("2.01"))
    await done(town, other, "refundTransfer", idempotencyKey=key(), transferId=id)

    shown = (await town.ask(one, TRANSFER, id=id))["transfer"]
    assert too_much == "ConflictError"
    assert (shown["state"], shown["refundedAmount"]) == ("REFUNDED", eur("2.00"))
    assert (await purse(town, one))[0] == "10.00"


async def test_a_hold_in_a_conversation_is_one_message(town: Town) -> None:
    one, other = await newcomer(town, funds="10.00"), await newcomer(town)
    chat = await talk(town, one, other)

    await asyncio.gather(*(hold(town, one, other, idempotencyKey="k", conversationId=chat) for _ in range(4)))

    document = "query ($id: ID!) { conversation(id: $id) { messages { nodes { transfer { state } } } } }"
    nodes = (await town.ask(other, document, id=chat))["conversation"]["messages"]["nodes"]
    assert nodes == [{"transfer": {"state": "PENDING"}}]


async def test_a_partner_reads_each_step_of_a_hold_for_its_merchant(town: Town) -> None:
    one = await newcomer(town, funds="10.00")
    before = await _events(town, None)
    id = (await hold(town, one, "carol", "3.00", memo="Secret"))["transfer"]["id"]
    await capture(town, "carol", id, "1.00")
    await capture(town, "carol", id, "1.00", final=True)

    events = [each for each in await _events(town, before[-1]["cursor"] if before else None) if each["transfer"]]

    mine = [each for each in events if each["transfer"]["id"] == id]
    assert [(each["type"], each["eventAmount"]["amount"]) for each in mine] == [
        ("payment.held", "3.00"),
        ("payment.captured", "1.00"),
        ("payment.captured", "1.00"),
        ("payment.voided", "1.00"),
    ]
    assert {each["transfer"]["memo"] for each in mine} == {None}
    assert {each["transfer"]["capturedAmount"]["amount"] for each in mine} == {"2.00"}


async def _events(town: Town, after: str | None) -> list[Any]:
    """All events of the demo partner from there on."""
    found: list[Any] = []
    while True:
        nodes = (await town.ask(PARTNER, EVENTS, after=after))["paymentEvents"]["nodes"]
        found += nodes
        if len(nodes) < 100:
            return found
        after = nodes[-1]["cursor"]


async def test_the_ledger_of_the_town_holds(town: Town) -> None:
    assert (await ledger.verify(town.gateway.database)).problems == []
