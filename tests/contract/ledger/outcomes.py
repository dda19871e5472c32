"""The one table of what a mutation that moves money may answer, in order of precedence, and how the page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kept = Literal["yes", "no", "–"]

# Each mutation, and the heading of its column.
MUTATIONS: Final[dict[str, str]] = {
    "transferFunds": "transfer",
    "acceptPaymentRequest": "accept",
    "refundTransfer": "refund",
    "topUpWallet": "top up",
    "withdrawFromWallet": "withdraw",
    "payOrder": "pay order",
    "holdFunds": "hold",
    "captureHold": "capture",
    "voidHold": "void",
    "exchangeFunds": "exchange",
}
EVERYWHERE: Final = frozenset(MUTATIONS)
ERROR: Final = "error"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row: when it is the answer, what a client gets, whether its key keeps it, and where it can occur.

    `type` is `error` where it is an entry of `errors` and no member of the result. `tells` matches its path, window or
    message, and that of no other row of the same type and code.
    """

    name: str
    condition: str
    type: str
    code: str
    kept: Kept
    of: frozenset[str]
    tells: str = ""


def _of(*names: str) -> frozenset[str]:
    return frozenset(name for name, heading in MUTATIONS.items() if heading in names)


# The first row that holds is the answer; what has no row is in the page's sections before and after this table.
OUTCOMES: Final[tuple[Outcome, ...]] = (
    Outcome("nobody", "nobody is signed in", ERROR, "UNAUTHENTICATED", "no", EVERYWHERE),
    Outcome("partner", "a partner's key asks", "ForbiddenError", "FORBIDDEN", "no", EVERYWHERE, "partner's key"),
    Outcome(
        "currency",
        "the currency is not in use",
        "ValidationError",
        "INVALID_INPUT",
        "no",
        _of("transfer", "refund", "top up", "withdraw", "hold", "capture"),
        r"^amount\.currency$",
    ),
    Outcome(
        "amount",
        "the amount is not more than zero, has more decimals than its currency, or passes 64 bits",
        "ValidationError",
        "INVALID_INPUT",
        "no",
        _of("transfer", "refund", "top up", "withdraw", "hold", "capture"),
        r"^amount\.amount$",
    ),
    Outcome(
        "memo",
        "the memo has more than 280 characters, or is not text",
        "ValidationError",
        "INVALID_INPUT",
        "no",
        _of("transfer", "refund", "hold"),
        "^memo$",
    ),
    Outcome(
        "rail",
        "no rail knows the source or destination",
        "ValidationError",
        "INVALID_INPUT",
        "no",
        _of("top up", "withdraw"),
        "^(source|destination)$",
    ),
    Outcome(
        "key",
        "the key is empty, has more than 255 characters, or is not text",
        "ValidationError",
        "INVALID_INPUT",
        "–",
        EVERYWHERE,
        "^idempotencyKey$",
    ),
    Outcome(
        "reused",
        "the caller has used the key before, for another mutation or other input",
        "IdempotencyKeyReused",
        "IDEMPOTENCY_KEY_REUSED",
        "–",
        EVERYWHERE,
    ),
    Outcome(
        "subject",
        "the transfer, request, order, hold or quote is not there, or not the caller's to see",
        "NotFoundError",
        "NOT_FOUND",
        "no",
        _of("accept", "refund", "pay order", "capture", "void", "exchange"),
        "no such (transfer of yours|payment request of yours|order|hold of yours|quote of yours)",
    ),
    Outcome(
        "role",
        "the caller made the request, was not paid by the transfer, or is not who the money is held for",
        "ForbiddenError",
        "FORBIDDEN",
        "no",
        _of("accept", "refund", "capture", "void"),
        "Only the person",
    ),
    Outcome(
        "own wallet",
        "the wallet to pay from, or to top up, is not there or not the caller's",
        "NotFoundError",
        "NOT_FOUND",
        "no",
        EVERYWHERE - _of("refund", "capture", "void"),
        "no such wallet of yours|no wallet in",
    ),
    Outcome(
        "own currency",
        "the amount is not in the currency of that wallet, of the transfer to refund, or of the hold",
        "TransferRefused",
        "CURRENCY_MISMATCH",
        "no",
        EVERYWHERE - _of("void", "exchange"),
        "in USD, the amount in EUR|in EUR, the amount in USD",
    ),
    Outcome(
        "payee",
        "the person or wallet to be paid is not there",
        "NotFoundError",
        "NOT_FOUND",
        "no",
        _of("transfer", "hold"),
        "no such person",
    ),
    Outcome(
        "conversation",
        "the conversation is not there, or the caller is not in it",
        "NotFoundError",
        "NOT_FOUND",
        "no",
        _of("transfer", "hold"),
        "no such conversation",
    ),
    Outcome(
        "self",
        "the caller pays themselves",
        "ValidationError",
        "INVALID_INPUT",
        "no",
        _of("transfer", "hold"),
        "^to$",
    ),
    Outcome(
        "their currency",
        "the wallet to be paid is in another currency than the amount",
        "TransferRefused",
        "CURRENCY_MISMATCH",
        "no",
        _of("transfer", "hold"),
        "in JPY, the amount in EUR",
    ),
    Outcome(
        "expiry",
        "the hold is to end in the past, or more than 30 days ahead",
        "ValidationError",
        "INVALID_INPUT",
        "no",
        _of("hold"),
        "^expiresAt$",
    ),
    Outcome(
        "state",
        "the request or order is not open any more, less than the amount is left to refund, or the quote was used",
        "ConflictError",
        "CONFLICT",
        "yes",
        _of("accept", "refund", "pay order", "exchange"),
    ),
    Outcome(
        "quote expired",
        "the 30 seconds of the quote are over",
        "TransferRefused",
        "QUOTE_EXPIRED",
        "yes",
        _of("exchange"),
    ),
    Outcome(
        "hold expired",
        "the time of the hold was over before all of it was captured or given back",
        "TransferRefused",
        "HOLD_EXPIRED",
        "yes",
        _of("capture", "void"),
    ),
    Outcome(
        "hold resolved",
        "all of the hold was captured or given back",
        "TransferRefused",
        "HOLD_RESOLVED",
        "yes",
        _of("capture", "void"),
    ),
    Outcome(
        "hold exceeded",
        "less than the amount is left of the hold",
        "TransferRefused",
        "AMOUNT_EXCEEDS_HOLD",
        "yes",
        _of("capture"),
    ),
    Outcome(
        "payer frozen",
        "the wallet that pays is frozen or closed",
        "TransferRefused",
        "ACCOUNT_FROZEN",
        "yes",
        EVERYWHERE - _of("top up", "void"),
        "it cannot pay|wallet that pays is frozen",
    ),
    Outcome(
        "payee frozen",
        "the wallet to be paid is frozen or closed",
        "TransferRefused",
        "ACCOUNT_FROZEN",
        "yes",
        EVERYWHERE - _of("withdraw", "pay order", "void"),
        "to be paid is frozen|^This wallet is frozen or closed$",
    ),
    Outcome(
        "funds",
        "the wallet that pays has less available than that and its fee",
        "InsufficientFunds",
        "INSUFFICIENT_FUNDS",
        "yes",
        EVERYWHERE - _of("top up", "capture", "void"),
    ),
    Outcome(
        "transaction",
        "it is more than may leave the wallet at once: `window` is `transaction`",
        "LimitExceeded",
        "LIMIT_EXCEEDED",
        "yes",
        _of("transfer", "accept", "withdraw", "pay order", "hold", "exchange"),
        "^transaction$",
    ),
    Outcome(
        "day",
        "with it, more would have left the wallet today, or else in 30 days, than may: `window` is `day` or `30 days`",
        "LimitExceeded",
        "LIMIT_EXCEEDED",
        "yes",
        _of("transfer", "accept", "withdraw", "pay order", "hold", "exchange"),
        "^day$",
    ),
    Outcome(
        "balance",
        "the wallet to be paid may not hold that much: `window` is `balance`",
        "LimitExceeded",
        "LIMIT_EXCEEDED",
        "yes",
        _of("transfer", "accept", "top up", "hold", "exchange"),
        "cannot hold that much",
    ),
    Outcome(
        "64 bits",
        "a balance would pass 64 bits, whatever the wallet may hold: `window` is `balance`",
        "LimitExceeded",
        "LIMIT_EXCEEDED",
        "yes",
        _of("top up"),
        "cannot grow that large",
    ),
    Outcome(
        "rail refused",
        "the rail refuses what was reserved: the transfer is `VOIDED`",
        "TransferRefused",
        "FORBIDDEN",
        "yes",
        _of("top up", "withdraw"),
        "bank refused",
    ),
)

