"""People exchange between their wallets: quotes once and in time, all of it in one entry, nothing lost by rounding."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from datastores import ledger
from datastores.errors import (
    ConflictError,
    ExpectedError,
    ForbiddenError,
    IdempotencyKeyReusedError,
    InsufficientFundsError,
    LimitExceededError,
    NotFoundError,
    TransferRefusedError,
    UnauthenticatedError,
    ValidationError,
)
from datastores.ledger import MAX_MINOR_UNITS, NO_FEES, QuoteDocument, verify
from datastores.mongo import Database
from resolvers import wallets
from resolvers.wallets import MoneyMoved
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import balance, deltas, fill, freeze, journal, key, later, transfer

NO_QUOTE = "quo_01JD0000000000000000000000"


async def quote(ask: Ask, user_id: str, pair: str = "EUR USD", **amount: str) -> QuoteDocument:
    """A quote for one currency against another, with the amount to `sell` or to `buy`."""
    given = {f"{side}_amount": Decimal(text) for side, text in amount.items()}
    sell, buy = pair.split()
    return await wallets.quote_exchange(ask(user_id), sell_currency=sell, buy_currency=buy, **given)


async def exchange(ask: Ask, user_id: str, quote_id: str, idempotency_key: str | None = None) -> MoneyMoved:
    return await wallets.exchange_funds(ask(user_id), idempotency_key=idempotency_key or key(), quote_id=quote_id)


async def positions(database: Database) -> dict[str, int]:
    """What the system's accounts hold, those of the rails left out."""
    found = await database.find("accounts", {"owner_id": None, "kind": {"$ne": "RAIL"}}, limit=100)
    return {account["_id"].removeprefix("acct_"): account["posted"] for account in found if account["posted"]}


