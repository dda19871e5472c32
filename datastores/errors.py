"""Every failure that a caller is expected to handle: one hierarchy, translated to GraphQL once, in `schema`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar


class ExpectedError(Exception):
    """A failure with a stable code and a message that says what happened and what to do.

    `details` are the further fields of the error's GraphQL type, as document keys.
    """

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class UnauthenticatedError(ExpectedError):
    """Nobody is signed in, and the act needs somebody."""

    code = "UNAUTHENTICATED"


class ForbiddenError(ExpectedError):
    """The caller may see the thing, but may not do this with it."""

    code = "FORBIDDEN"


class NotFoundError(ExpectedError):
    """The id is malformed, unknown, or not the caller's to see: never says which."""

    code = "NOT_FOUND"


class ValidationError(ExpectedError):
    """An input is not acceptable; `path` names it from `input` down, e.g. `("amount", "currency")`."""

    code = "INVALID_INPUT"

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message, path=list(path))


class ConflictError(ExpectedError):
    """The thing is not in a state in which the act is possible."""

    code = "CONFLICT"


class RateLimitedError(ExpectedError):
    """Too much at once: a bounded queue is full, or a client's allowance is spent. Nothing was done."""

    code = "RATE_LIMITED"


class InsufficientFundsError(ExpectedError):
    """`available` (minor units and currency) is less than what was asked for."""

    code = "INSUFFICIENT_FUNDS"


class LimitExceededError(ExpectedError):
    """A limit of the account would be passed: `limit` (money) over a `window`, which frees at `frees_at` if ever."""

    code = "LIMIT_EXCEEDED"

    def __init__(self, message: str, *, frees_at: datetime | None = None, **details: Any) -> None:
        super().__init__(message, frees_at=frees_at, **details)


class TransferRefusedError(ExpectedError):
    """The ledger or a rail refused the transfer for a reason that is not the caller's balance."""

    code = "FORBIDDEN"

    def __init__(self, message: str, *, code: str = "FORBIDDEN") -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]  # one GraphQL type stands for several codes


class IdempotencyKeyReusedError(ExpectedError):
    """The caller has used the key before, for another input."""

    code = "IDEMPOTENCY_KEY_REUSED"


class OutcomeUnknownError(ExpectedError):
    """The deadline passed before the database answered: the act may have happened. Retry with the same key."""

    code = "OUTCOME_UNKNOWN"


class OutOfStockError(ExpectedError):
    """Fewer are left than were ordered; detail `listing` is its document."""

    code = "OUT_OF_STOCK"


class PriceChangedError(ExpectedError):
    """The price is not the one that the buyer saw; detail `listing` is its document."""

    code = "PRICE_CHANGED"


class StreamGapError(ExpectedError):
    """History before the cursor is gone, or the stream cannot go on without leaving something out."""

    code = "STREAM_GAP"


class SlowConsumerError(ExpectedError):
    """The subscriber fell too far behind; `cursor` is where to resume."""

    code = "SLOW_CONSUMER"


class GoingAwayError(ExpectedError):
    """The process stops: whoever listens should connect again with its last cursor (1012 on a WebSocket)."""

    code = "INTERNAL"


class UnavailableError(ExpectedError):
    """The database cannot be reached now; nothing was written."""

    code = "INTERNAL"


class UpstreamUnavailableError(ExpectedError):
    """A service of somebody else gave no answer that can be used; what it was asked to do, it may have done."""

    code = "UPSTREAM_UNAVAILABLE"
