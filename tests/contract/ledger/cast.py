"""Three people with wallets and a shop, among whom every mutation that moves money can succeed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from datastores import ledger
from datastores.clock import utc_now
from datastores.ledger import Tier, WalletStatus
from datastores.ledger.quotes import VALID_FOR_S
from gateway.identity.identities import Person
from gateway.settings import DEVELOPMENT_ISSUER
from resolvers import wallets
from tests.contract.acts import done, eur, key, newcomer
from tests.contract.town import Town

PURSE = "20000.00"
# More than may leave the wallet of an unverified person at once.
PRICE = "50.10"
MOST_OF_A_DAY = "1950.00"
CURRENCIES = ("EUR", "USD", "JPY")


@dataclass
class Cast:
    """`own` asks, `other` is on the other side, `third` has nothing to do with it; `shop` is the other's listing."""

    town: Town
    own: str
    other: str
    third: str
    shop: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    wallets: dict[tuple[str, str], str] = field(default_factory=dict)
    current: dict[str, str] = field(default_factory=dict)
    over: dict[tuple[str, str], str] = field(default_factory=dict)
    _tiers: dict[str, Tier | None] = field(default_factory=dict)

    async def pay(self, payer: str, payee: str, amount: str = PRICE) -> str:
        """The id of a transfer that was just made."""
        given: dict[str, Any] = {"to": {"handle": payee}, "amount": eur(amount)}
        made = await done(self.town, payer, "transferFunds", "transfer { id }", idempotencyKey=key(), **given)
        return str(made["transfer"]["id"])

    async def ask(self, requester: str, payer: str) -> str:
        """The id of a payment request that was just made."""
        given: dict[str, Any] = {"payerId": self.ids[payer], "amount": eur(PRICE)}
        made = await done(
            self.town, requester, "requestPayment", "paymentRequest { id }", idempotencyKey=key(), **given
        )
        return str(made["paymentRequest"]["id"])

    async def order(self, buyer: str) -> str:
        """The id of an order that was just placed in the shop."""
        line = {"listingId": self.shop, "quantity": 1, "expectedUnitPrice": eur(PRICE)}
        made = await done(self.town, buyer, "placeOrder", "order { id }", idempotencyKey=key(), lines=[line])
        return str(made["order"]["id"])

    async def purse(self, who: str) -> str:
        """What a person can spend, in EUR."""
        answer = await self.town.ask(who, '{ viewer { wallet(currency: "EUR") { available { amount } } } }')
        return str(answer["viewer"]["wallet"]["available"]["amount"])

    async def is_kept(self, used: str) -> bool:
        """Whether the ledger has an entry under this key of `own`."""
        found = await self.town.gateway.database.find("entries", {"caller": self.ids[self.own], "key": used}, limit=2)
        return len(found) == 1

    async def hold(self, payer: str, payee: str, **more: Any) -> str:
        """The id of a hold that was just made."""
        given: dict[str, Any] = {"to": {"handle": payee}, "amount": eur(PRICE)} | more
        made = await done(self.town, payer, "holdFunds", "transfer { id }", idempotencyKey=key(), **given)
        return str(made["transfer"]["id"])

    async def quote(self, who: str, sell: str, *, good_for_s: float) -> str:
        """The id of a quote to sell a little for USD that is good for so long; below zero: was until so long ago."""
        identity = Person(DEVELOPMENT_ISSUER, who, who, None, 0)
        context = await self.town.gateway.contexts.open(identity, "")
        context.now = lambda: utc_now() + timedelta(seconds=good_for_s - VALID_FOR_S)
        quote = await wallets.quote_exchange(
            context, sell_currency=sell, buy_currency="USD", sell_amount=Decimal(PRICE)
        )
        return quote["_id"]

    @asynccontextmanager
    async def frozen(self, who: str, *currencies: str) -> AsyncIterator[None]:
        """All wallets of a person, or those in these currencies, are frozen meanwhile."""
        await self._set_status(who, currencies or CURRENCIES, WalletStatus.FROZEN)
        try:
            yield
        finally:
            await self._set_status(who, currencies or CURRENCIES, WalletStatus.OPEN)

    @asynccontextmanager
    async def holding(self, who: str, amount: str) -> AsyncIterator[None]:
        """So much of what a person has is held for the third meanwhile; then it is as if it had never left."""
        async with self.in_tier(who, "EUR", Tier.BUSINESS):
            hold = await self.hold(who, self.third, amount=eur(amount))
        try:
            yield
        finally:
            await done(self.town, self.third, "voidHold", idempotencyKey=key(), transferId=hold)

    @asynccontextmanager
    async def broke(self, who: str) -> AsyncIterator[None]:
        """All that a person has is held for the third meanwhile."""
        async with self.holding(who, await self.purse(who)):
            yield

    @asynccontextmanager
    async def in_tier(self, who: str, currency: str, tier: Tier) -> AsyncIterator[None]:
        """The wallet of a person is in this tier meanwhile."""
        wallet = self.wallets[who, currency]
        before = self._tiers.get(wallet)
        if (before or Tier.BUSINESS) is tier:
            yield
            return
        await self._set_tier(wallet, tier)
        try:
            yield
        finally:
            await self._set_tier(wallet, before)

    async def _set_tier(self, wallet: str, tier: Tier | None) -> None:
        act = ledger.SetTier(ledger.system_command(f"tier-{key()}", wallet), wallet, tier)
        await self.town.gateway.commits[ledger.COMMIT_LOOP].submit(act)
        self._tiers[wallet] = tier

    async def _set_status(self, who: str, currencies: Sequence[str], status: WalletStatus) -> None:
        loop = self.town.gateway.commits[ledger.COMMIT_LOOP]
        ids = [self.wallets[who, currency] for currency in currencies]
        commands = [ledger.system_command(f"{status.value}-{key()}", id) for id in ids]
        acts = [ledger.SetStatus(*one, status) for one in zip(commands, ids, strict=True)]
        await asyncio.gather(*(loop.submit(act) for act in acts))


async def gather_cast(town: Town) -> Cast:
    """A new cast; the first two have 20,000 EUR each, all have wallets in USD and JPY, and `own` 150 USD."""
    cast = Cast(town, await newcomer(town, funds=PURSE), await newcomer(town, funds=PURSE), await newcomer(town))
    for who in (cast.own, cast.other, cast.third):
        cast.ids[who] = await town.id_of(who)
        for currency in CURRENCIES:
            opened = await done(town, who, "openWallet", "wallet { id }", currency=currency)
            cast.wallets[who, currency] = opened["wallet"]["id"]
    dollars: Any = {"amount": "150.00", "currency": "USD"}
    rail: dict[str, Any] = {"walletId": cast.wallets[cast.own, "USD"], "amount": dollars, "source": "sandbox:ok"}
    await done(town, cast.own, "topUpWallet", idempotencyKey=key(), **rail)
    await done(town, cast.other, "openMerchant", name="Small wares")
    ware = {"title": "Pin", "description": "A pin", "category": "things", "kind": "GOOD", "state": "ACTIVE"}
    listed = await done(town, cast.other, "createListing", "listing { id }", **ware, price=eur(PRICE), stock=100_000)
    cast.shop = listed["listing"]["id"]
    return cast
