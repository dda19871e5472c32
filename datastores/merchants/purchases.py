"""Paying, shipping, completing and cancelling: money, stock, state and logs change together or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast

from datastores.commit import Read, Work, by_id
from datastores.errors import ConflictError, ExpectedError, NotFoundError
from datastores.ledger import (
    NO_FEES,
    AccountKind,
    Command,
    Draft,
    Entry,
    EntryKind,
    Fee,
    Party,
    Tier,
    Transfer,
    append_refund,
    append_refusal,
    append_transfer,
    escrow_account_id,
    fees_account_id,
    ledger_time,
    reads,
    refund_reads,
    sibling_id,
    stored_outcome,
    system_command,
    tier_reads,
    transfer_reads,
    wallet_id,
)
from datastores.ledger.entries import ENTRIES

from .listings import LISTINGS, add_stock
from .orders import ORDERS, OrderDocument, OrderEventKind, OrderState, change_reads, record
from .placing import Decided

COMPLETES_AFTER: Final = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class PayOrder:
    """Moves what an order costs from the buyer's wallet to the order's escrow, or keeps the refusal under their key.

    Refused with CONFLICT where the order does not wait for its payment (any more), else as `append_transfer` is.
    """

    command: Command
    order: OrderDocument
    source_id: str
    default_tier: Tier = Tier.BUSINESS

    @property
    def notice(self) -> Command:
        """The command of the notice that it was paid: there is one, whatever key paid it."""
        return system_command("pay", self.order["_id"], salt=self.command.salt)

    @property
    def transfer(self) -> Transfer:
        """The buyer's payment."""
        order = self.order
        return Transfer(
            Party(self.source_id, AccountKind.WALLET, order["buyer_id"]),
            Party(escrow_account_id(order["_id"]), AccountKind.ESCROW),
            order["total"]["minor_units"],
            order["total"]["currency"],
            sender_id=order["buyer_id"],
            recipient_id=order["merchant_owner_id"],
            event_type="payment.completed",
            merchants=(order["merchant_id"],),
            order_id=order["_id"],
            default_tier=self.default_tier,
        )

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [*transfer_reads(self.command, self.transfer), *_change_reads(self.notice, self.order)]

    def decide(self, work: Work) -> Decided:
        order = _current(work, self.order)
        if (stored := stored_outcome(work, self.command)) is not None:
            return Decided(stored, order)
        if (error := _not_payable(work, order)) is not None:
            return Decided(append_refusal(work, self.command, error, Draft(EntryKind.NOTICE)), order)
        outcome = append_transfer(work, self.command, self.transfer)
        if not outcome.posted:
            return Decided(outcome, order)
        changes = {"state": OrderState.PAID.value, "due_at": None, "transfer_id": self.command.id("trf")}
        paid_at = outcome.entry["created_at"]
        paid = record(work, self.notice, order, OrderEventKind.PAID, order["buyer_id"], paid_at=paid_at, **changes)
        return Decided(outcome, paid)


@dataclass(frozen=True, slots=True)
class ShipOrder:
    """Says that a paid order is on its way; raises ConflictError for any other."""

    command: Command
    order: OrderDocument
    actor_id: str

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield _change_reads(self.command, self.order)

    def decide(self, work: Work) -> OrderDocument:
        order = _current(work, self.order)
        if _is_done(work, self.command):
            return order
        if order["state"] != OrderState.PAID:
            raise ConflictError(f"Only a paid order can be shipped: this one is {order['state']}")
        now = ledger_time(work)
        changes = {"state": OrderState.SHIPPED.value, "shipped_at": now, "due_at": now + COMPLETES_AFTER}
        return record(work, self.command, order, OrderEventKind.SHIPPED, self.actor_id, **changes)


