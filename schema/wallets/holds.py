"""Holds in the graph: promising money to a person, and capturing it or giving it back."""

from __future__ import annotations

from datastores.mongo import Document
from resolvers import wallets as use_cases
from schema.arguments import Info, or_none
from schema.composition import root

from .domain import amount_of, moved, target_of, wallets
from .inputs import CaptureHoldInput, HoldFundsInput, VoidHoldInput
from .types import TransferFundsResult


@wallets.root
class Mutation:
    @root(
        TransferFundsResult | None,
        description=(
            "Promise a person money: it can be spent for nothing else until it is captured, given back, or its time is "
            "over."
        ),
    )
    async def hold_funds(self, info: Info, input: HoldFundsInput) -> Document:
        return moved(
            await use_cases.hold_funds(
                info.context,
                idempotency_key=input.idempotency_key,
                amount=amount_of(input.amount),
                to=target_of(input.to),
                expires_at=or_none(input.expires_at),
                from_wallet_id=or_none(input.from_wallet_id),
                memo=or_none(input.memo),
                conversation_id=or_none(input.conversation_id),
            )
        )

    @root(
        TransferFundsResult | None,
        description=(
            "Take what is held for the viewer, in one or several parts, never more than is held. `TransferRefused` has "
            "the code HOLD_EXPIRED, HOLD_RESOLVED, AMOUNT_EXCEEDS_HOLD or ACCOUNT_FROZEN, the first that applies."
        ),
    )
    async def capture_hold(self, info: Info, input: CaptureHoldInput) -> Document:
        amount = or_none(input.amount)
        return moved(
            await use_cases.capture_hold(
                info.context,
                idempotency_key=input.idempotency_key,
                transfer_id=input.transfer_id,
                amount=None if amount is None else amount_of(amount),
                final=input.final,
            )
        )

    @root(
        TransferFundsResult | None,
        description=(
            "Give back what is left of a hold for the viewer, also where a wallet is frozen. `TransferRefused` has the "
            "code HOLD_EXPIRED or HOLD_RESOLVED."
        ),
    )
    async def void_hold(self, info: Info, input: VoidHoldInput) -> Document:
        id = input.transfer_id
        return moved(await use_cases.void_hold(info.context, idempotency_key=input.idempotency_key, transfer_id=id))