# Why two of them never hold at once.
NEVER_TOGETHER: Final[dict[frozenset[str], str]] = {
    frozenset({"nobody", "partner"}): "who is not signed in has no partner's key",
    frozenset({"rail", "rail refused"}): "a rail that nobody knows is not asked",
    frozenset({"key", "reused"}): "a key that is not acceptable was never used",
    frozenset({"subject", "role"}): "what one cannot see one did not make",
    frozenset({"own wallet", "own currency"}): "what is not there has no currency",
    frozenset({"payee", "self"}): "the caller is there",
    frozenset({"payee", "their currency"}): "what is not there has no currency",
    frozenset({"payee", "balance"}): "what is not there holds nothing",
    frozenset({"self", "balance"}): "there is only the caller's own wallet",
    frozenset({"payee", "payee frozen"}): "what is not there is not frozen",
    frozenset({"self", "payee frozen"}): "there is only the caller's own wallet",
    frozenset({"hold expired", "hold resolved"}): "a hold ends once, and what ended it stays its end",
}
# The same, for one mutation alone.
NEVER_TOGETHER_OF: Final[dict[str, dict[frozenset[str], str]]] = {
    "exchangeFunds": {frozenset({"own wallet", "state"}): "a quote that was used was paid from a wallet"}
}


def outcomes_of(mutation: str) -> list[Outcome]:
    """The rows that a mutation can answer with, in order of precedence."""
    return [outcome for outcome in OUTCOMES if mutation in outcome.of]


