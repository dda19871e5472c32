"""Payment requests: what they hold, the acts that make and end them, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypedDict, cast

from pymongo import ASCENDING, DESCENDING, IndexModel

from datastores import ledger
from datastores.commit import Read, Work, by_id
from datastores.errors import ConflictError, NotFoundError
from datastores.ledger import Command, FollowUp, Memo, Money, Outcome, Transfer
from datastores.mongo import Database, Document
from datastores.paging import PageDocument, Window, keyset, page
from datastores.person_keys import SealedText

PAYMENT_REQUESTS: Final = "payment_requests"
MAX_EXPIRED_AT_ONCE: Final = 100

INDEXES: Mapping[str, Sequence[IndexModel]] = {
    PAYMENT_REQUESTS: [
        IndexModel([("people", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="people_created"),
        IndexModel([("payer_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="payer_created"),
        IndexModel(
            [("requester_id", ASCENDING), ("created_at", DESCENDING), ("_id", DESCENDING)], name="requester_created"
        ),
        IndexModel([("expires_at", ASCENDING)], partialFilterExpression={"state": "OPEN"}, name="open_expires"),
    ],
}


class PaymentRequestState(StrEnum):
    """OPEN waits for its payer; the others are final."""

    OPEN = "OPEN"
    ACCEPTED = "ACCEPTED"
    DECLINED = "DECLINED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class PaymentRequestDirection(StrEnum):
    """INCOMING: the viewer is asked to pay; OUTGOING: the viewer asks."""

    INCOMING = "INCOMING"
    OUTGOING = "OUTGOING"


class PaymentRequestDocument(TypedDict):
    """One request. `people` are its requester and its payer; the memo is sealed under the requester's key."""

    _id: str
    requester_id: str
    payer_id: str
    people: list[str]
    amount: Money
    memo: SealedText | None
    conversation_id: str | None
    merchants: list[str]
    state: str
    created_at: datetime
    expires_at: datetime | None
    closed_at: datetime | None
    transfer_id: str | None


@dataclass(frozen=True, slots=True)
class RequestPayment:
    """Makes a request; its notice in the ledger keeps the outcome of the key. The outcome is the notice."""

    command: Command
    requester_id: str
    payer_id: str
    amount: Money
    memo: Memo | None = None
    conversation_id: str | None = None
    expires_at: datetime | None = None
    merchants: tuple[str, ...] = ()
    follow_up: FollowUp | None = None

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield ledger.reads(self.command)

    def decide(self, work: Work) -> Outcome:
        if (stored := ledger.stored_outcome(work, self.command)) is not None:
            return stored
        id = self.command.id("preq")
        entry = ledger.append_notice(
            work,
            self.command,
            event_type="payment.requested",
            merchants=self.merchants,
            currency=self.amount["currency"],
            amount=self.amount["minor_units"],
            sender_id=self.payer_id,
            recipient_id=self.requester_id,
            payment_request_id=id,
        )
        request: PaymentRequestDocument = {
            "_id": id,
            "requester_id": self.requester_id,
            "payer_id": self.payer_id,
            "people": [self.requester_id, self.payer_id],
            "amount": self.amount,
            "memo": self.memo.sealed if self.memo else None,
            "conversation_id": self.conversation_id,
            "merchants": list(self.merchants),
            "state": PaymentRequestState.OPEN.value,
            "created_at": entry["created_at"],
            "expires_at": self.expires_at,
            "closed_at": None,
            "transfer_id": None,
        }
        work.insert(PAYMENT_REQUESTS, cast(Document, request))
        return ledger.followed(work, Outcome(entry), self.follow_up)


@dataclass(frozen=True, slots=True)
class AcceptPaymentRequest:
    """Pays a request by one transfer. A request that is no longer open is refused with CONFLICT, under the key."""

    command: Command
    request_id: str
    transfer: Transfer

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [*ledger.transfer_reads(self.command, self.transfer), by_id(PAYMENT_REQUESTS, self.request_id)]
        if owners := ledger.tier_reads(work, self.transfer):
            yield owners

    def decide(self, work: Work) -> Outcome:
        if (stored := ledger.stored_outcome(work, self.command)) is not None:
            return stored
        request = _request(work, self.request_id)
        state = state_at(request, ledger.ledger_time(work))
        if state is not PaymentRequestState.OPEN:
            return ledger.append_refusal(work, self.command, _closed(state))
        outcome = ledger.append_transfer(work, self.command, self.transfer)
        if outcome.posted:
            transfer_id = self.command.id("trf")
            _close(work, request, PaymentRequestState.ACCEPTED, transfer_id)
        return outcome


