"""When a webhook that failed is tried again, when it becomes a dead letter, and when its endpoint is disabled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from datastores.webhooks import AttemptDocument, DeliveryState, DisabledReason, EndpointDocument

# Seconds after the first, the second, … failure; the last of them from then on.
DELAYS_S: Final = (5.0, 30.0, 120.0, 600.0, 1_800.0, 3_600.0, 10_800.0, 21_600.0, 43_200.0)
GIVE_UP_AFTER: Final = timedelta(days=3)
# One event may be poison; two in a row, each tried for three days, are an endpoint that nobody looks after.
MAX_DEAD_IN_A_ROW: Final = 2
JITTER: Final = 0.1
GONE: Final = 410
# What an endpoint may ask for at most: as long as we would wait by ourselves in the end.
MAX_RETRY_AFTER_S: Final = 43_200.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long to wait after each failure, and from the first one until an event is given up."""

    delays_s: tuple[float, ...] = DELAYS_S
    give_up_after: timedelta = GIVE_UP_AFTER

    def delay_s(self, tries: int, jitter: float) -> float:
        """Seconds until the next attempt after so many tries (from 1): a tenth less to a tenth more than planned.

        `jitter` is a number from 0 to 1, so that endpoints of one machine do not come back in the same moment.
        """
        planned = self.delays_s[min(tries, len(self.delays_s)) - 1]
        return planned * (1 - JITTER + 2 * JITTER * jitter)


SCHEDULE: Final = Schedule()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt means: for the event, for the endpoint (its changes), and when to try again, if ever."""

    state: DeliveryState
    changes: dict[str, Any]
    next_attempt_at: datetime | None
    disabled: DisabledReason | None = None


def is_success(attempt: AttemptDocument) -> bool:
    """Whether the endpoint took it: it answered with 200 to 299."""
    return attempt["error"] is None


def judge(
    endpoint: EndpointDocument,
    seq: int,
    attempt: AttemptDocument,
    now: datetime,
    *,
    jitter: float,
    schedule: Schedule = SCHEDULE,
) -> Verdict:
    """What becomes of the event `seq`, the next of this endpoint, and of the endpoint, by this attempt.

    An endpoint that said when to come back is not asked before, for 12 hours at most; nor is it asked sooner than
    planned, or later than the last attempt.
    """
    if is_success(attempt):
        settled = {"cursor": seq, "head": None, "next_attempt_at": None, "dead_in_a_row": 0}
        return Verdict(DeliveryState.DELIVERED, {**settled, "last_delivered_at": attempt["at"]}, None)
    head = endpoint["head"]
    known = head if head is not None and head["seq"] == seq else None
    tries = 1 if known is None else known["tries"] + 1
    since = attempt["at"] if known is None else known["first_tried_at"]
    if attempt["status_code"] == GONE:
        return Verdict(DeliveryState.PENDING, _disabled(DisabledReason.GONE, now), None, DisabledReason.GONE)
    last = since + schedule.give_up_after
    if now >= last:
        return _dead_letter(endpoint, seq, now)
    asked_s = min(attempt.get("retry_after_s", 0.0), MAX_RETRY_AFTER_S)
    again = min(now + timedelta(seconds=max(schedule.delay_s(tries, jitter), asked_s)), last)
    waiting = {"head": {"seq": seq, "tries": tries, "first_tried_at": since}, "next_attempt_at": again}
    return Verdict(DeliveryState.PENDING, waiting, again)


def _dead_letter(endpoint: EndpointDocument, seq: int, now: datetime) -> Verdict:
    dead = endpoint["dead_in_a_row"] + 1
    changes: dict[str, Any] = {"cursor": seq, "head": None, "next_attempt_at": None, "dead_in_a_row": dead}
    if dead < MAX_DEAD_IN_A_ROW:
        return Verdict(DeliveryState.DEAD, changes, None)
    reason = DisabledReason.DEAD_LETTERS
    return Verdict(DeliveryState.DEAD, {**changes, **_disabled(reason, now)}, None, reason)


def _disabled(reason: DisabledReason, now: datetime) -> dict[str, Any]:
    return {
        "enabled": False,
        "disabled_reason": reason.value,
        "disabled_at": now,
        "head": None,
        "next_attempt_at": None,
    }