def pairs_of(mutation: str) -> list[tuple[Outcome, Outcome]]:
    """Every two of them that can hold at once, the one that takes precedence first."""
    rows = outcomes_of(mutation)
    never = NEVER_TOGETHER | NEVER_TOGETHER_OF.get(mutation, {})
    return [
        (higher, lower)
        for place, higher in enumerate(rows)
        for lower in rows[place + 1 :]
        if frozenset({higher.name, lower.name}) not in never
    ]


def rendered() -> str:
    """The table as the page has it, in Markdown."""
    head = ["", "when", "answer", "code", "kept", *MUTATIONS.values()]
    rows = [head, ["---"] * 5 + [":-:"] * len(MUTATIONS)]
    for place, outcome in enumerate(OUTCOMES, 1):
        marks = ["●" if mutation in outcome.of else "" for mutation in MUTATIONS]
        answer = outcome.type if outcome.type == ERROR else f"`{outcome.type}`"
        rows.append([str(place), outcome.condition, answer, f"`{outcome.code}`", outcome.kept, *marks])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def rendered_exceptions() -> str:
    """The pairs that cannot hold at once as the page has them, in Markdown."""
    place = {outcome.name: str(at) for at, outcome in enumerate(OUTCOMES, 1)}
    never = [*NEVER_TOGETHER.items(), *(each for of in NEVER_TOGETHER_OF.values() for each in of.items())]
    rows = [[*sorted((place[name] for name in pair), key=int), why] for pair, why in never]
    rows.sort(key=lambda row: (int(row[0]), int(row[1])))
    return "\n".join("| " + " | ".join(row) + " |" for row in [["", "and", "since"], ["---"] * 3, *rows])