@dataclass(frozen=True, slots=True)
class CompleteOrder:
    """Releases the escrow of a shipped order to its merchant's owner; `actor_id` is None where 14 days have done it.

    Of what was paid, the merchant's owner then pays `commission`, by an entry of its own in the same commit. Raises
    ConflictError for an order in another state, and where the merchant cannot be paid now.
    """

    command: Command
    order: OrderDocument
    actor_id: str | None
    commission: Fee = NO_FEES.sale
    default_tier: Tier = Tier.BUSINESS

    @property
    def release(self) -> Command:
        """The command of the transfer to the merchant's owner."""
        return system_command("release", self.order["_id"], salt=self.command.salt)

    @property
    def transfer(self) -> Transfer:
        """What the merchant's owner gets: all that was paid."""
        order, currency = self.order, self.order["total"]["currency"]
        owner_id = order["merchant_owner_id"]
        return Transfer(
            Party(escrow_account_id(order["_id"]), AccountKind.ESCROW),
            Party(wallet_id(owner_id, currency), AccountKind.WALLET, owner_id),
            order["total"]["minor_units"],
            currency,
            sender_id=order["buyer_id"],
            recipient_id=owner_id,
            merchants=(order["merchant_id"],),
            order_id=order["_id"],
            default_tier=self.default_tier,
        )

    @property
    def fee(self) -> Command:
        """The command of the commission."""
        return system_command("fee", self.order["_id"], salt=self.command.salt)

    @property
    def fee_transfer(self) -> Transfer | None:
        """What the merchant's owner pays for the sale, never more than it brought; None for nothing."""
        sale, owner_id = self.transfer, self.order["merchant_owner_id"]
        amount = min(self.commission.of(sale.amount, sale.currency), sale.amount)
        if amount == 0:
            return None
        return Transfer(
            sale.target,
            Party(fees_account_id(sale.currency), AccountKind.FEES),
            amount,
            sale.currency,
            sender_id=owner_id,
            kind=EntryKind.FEE,
            merchants=sale.merchants,
            order_id=sale.order_id,
        )

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        fee = self.fee_transfer
        fee_reads = transfer_reads(self.fee, fee) if fee else []
        yield [*transfer_reads(self.release, self.transfer), *fee_reads, *_change_reads(self.command, self.order)]
        if owners := tier_reads(work, self.transfer):
            yield owners

    def decide(self, work: Work) -> OrderDocument:
        order = _current(work, self.order)
        if _is_done(work, self.command):
            return order
        if order["state"] != OrderState.SHIPPED:
            raise ConflictError(f"Only a shipped order can be completed: this one is {order['state']}")
        if self.actor_id is None and not _is_due(work, order):
            raise ConflictError("The order is not due yet")
        released = append_transfer(work, self.release, self.transfer)
        fee = self.fee_transfer
        if not released.posted or (fee and not append_transfer(work, self.fee, fee).posted):
            # Raised, not kept: the derived key must stay free for when the wallet can be paid again.
            raise ConflictError("The merchant's wallet cannot be paid now: try again later")
        changes = {"state": OrderState.COMPLETED.value, "due_at": None}
        completed_at = released.entry["created_at"]
        kind = OrderEventKind.COMPLETED
        return record(work, self.command, order, kind, self.actor_id, completed_at=completed_at, **changes)


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Ends an order before it is shipped: gives its stock back, and what was paid for it.

    `actor_id` is None where an unpaid order expires. Raises ConflictError for an order that is too far, and where the
    buyer cannot be paid now.
    """

    command: Command
    order: OrderDocument
    actor_id: str | None

    @property
    def refund(self) -> Command:
        """The command of the transfer back to the buyer."""
        return system_command("refund", self.order["_id"], salt=self.command.salt)

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        listings = by_id(LISTINGS, *(line["listing_id"] for line in self.order["lines"]))
        yield [*_change_reads(self.command, self.order), listings]
        entry_id = _payment_id(work.get(ORDERS, self.order["_id"]))
        if entry_id is not None:
            yield reads(self.refund, entries=[entry_id])
            yield refund_reads(self.refund, cast(Entry, work.get(ENTRIES, entry_id)))

    def decide(self, work: Work) -> OrderDocument:
        order = _current(work, self.order)
        if _is_done(work, self.command):
            return order
        expires = self.actor_id is None
        if order["state"] not in (OrderState.PLACED, OrderState.PAID) or (expires and not _is_due(work, order)):
            raise ConflictError(f"The order cannot be cancelled any more: it is {order['state']}")
        kind, state = OrderEventKind.CANCELLED, OrderState.CANCELLED
        if (entry_id := _payment_id(cast("dict[str, Any]", order))) is not None:
            kind, state = OrderEventKind.REFUNDED, OrderState.REFUNDED
            if not append_refund(work, self.refund, entry_id).posted:
                # Raised, not kept: the derived key must stay free for when the wallet can be paid again.
                raise ConflictError("The buyer's wallet cannot be paid now: try again later")
        for line in order["lines"]:
            if line["reserved"]:
                add_stock(work, line["listing_id"], line["reserved"])
        return record(work, self.command, order, kind, self.actor_id, state=state.value, due_at=None)


def _change_reads(command: Command, order: OrderDocument) -> list[Read]:
    return change_reads(command, order["_id"], order["buyer_id"], order["merchant_owner_id"])


def _current(work: Work, order: OrderDocument) -> OrderDocument:
    current = work.get(ORDERS, order["_id"])
    if current is None:
        raise NotFoundError("There is no such order")
    return cast(OrderDocument, current)


def _is_done(work: Work, command: Command) -> bool:
    """Whether this very act was committed by a try whose answer was lost; another's act has another salt."""
    stored = stored_outcome(work, command)
    return stored is not None and stored.entry["salt"] == command.salt


def _is_due(work: Work, order: OrderDocument) -> bool:
    return order["due_at"] is not None and order["due_at"] <= ledger_time(work)


def _payment_id(order: dict[str, Any] | None) -> str | None:
    transfer_id = order and order["transfer_id"]
    return sibling_id(transfer_id, "ent") if transfer_id else None


def _not_payable(work: Work, order: OrderDocument) -> ExpectedError | None:
    if order["state"] != OrderState.PLACED:
        return ConflictError(f"The order cannot be paid: it is {order['state']}")
    if _is_due(work, order):
        return ConflictError("The order was not paid within 30 minutes: place it again")
    return None
