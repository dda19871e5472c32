"""Three people with wallets and a shop, among whom every mutation that moves money can succeed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from datastores import ledger
from datastores.ledger import WalletStatus
from tests.contract.acts import done, eur, key, newcomer
from tests.contract.town import Town

PURSE = "60.00"
PRICE = "0.10"
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
    over: dict[str, str] = field(default_factory=dict)

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

    @asynccontextmanager
    async def frozen(self, who: str) -> AsyncIterator[None]:
        """All wallets of a person are frozen meanwhile."""
        await self._set_status(who, WalletStatus.FROZEN)
        try:
            yield
        finally:
            await self._set_status(who, WalletStatus.OPEN)

    @asynccontextmanager
    async def broke(self, who: str) -> AsyncIterator[None]:
        """All that a person has is with the third meanwhile."""
        amount = await self.purse(who)
        await self.pay(who, self.third, amount)
        try:
            yield
        finally:
            await self.pay(self.third, who, amount)

    async def _set_status(self, who: str, status: WalletStatus) -> None:
        loop = self.town.gateway.commits[ledger.COMMIT_LOOP]
        wallets = [self.wallets[who, currency] for currency in CURRENCIES]
        commands = [ledger.system_command(f"{status.value}-{key()}", wallet) for wallet in wallets]
        acts = [ledger.SetStatus(*one, status) for one in zip(commands, wallets, strict=True)]
        await asyncio.gather(*(loop.submit(act) for act in acts))


async def gather_cast(town: Town) -> Cast:
    """A new cast; each of the first two has 60 EUR, and all have empty wallets in USD and JPY."""
    cast = Cast(town, await newcomer(town, funds=PURSE), await newcomer(town, funds=PURSE), await newcomer(town))
    for who in (cast.own, cast.other, cast.third):
        cast.ids[who] = await town.id_of(who)
        for currency in CURRENCIES:
            opened = await done(town, who, "openWallet", "wallet { id }", currency=currency)
            cast.wallets[who, currency] = opened["wallet"]["id"]
    await done(town, cast.other, "openMerchant", name="Small wares")
    ware = {"title": "Pin", "description": "A pin", "category": "things", "kind": "GOOD", "state": "ACTIVE"}
    listed = await done(town, cast.other, "createListing", "listing { id }", **ware, price=eur(PRICE), stock=100_000)
    cast.shop = listed["listing"]["id"]
    await _bring_to_an_end(cast)
    return cast


async def _bring_to_an_end(cast: Cast) -> None:
    """A transfer that is refunded, a request that is declined, and an order that is cancelled."""
    town = cast.town
    cast.over["refundTransfer"] = paid = await cast.pay(cast.other, cast.own)
    await done(town, cast.own, "refundTransfer", idempotencyKey=key(), transferId=paid)
    cast.over["acceptPaymentRequest"] = asked = await cast.ask(cast.other, cast.own)
    await done(town, cast.own, "declinePaymentRequest", paymentRequestId=asked)
    cast.over["payOrder"] = placed = await cast.order(cast.own)
    await done(town, cast.own, "cancelOrder", orderId=placed)
