"""Limits, frozen and closed wallets as people may rely on them, over real sockets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from datastores import ledger
from datastores.ledger import Tier, WalletStatus
from tests.contract.acts import attempt, codes, done, eur, key, newcomer, refused
from tests.contract.town import Town

pytestmark = pytest.mark.asyncio(loop_scope="session")

MONEY = "{ amount currency }"
LIMITS = f"""limits {{ tier perTransaction {MONEY} perDay {MONEY} per30Days {MONEY} maxBalance {MONEY}
  leftToday {MONEY} leftIn30Days {MONEY} }}"""
WALLET = f'{{ viewer {{ wallet(currency: "EUR") {{ id status posted {MONEY} {LIMITS} }} }} }}'
PAY = f"""mutation ($input: TransferFundsInput!) {{ transferFunds(input: $input) {{
  __typename ... on Error {{ code message }} ... on LimitExceeded {{ limit {MONEY} window freesAt }}
  ... on TransferFundsSuccess {{ replayed transfer {{ id state }} }} }} }}"""
CHANGES = "subscription ($id: ID) { balanceChanged(walletId: $id) { wallet { id status version } entry { id } } }"
NOBODY = "wal_00000000000000000000000000"


async def wallet(town: Town, who: str) -> Any:
    return (await town.ask(who, WALLET))["viewer"]["wallet"]


async def pay(town: Town, who: str, other: str, amount: str, idempotency_key: str | None = None) -> Any:
    given = {"idempotencyKey": idempotency_key or key(), "to": {"handle": other}, "amount": eur(amount)}
    return (await town.ask(who, PAY, input=given))["transferFunds"]


async def give_tier(town: Town, who: str, tier: Tier | None) -> None:
    id = (await wallet(town, who))["id"]
    act = ledger.SetTier(ledger.system_command("tier", key()), id, tier, "seen their papers")
    await town.gateway.commits[ledger.COMMIT_LOOP].submit(act)


async def set_status(town: Town, who: str, status: WalletStatus) -> None:
    id = (await wallet(town, who))["id"]
    act = ledger.SetStatus(ledger.system_command("status", key()), id, status, "A court says so")
    await town.gateway.commits[ledger.COMMIT_LOOP].submit(act)


def next_midnight() -> str:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    return f"{tomorrow.isoformat()}T00:00:00.000Z"


@pytest.fixture
def away_from_midnight() -> None:
    """Tests of a day must begin and end on the same one."""
    if datetime.now(UTC).date() != (datetime.now(UTC) + timedelta(seconds=30)).date():
        pytest.skip("the day is about to end")


@pytest.mark.usefixtures("away_from_midnight")
class TestLimits:
    async def test_a_wallet_without_a_tier_has_that_of_the_deployment(self, town: Town) -> None:
        who = await newcomer(town, funds="1.00")

        none = dict.fromkeys(("perTransaction", "perDay", "per30Days", "maxBalance", "leftToday", "leftIn30Days"), None)
        assert (await wallet(town, who))["limits"] == {"tier": "BUSINESS", **none}

    async def test_a_wallet_says_what_it_allows_and_what_is_left(self, town: Town) -> None:
        one, other = await newcomer(town, funds="9000.00"), await newcomer(town)
        await give_tier(town, one, Tier.BASIC)

        await pay(town, one, other, "150.25")

        assert (await wallet(town, one))["limits"] == {
            "tier": "BASIC",
            "perTransaction": eur("1000.00"),
            "perDay": eur("2000.00"),
            "per30Days": eur("5000.00"),
            "maxBalance": eur("5000.00"),
            "leftToday": eur("1849.75"),
            "leftIn30Days": eur("4849.75"),
        }

    async def test_a_refusal_says_which_limit_and_when_it_frees_and_stays_so(self, town: Town) -> None:
        one, other = await newcomer(town, funds="9000.00"), await newcomer(town)
        await give_tier(town, one, Tier.BASIC)

        much = await pay(town, one, other, "1000.01")
        for _ in range(2):
            assert (await pay(town, one, other, "900.00"))["__typename"] == "TransferFundsSuccess"
        full = await pay(town, one, other, "200.01", "full")
        fits = await pay(town, one, other, "200.00")
        await give_tier(town, one, Tier.VERIFIED)
        again = await pay(town, one, other, "200.01", "full")

        assert (much["code"], much["window"], much["limit"]) == ("LIMIT_EXCEEDED", "transaction", eur("1000.00"))
        assert much["freesAt"] is None
        assert (full["window"], full["limit"], full["freesAt"]) == ("day", eur("2000.00"), next_midnight())
        assert fits["__typename"] == "TransferFundsSuccess"
        assert again == full

    async def test_a_payee_who_cannot_hold_it_is_not_given_away(self, town: Town) -> None:
        one, other = await newcomer(town, funds="9000.00"), await newcomer(town, funds="100.00")
        await give_tier(town, other, Tier.UNVERIFIED)

        answer = await pay(town, one, other, "50.01")

        assert (answer["window"], answer["limit"], answer["freesAt"]) == ("balance", eur("150.00"), None)
        assert "100" not in answer["message"]
        assert (await pay(town, one, other, "50.00"))["__typename"] == "TransferFundsSuccess"

    async def test_every_way_that_money_leaves_is_limited(self, town: Town) -> None:
        one, other = await newcomer(town, funds="9000.00"), await newcomer(town)
        mine = (await wallet(town, one))["id"]
        ids = {"payerId": await town.id_of(one), "amount": eur("60.00")}
        asked = await done(town, other, "requestPayment", "paymentRequest { id }", idempotencyKey=key(), **ids)
        sell = {"from": "EUR", "to": "USD", "sellAmount": "60.00"}
        quote = await done(town, one, "quoteExchange", "quote { id }", **sell)
        await give_tier(town, one, Tier.UNVERIFIED)
        to = {"to": {"handle": other}, "amount": eur("60.00")}
        out = {"walletId": mine, "amount": eur("60.00"), "destination": "sandbox:ok"}

        for mutation, given in (
            ("transferFunds", to),
            ("holdFunds", to),
            ("acceptPaymentRequest", {"paymentRequestId": asked["paymentRequest"]["id"]}),
            ("withdrawFromWallet", out),
            ("exchangeFunds", {"quoteId": quote["quote"]["id"]}),
        ):
            assert await refused(town, one, mutation, idempotencyKey=key(), **given) == "LimitExceeded", mutation
        assert (await wallet(town, one))["posted"] == eur("9000.00")

    async def test_money_that_comes_back_takes_nothing_of_a_limit(self, town: Town) -> None:
        one, other = await newcomer(town, funds="5000.00"), await newcomer(town, funds="100.00")
        await give_tier(town, one, Tier.BASIC)
        paid = await pay(town, one, other, "1000.00")
        to = {"to": {"handle": other}, "amount": eur("700.00")}
        held = await done(town, one, "holdFunds", "transfer { id }", idempotencyKey=key(), **to)
        assert (await wallet(town, one))["limits"]["leftToday"] == eur("300.00")

        await give_tier(town, other, Tier.UNVERIFIED)
        await done(town, other, "refundTransfer", idempotencyKey=key(), transferId=paid["transfer"]["id"])
        await done(town, other, "voidHold", idempotencyKey=key(), transferId=held["transfer"]["id"])

        assert (await wallet(town, one))["limits"]["leftToday"] == eur("1000.00")
        assert (await wallet(town, other))["limits"]["leftToday"] == eur("100.00")

    async def test_64_at_once_against_a_day_are_exactly_as_many_as_fit(self, town: Town) -> None:
        one, other = await newcomer(town, funds="9000.00"), await newcomer(town)
        await give_tier(town, one, Tier.BASIC)

        answers = await asyncio.gather(*(pay(town, one, other, "90.00", f"k{n}") for n in range(64)))
        again = await asyncio.gather(*(pay(town, one, other, "90.00", f"k{n}") for n in range(64)))

        kinds = [answer["__typename"] for answer in answers]
        assert (kinds.count("TransferFundsSuccess"), kinds.count("LimitExceeded")) == (22, 42)
        assert [answer["__typename"] for answer in again] == kinds
        now = await wallet(town, one)
        assert (now["posted"], now["limits"]["leftToday"]) == (eur("7020.00"), eur("20.00"))


class TestFrozenWallets:
    @pytest.mark.parametrize("status", [WalletStatus.FROZEN, WalletStatus.CLOSED])
    async def test_nothing_is_paid_from_it_or_into_it(self, town: Town, status: WalletStatus) -> None:
        one, other = await newcomer(town, funds="100.00"), await newcomer(town, funds="100.00")
        mine = (await wallet(town, one))["id"]
        ids = {"payerId": await town.id_of(one), "amount": eur("6.00")}
        asked = await done(town, other, "requestPayment", "paymentRequest { id }", idempotencyKey=key(), **ids)
        sell = {"from": "EUR", "to": "USD", "sellAmount": "6.00"}
        quote = await done(town, one, "quoteExchange", "quote { id }", **sell)
        hold = {"to": {"handle": one}, "amount": eur("5.00")}
        held = await done(town, other, "holdFunds", "transfer { id }", idempotencyKey=key(), **hold)
        await set_status(town, one, status)
        to, back = {"to": {"handle": other}, "amount": eur("1.00")}, {"to": {"handle": one}, "amount": eur("1.00")}

        for who, mutation, given in (
            (one, "transferFunds", to),
            (other, "transferFunds", back),
            (one, "holdFunds", to),
            (other, "holdFunds", back),
            (one, "captureHold", {"transferId": held["transfer"]["id"]}),
            (one, "acceptPaymentRequest", {"paymentRequestId": asked["paymentRequest"]["id"]}),
            (one, "withdrawFromWallet", {"walletId": mine, "amount": eur("1.00"), "destination": "sandbox:ok"}),
            (one, "topUpWallet", {"walletId": mine, "amount": eur("1.00"), "source": "sandbox:ok"}),
            (one, "exchangeFunds", {"quoteId": quote["quote"]["id"]}),
        ):
            answer = await attempt(town, who, mutation, idempotencyKey=key(), **given)
            assert (answer["__typename"], answer["code"]) == ("TransferRefused", "ACCOUNT_FROZEN"), mutation
        await done(town, one, "voidHold", idempotencyKey=key(), transferId=held["transfer"]["id"])
        assert (await wallet(town, one))["posted"] == eur("100.00")

    async def test_a_refusal_stays_when_the_wallet_is_open_again(self, town: Town) -> None:
        one, other = await newcomer(town, funds="100.00"), await newcomer(town)
        await set_status(town, one, WalletStatus.FROZEN)
        first = await pay(town, one, other, "1.00", "k")
        await set_status(town, one, WalletStatus.OPEN)

        assert first["code"] == "ACCOUNT_FROZEN"
        assert await pay(town, one, other, "1.00", "k") == first
        assert (await pay(town, one, other, "1.00"))["__typename"] == "TransferFundsSuccess"

    async def test_its_owner_hears_of_it_and_nobody_of_the_reason(self, town: Town) -> None:
        who = await newcomer(town, funds="100.00")
        before = await wallet(town, who)

        async with town.subscribed(who, CHANGES, id=before["id"]) as heard:
            await set_status(town, who, WalletStatus.FROZEN)
            event = (await heard.next())["balanceChanged"]

        assert (event["wallet"]["status"], event["entry"]) == ("FROZEN", None)
        assert "court" not in str(event)
        entries = "{ viewer { wallets { entries(first: 50, states: [PENDING, POSTED, REFUSED]) { nodes { kind } } } } }"
        assert "STATUS" not in str(await town.ask(who, entries))


class TestClosing:
    async def test_an_empty_wallet_is_closed_and_opened_again(self, town: Town) -> None:
        who, other = await newcomer(town), await newcomer(town, funds="5.00")
        id = (await done(town, who, "openWallet", "wallet { id }", currency="EUR"))["wallet"]["id"]

        async with town.subscribed(who, CHANGES, id=id) as heard:
            closed = await done(town, who, "closeWallet", "wallet { id status }", walletId=id)
            event = (await heard.next())["balanceChanged"]
        paid = await pay(town, other, who, "1.00")
        opened = await done(town, who, "openWallet", "wallet { id status }", currency="EUR")

        assert closed["wallet"] == {"id": id, "status": "CLOSED"}
        assert (event["wallet"]["status"], event["entry"]) == ("CLOSED", None)
        assert paid["code"] == "ACCOUNT_FROZEN"
        assert opened["wallet"] == {"id": id, "status": "OPEN"}
        assert (await pay(town, other, who, "1.00"))["__typename"] == "TransferFundsSuccess"

    async def test_closing_twice_or_64_times_at_once_is_once(self, town: Town) -> None:
        who = await newcomer(town)
        id = (await done(town, who, "openWallet", "wallet { id }", currency="EUR"))["wallet"]["id"]
        selection = "wallet { status version }"

        at_once = await asyncio.gather(*(done(town, who, "closeWallet", selection, walletId=id) for _ in range(64)))
        again = await done(town, who, "closeWallet", selection, walletId=id)

        assert {(each["wallet"]["status"], each["wallet"]["version"]) for each in at_once} == {("CLOSED", "1")}
        assert again == at_once[0]

    async def test_money_in_it_or_on_its_way_keeps_it_open(self, town: Town) -> None:
        who, other = await newcomer(town, funds="5.00"), await newcomer(town)
        id = (await wallet(town, who))["id"]
        assert await refused(town, who, "closeWallet", walletId=id) == "ConflictError"
        to = {"to": {"handle": other}, "amount": eur("5.00")}
        held = await done(town, who, "holdFunds", "transfer { id }", idempotencyKey=key(), **to)
        assert await refused(town, who, "closeWallet", walletId=id) == "ConflictError"
        theirs = (await wallet(town, other))["id"]
        assert await refused(town, other, "closeWallet", walletId=theirs) == "ConflictError"

        await done(town, other, "captureHold", idempotencyKey=key(), transferId=held["transfer"]["id"])

        assert (await done(town, who, "closeWallet", "wallet { status }", walletId=id))["wallet"]["status"] == "CLOSED"

    async def test_a_frozen_wallet_is_neither_closed_nor_opened_by_its_owner(self, town: Town) -> None:
        who = await newcomer(town)
        id = (await done(town, who, "openWallet", "wallet { id }", currency="EUR"))["wallet"]["id"]
        await set_status(town, who, WalletStatus.FROZEN)

        assert await refused(town, who, "closeWallet", walletId=id) == "ConflictError"
        opened = await done(town, who, "openWallet", "wallet { status }", currency="EUR")
        assert opened["wallet"]["status"] == "FROZEN"

    async def test_nobody_closes_the_wallet_of_another(self, town: Town) -> None:
        who = await newcomer(town)
        id = (await done(town, who, "openWallet", "wallet { id }", currency="EUR"))["wallet"]["id"]
        close = "mutation ($id: ID!) { closeWallet(input: { walletId: $id }) { __typename } }"

        assert await refused(town, "mallory", "closeWallet", walletId=id) == "NotFoundError"
        assert await refused(town, who, "closeWallet", walletId=NOBODY) == "NotFoundError"
        assert await codes(town, None, close, id=id) == ["UNAUTHENTICATED"]
        assert (await wallet(town, who))["status"] == "OPEN"


async def test_the_ledger_proves_all_of_it(town: Town) -> None:
    report = await ledger.verify(town.gateway.database)

    assert ledger.problem_lines(report.problems) == []