class TestQuotes:
    async def test_selling_says_what_comes_and_what_it_costs_on_top(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")

        made = await quote(ask, ann, sell="100")

        assert made["sell"] == {"minor_units": 10_000, "currency": "EUR"}
        assert made["buy"] == {"minor_units": 11_720, "currency": "USD"}
        assert made["fee"] == {"minor_units": 50, "currency": "EUR"}
        assert made["rate"] == "1.1720"
        assert (made["expires_at"] - made["created_at"]).total_seconds() == 30

    async def test_buying_says_what_leaves(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")

        made = await quote(ask, ann, "USD JPY", buy="1000")

        assert (made["sell"]["minor_units"], made["buy"]["minor_units"]) == (639, 1_000)
        assert made["rate"] == "156.569965870"

    @pytest.mark.parametrize(
        ("pair", "amount", "path"),
        [
            ("EUR EUR", {"sell": "1"}, ["to"]),
            ("XXQ EUR", {"sell": "1"}, ["from"]),
            ("EUR XXQ", {"sell": "1"}, ["to"]),
            ("EUR USD", {}, ["sellAmount"]),
            ("EUR USD", {"sell": "1", "buy": "1"}, ["sellAmount"]),
            ("EUR USD", {"sell": "0"}, ["sellAmount"]),
            ("EUR USD", {"sell": "-1"}, ["sellAmount"]),
            ("EUR USD", {"sell": "0.001"}, ["sellAmount"]),
            ("EUR JPY", {"buy": "0.5"}, ["buyAmount"]),
            ("EUR USD", {"sell": "92233720368547758.07"}, ["sellAmount"]),
            ("USD EUR", {"sell": "92233720368547758.07"}, ["sellAmount"]),
            ("VND EUR", {"sell": "1"}, ["sellAmount"]),
            ("USD EUR", {"buy": "92233720368547758.07"}, ["buyAmount"]),
        ],
    )
    async def test_what_cannot_be_exchanged_is_not_quoted(
        self, database: Database, ask: Ask, pair: str, amount: dict[str, str], path: list[str]
    ) -> None:
        (ann,) = await people(database, "ann")

        with pytest.raises(ValidationError) as refused:
            await quote(ask, ann, pair, **amount)

        assert refused.value.details["path"] == path
        assert await database.count("quotes", {}) == 0

    async def test_without_a_rate_there_is_no_quote(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")

        def without(user_id: str | None) -> Any:
            return replace(ask(user_id), rates=None)

        with pytest.raises(NotFoundError, match="no rate between EUR and AFN"):
            await quote(ask, ann, "EUR AFN", sell="1")
        with pytest.raises(NotFoundError, match="no rate between EUR and USD"):
            await quote(without, ann, sell="1")

    async def test_nobody_and_partners_get_none(self, ask: Ask) -> None:
        with pytest.raises(UnauthenticatedError):
            await wallets.quote_exchange(ask(None), sell_currency="EUR", buy_currency="USD", sell_amount=Decimal(1))
        partner = replace(ask(None), viewer=replace(ask(None).viewer, kind="partner", partner_id="ptn_1"))
        with pytest.raises(ForbiddenError):
            await wallets.exchange_funds(partner, idempotency_key="k", quote_id=NO_QUOTE)


class TestExchanging:
    async def test_one_entry_moves_all_of_it(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")
        euros = await fill(ask, ann, "200")
        made = await quote(ask, ann, sell="100")

        moved = await exchange(ask, ann, made["_id"])

        dollars = ledger.wallet_id(ann, "USD")
        assert moved["wallet"] is not None
        assert (moved["wallet"]["_id"], moved["wallet"]["posted"]["minor_units"]) == (euros, 9_950)
        shown = moved["transfer"]
        assert (shown["amount"], shown["fee"]) == (made["sell"], made["fee"])
        assert shown["exchange"] == {"sold": made["sell"], "bought": made["buy"], "rate": "1.1720"}
        assert (shown["from_id"], shown["to_id"], shown["sender_id"], shown["recipient_id"]) == (
            euros,
            dollars,
            ann,
            ann,
        )
        assert await transfer(ask, ann, shown["_id"]) == shown
        assert (await balance(ask, ann), await balance(ask, ann, "USD")) == ((9_950, 9_950), (11_720, 11_720))
        assert await positions(database) == {"exchange_EUR": 10_000, "exchange_USD": -11_720, "fees_EUR": 50}
        assert (await verify(database)).problems == []

    async def test_its_legs_stand_in_both_wallets_in_their_currencies(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")
        euros = await fill(ask, ann, "200")
        moved = await exchange(ask, ann, (await quote(ask, ann, "EUR JPY", sell="100"))["_id"])

        legs = []
        for wallet in (euros, ledger.wallet_id(ann, "JPY")):
            (page,) = await wallets.entries(ask(ann), [{"_id": wallet}])
            assert not isinstance(page, Exception)
            legs.append(page["edges"][0]["node"])

        assert [leg["amount"] for leg in legs] == [ledger.money(-10_050, "EUR"), ledger.money(18_350, "JPY")]
        assert [leg["balance_after"] for leg in legs] == [ledger.money(9_950, "EUR"), ledger.money(18_350, "JPY")]
        assert {leg["kind"] for leg in legs} == {"EXCHANGE"}
        assert {leg["transfer_id"] for leg in legs} == {moved["transfer"]["_id"]}
        assert [leg["counterparty_id"] for leg in legs] == [None, None]
        (receipt,) = await wallets.receipts(ask(ann), [moved["transfer"]])
        assert receipt is not None
        body = ledger.check_receipt(receipt, await ledger.public_keys(database))
        assert [leg["leg"]["currency"] for leg in body["legs"] if not isinstance(leg, str)] == ["EUR", "JPY"]
        assert body["quote_id"] == (await journal(database))[-1]["quote_id"]

    async def test_what_rounding_leaves_over_is_kept_apart(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")
        await fill(ask, ann, "10")
        free = lambda user_id: replace(ask(user_id), fees=NO_FEES)  # noqa: E731

        await exchange(free, ann, (await quote(free, ann, "EUR JPY", sell="0.01"))["_id"])
        await exchange(free, ann, (await quote(free, ann, "EUR JPY", buy="2"))["_id"])

        # 1 cent is 1.835 yen, of which 1 is paid out; 2 yen are 1.09 cents, for which 2 are taken.
        assert await balance(ask, ann, "JPY") == (3, 3)
        assert await positions(database) == {
            "exchange_EUR": 2,
            "rounding_EUR": 1,
            "exchange_JPY": -4,
            "rounding_JPY": 1,
        }
        assert (await verify(database)).problems == []

    async def test_replayed_also_when_it_has_expired_since(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")
        await fill(ask, ann, "200")
        made = await quote(ask, ann, sell="100")
        first = await exchange(ask, ann, made["_id"], "k")
        await database.update_one("quotes", {}, {"$set": {"expires_at": made["created_at"]}})

        again = await exchange(ask, ann, made["_id"], "k")

        assert again == {**first, "replayed": True}
        other = await quote(ask, ann, sell="1")
        with pytest.raises(IdempotencyKeyReusedError):
            await exchange(ask, ann, other["_id"], "k")

    async def test_a_quote_is_good_for_one_exchange_however_many_try_at_once(
        self, database: Database, ask: Ask
    ) -> None:
        (ann,) = await people(database, "ann")
        wallet = await fill(ask, ann, "1000")
        made = await quote(ask, ann, sell="10")
        keys = [f"k{n % 40}" for n in range(50)]

        found = await asyncio.gather(*(exchange(ask, ann, made["_id"], k) for k in keys), return_exceptions=True)

        done = [each for each in found if not isinstance(each, BaseException)]
        assert len({each["transfer"]["_id"] for each in done}) == 1
        assert sum(not each["replayed"] for each in done) == 1
        assert {type(each) for each in found if isinstance(each, BaseException)} == {ConflictError}
        assert await deltas(ask, ann, wallet) == [-1_005, 100_000, 100_000]
        assert len([entry for entry in await journal(database) if entry["kind"] == "EXCHANGE"]) == 40
        assert (await verify(database)).problems == []
        # Each refusal is kept under its key.
        lost = next(k for k, each in zip(keys, found, strict=True) if isinstance(each, ConflictError))
        await database.update_one("quotes", {}, {"$set": {"used_by": None}})
        with pytest.raises(ConflictError):
            await exchange(ask, ann, made["_id"], lost)

    async def test_exchanges_there_and_back_at_once_lose_nothing(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        for who in (ann, bob):
            for currency, filled in (("EUR", "1000"), ("JPY", "100000"), ("KWD", "1000")):
                await fill(ask, who, filled, currency)
        pairs = ["EUR JPY", "JPY KWD", "KWD EUR", "JPY EUR"]

        async def swap(n: int) -> None:
            who, pair = (ann, bob)[n % 2], pairs[n % 4]
            made = await quote(ask, who, pair, **({"sell": str(n + 7)} if n % 3 else {"buy": str(n + 1)}))
            await exchange(ask, who, made["_id"])

        await asyncio.gather(*(swap(n) for n in range(40)))

        assert (await verify(database)).problems == []
        assert len([entry for entry in await journal(database) if entry["kind"] == "EXCHANGE"]) == 40


class TestRefusals:
    async def test_an_expired_quote_stays_refused(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")
        wallet = await fill(ask, ann, "200")
        made = await quote(later(ask, -31), ann, sell="100")

        with pytest.raises(TransferRefusedError) as first:
            await exchange(ask, ann, made["_id"], "k")
        await database.update_one("quotes", {}, {"$set": {"expires_at": ask(None).now().replace(year=9999)}})
        with pytest.raises(TransferRefusedError) as again:
            await exchange(ask, ann, made["_id"], "k")

        assert (first.value.code, again.value.code) == ("QUOTE_EXPIRED", "QUOTE_EXPIRED")
        assert await balance(ask, ann) == (20_000, 20_000)
        (page,) = await wallets.entries(ask(ann), [{"_id": wallet}], states=[wallets.EntryState.REFUSED])
        assert not isinstance(page, Exception)
        (leg,) = [edge["node"] for edge in page["edges"]]
        assert (leg["kind"], leg["amount"]) == ("EXCHANGE", ledger.money(-10_050, "EUR"))
        assert (await verify(database)).problems == []

    async def test_a_foreign_or_unknown_quote_is_not_found_and_uses_no_key(self, database: Database, ask: Ask) -> None:
        ann, bob = await people(database, "ann", "bob")
        for who in (ann, bob):
            await fill(ask, who, "200")
        foreign = await quote(ask, bob, sell="100")

        for id in (foreign["_id"], NO_QUOTE, "", "nonsense", "quo_" + "Z" * 26):
            with pytest.raises(NotFoundError):
                await exchange(ask, ann, id, "k")

        mine = await quote(ask, ann, sell="100")
        assert not (await exchange(ask, ann, mine["_id"], "k"))["replayed"]

    async def test_whoever_has_no_wallet_to_pay_from_is_told(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")
        made = await quote(ask, ann, sell="100")

        with pytest.raises(NotFoundError, match="open one first"):
            await exchange(ask, ann, made["_id"])

    async def test_the_fee_must_be_there_too(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")
        await fill(ask, ann, "100.49")
        made = await quote(ask, ann, sell="100")

        with pytest.raises(InsufficientFundsError) as refused:
            await exchange(ask, ann, made["_id"], "k")
        await fill(ask, ann, "0.01")
        with pytest.raises(InsufficientFundsError):
            await exchange(ask, ann, made["_id"], "k")

        assert refused.value.details["available"] == ledger.money(10_049, "EUR")
        await exchange(ask, ann, made["_id"])
        assert await balance(ask, ann) == (0, 0)

    @pytest.mark.parametrize("frozen", ["EUR", "USD"])
    async def test_a_frozen_wallet_neither_sells_nor_buys(self, database: Database, ask: Ask, frozen: str) -> None:
        (ann,) = await people(database, "ann")
        await fill(ask, ann, "200")
        await fill(ask, ann, "1", "USD")
        made = await quote(ask, ann, sell="100")
        await freeze(ask, ledger.wallet_id(ann, frozen))

        with pytest.raises(TransferRefusedError) as refused:
            await exchange(ask, ann, made["_id"])

        assert refused.value.code == "ACCOUNT_FROZEN"
        assert await balance(ask, ann) == (20_000, 20_000)

    async def test_a_balance_that_would_pass_64_bits_is_refused(self, database: Database, ask: Ask) -> None:
        (ann,) = await people(database, "ann")
        await fill(ask, ann, "200")
        await fill(ask, ann, str(ledger.decimal_amount(MAX_MINOR_UNITS - 100, "USD")), "USD")
        made = await quote(ask, ann, sell="100")

        with pytest.raises(LimitExceededError) as refused:
            await exchange(ask, ann, made["_id"])

        assert refused.value.details["limit"] == ledger.money(MAX_MINOR_UNITS, "USD")

    async def test_the_first_reason_that_holds_is_given(self, database: Database, ask: Ask) -> None:
        """Each further reason is mended in turn, and the next one comes to light."""
        (ann,) = await people(database, "ann")
        wallet = await fill(ask, ann, "1")
        await fill(ask, ann, "1", "USD")
        used = await quote(ask, ann, sell="0.10")
        await exchange(ask, ann, used["_id"])
        await database.update_one("quotes", {}, {"$set": {"expires_at": used["created_at"]}})
        expired, good = await quote(later(ask, -31), ann, sell="100"), await quote(ask, ann, sell="100")
        for currency in ("EUR", "USD"):
            await freeze(ask, ledger.wallet_id(ann, currency))

        async def code(made: QuoteDocument) -> tuple[str, str]:
            with pytest.raises(ExpectedError) as refused:
                await exchange(ask, ann, made["_id"])
            return refused.value.code, refused.value.message.split()[0]

        assert await code(used) == ("CONFLICT", "This")
        assert await code(expired) == ("QUOTE_EXPIRED", "This")
        assert await code(good) == ("ACCOUNT_FROZEN", "This")
        await freeze(ask, wallet, ledger.WalletStatus.OPEN)
        assert await code(good) == ("ACCOUNT_FROZEN", "The")
        await freeze(ask, ledger.wallet_id(ann, "USD"), ledger.WalletStatus.OPEN)
        assert await code(good) == ("INSUFFICIENT_FUNDS", "There")


async def test_quotes_that_nobody_used_are_forgotten_by_the_database(database: Database, ask: Ask) -> None:
    (ann,) = await people(database, "ann")
    await fill(ask, ann, "10")
    used, unused = await quote(ask, ann, sell="1"), await quote(ask, ann, sell="1")
    await exchange(ask, ann, used["_id"])

    open_quotes = await database.find("quotes", {"is_open": True}, limit=10)

    assert [each["_id"] for each in open_quotes] == [unused["_id"]]
    assert ledger.INDEXES["quotes"][0].document["expireAfterSeconds"] == 3_600