@dataclass(frozen=True, slots=True)
class ClosePaymentRequest:
    """Ends an open request without a transfer: DECLINED, CANCELLED or EXPIRED; the same end twice is once.

    Raises ConflictError where it has ended otherwise, or is to expire before its time.
    """

    request_id: str
    state: PaymentRequestState
    command: Command

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [*ledger.reads(self.command), by_id(PAYMENT_REQUESTS, self.request_id)]

    def decide(self, work: Work) -> PaymentRequestDocument:
        request = _request(work, self.request_id)
        if request["state"] == self.state:
            return request
        state = state_at(request, ledger.ledger_time(work))
        expires = self.state is PaymentRequestState.EXPIRED
        if state is not (PaymentRequestState.EXPIRED if expires else PaymentRequestState.OPEN):
            raise _closed(state)
        if request["merchants"]:
            ledger.append_notice(
                work,
                self.command,
                event_type="payment.refused" if self.state is PaymentRequestState.DECLINED else "payment.voided",
                merchants=request["merchants"],
                currency=request["amount"]["currency"],
                amount=request["amount"]["minor_units"],
                sender_id=request["payer_id"],
                recipient_id=request["requester_id"],
                payment_request_id=self.request_id,
            )
        return _close(work, request, self.state)


def close_command(request_id: str, state: PaymentRequestState) -> Command:
    """The command under which a request ends so."""
    return ledger.system_command(f"close-{state.value.lower()}", request_id)


def state_at(request: Mapping[str, object] | PaymentRequestDocument, now: datetime) -> PaymentRequestState:
    """The state of a request at a time: one whose time is over is EXPIRED, whether or not anyone has noted it yet."""
    state, expires_at = PaymentRequestState(cast(str, request["state"])), cast("datetime | None", request["expires_at"])
    is_over = state is PaymentRequestState.OPEN and expires_at is not None and expires_at <= now
    return PaymentRequestState.EXPIRED if is_over else state


async def requests_by_ids(database: Database, ids: Sequence[str]) -> list[PaymentRequestDocument | None]:
    """For each id its request or None, in the order of the ids; one read."""
    return cast("list[PaymentRequestDocument | None]", await database.by_ids(PAYMENT_REQUESTS, ids))


async def requests_of(
    database: Database,
    user_id: str,
    direction: PaymentRequestDirection | None,
    state: PaymentRequestState | None,
    now: datetime,
    window: Window,
) -> PageDocument:
    """A page of the requests that a person makes or gets, the newest first; the sort key is (created_at, _id)."""
    role = {PaymentRequestDirection.INCOMING: "payer_id", PaymentRequestDirection.OUTGOING: "requester_id"}
    past, sort = keyset([("created_at", -1), ("_id", -1)], window)
    filter = {"$and": [{role[direction] if direction else "people": user_id}, _in_state(state, now), past]}
    found = await database.find(PAYMENT_REQUESTS, filter, sort=sort, limit=window.limit)
    return page(found, window, lambda request: (request["created_at"], request["_id"]))


async def open_requests(database: Database, user_id: str, limit: int) -> list[PaymentRequestDocument]:
    """The requests that a person makes or gets and that are open; at most `limit`."""
    filter = {"people": user_id, "state": PaymentRequestState.OPEN.value}
    return cast("list[PaymentRequestDocument]", await database.find(PAYMENT_REQUESTS, filter, limit=limit))


async def overdue_requests(database: Database, now: datetime) -> list[str]:
    """The ids of open requests whose time is over; at most 100."""
    filter = {"state": PaymentRequestState.OPEN.value, "expires_at": {"$lte": now}}
    found = await database.find(
        PAYMENT_REQUESTS, filter, sort=[("expires_at", 1)], limit=MAX_EXPIRED_AT_ONCE, projection={"_id": 1}
    )
    return [request["_id"] for request in found]


def _in_state(state: PaymentRequestState | None, now: datetime) -> Document:
    if state is None:
        return {}
    overdue: Document = {"state": PaymentRequestState.OPEN.value, "expires_at": {"$lte": now}}
    if state is PaymentRequestState.EXPIRED:
        return {"$or": [{"state": state.value}, overdue]}
    if state is PaymentRequestState.OPEN:
        return {"state": state.value, "$nor": [overdue]}
    return {"state": state.value}


def _request(work: Work, id: str) -> PaymentRequestDocument:
    found = work.get(PAYMENT_REQUESTS, id)
    if found is None:
        raise NotFoundError("There is no such payment request")
    return cast(PaymentRequestDocument, found)


def _close(
    work: Work, request: PaymentRequestDocument, state: PaymentRequestState, transfer_id: str | None = None
) -> PaymentRequestDocument:
    changes = {"state": state.value, "closed_at": ledger.ledger_time(work), "transfer_id": transfer_id}
    return cast(PaymentRequestDocument, work.update(PAYMENT_REQUESTS, request["_id"], **changes))


def _closed(state: PaymentRequestState) -> ConflictError:
    if state is PaymentRequestState.OPEN:
        return ConflictError("The request is still open: its time is not over")
    return ConflictError(f"The request is not open any more: it is {state.value.lower()}")
