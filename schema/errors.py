"""Errors in the graph: the types that mutations may return, and the codes that all others carry."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import strawberry

from .values import Money


@strawberry.enum(description="What went wrong, for programs to act on.")
class ErrorCode(StrEnum):
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    INVALID_INPUT = "INVALID_INPUT"
    CONFLICT = "CONFLICT"
    RATE_LIMITED = "RATE_LIMITED"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    ACCOUNT_FROZEN = "ACCOUNT_FROZEN"
    HOLD_EXPIRED = "HOLD_EXPIRED"
    HOLD_RESOLVED = "HOLD_RESOLVED"
    AMOUNT_EXCEEDS_HOLD = "AMOUNT_EXCEEDS_HOLD"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    QUOTE_EXPIRED = "QUOTE_EXPIRED"
    OUT_OF_STOCK = "OUT_OF_STOCK"
    PRICE_CHANGED = "PRICE_CHANGED"
    STREAM_GAP = "STREAM_GAP"
    SLOW_CONSUMER = "SLOW_CONSUMER"
    UPSTREAM_UNAVAILABLE = "UPSTREAM_UNAVAILABLE"
    INTERNAL = "INTERNAL"


@strawberry.interface(description="A failure that a client is expected to handle.")
class Error:
    code: ErrorCode = strawberry.field(description="What went wrong, for programs.")
    message: str = strawberry.field(description="What went wrong and what to do, for people.")


@strawberry.federation.type(shareable=True, description="An input is not acceptable. Nothing was changed.")
class ValidationError(Error):
    path: list[str] = strawberry.field(description='Where in `input` it is, such as `["amount", "currency"]`.')


@strawberry.federation.type(
    shareable=True, description="An id is malformed, unknown, or not the caller's to see: it never says which."
)
class NotFoundError(Error):
    pass


@strawberry.federation.type(shareable=True, description="The caller may see the thing, but may not do this with it.")
class ForbiddenError(Error):
    pass


@strawberry.federation.type(shareable=True, description="The thing is not in a state in which this is possible.")
class ConflictError(Error):
    pass


@strawberry.federation.type(
    shareable=True,
    description=(
        "The wallet holds less than was asked for. The same key gets this answer again: a new try takes a new key."
    ),
)
class InsufficientFunds(Error):
    available: Money = strawberry.field(description="What could be spent at that moment.")


@strawberry.federation.type(
    shareable=True,
    description=(
        "A limit of a wallet would be passed: its tier's, or what 64 bits hold. The same key gets this answer again: "
        "a new try takes a new key."
    ),
)
class LimitExceeded(Error):
    limit: Money = strawberry.field(description="The limit, in the currency of the wallet.")
    window: str = strawberry.field(
        description=(
            "What it is counted over: `transaction`, `day` and `30 days` of the wallet that pays (UTC days, today "
            "included), or `balance`, the most that the wallet to be paid may hold."
        )
    )
    frees_at: datetime | None = strawberry.field(
        default=None,
        description="When the same amount would fit, if nothing else leaves until then; null if it never would.",
    )


@strawberry.federation.type(
    shareable=True, description="The ledger or a payment rail refused, for a reason that is not the balance."
)
class TransferRefused(Error):
    pass


@strawberry.federation.type(shareable=True, description="The caller used this key before, for another input.")
class IdempotencyKeyReused(Error):
    pass


@strawberry.federation.type(
    shareable=True,
    description=(
        "The deadline passed before the ledger answered: the transfer may have happened. "
        "Retry with the same key to learn which."
    ),
)
class OutcomeUnknown(Error):
    idempotency_key: strawberry.ID = strawberry.field(description="The key to retry with.")


@strawberry.federation.type(
    shareable=True,
    description="A partner's service on which this depends does not answer now. Nothing was changed: try again later.",
)
class UpstreamUnavailable(Error):
    pass
