"""What must hold of conversations once all is quiet: their logs followed again, event by event."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from datastores.conversations import CONVERSATIONS, EVENTS, INBOX, MEMBERSHIPS, MESSAGES, REACTIONS, EventKind
from datastores.mongo import Database
from tests.faults.findings import MAX_ROWS, Findings, Written
from tests.faults.journals import Row
from tests.faults.town import CONVERSATION, LOBBY, LOBBYISTS, PEOPLE

FIRST_MEMBERS: Final[Mapping[str, Sequence[str]]] = {CONVERSATION: PEOPLE, LOBBY: LOBBYISTS}
_OF_MESSAGES: Final = {"seq": 1, "n": 1, "client_id": 1, "conversation_id": 1, "reactions": 1}
_KINDS: Final = {"edit": EventKind.MESSAGE_EDITED, "react": EventKind.REACTIONS_CHANGED}


async def check_conversations(findings: Findings, database: Database, written: Written) -> list[int]:
    """Every conversation and inbox; the numbers of the events by which messages came to the one that is followed."""
    stored = await database.find(MESSAGES, {}, limit=MAX_ROWS, projection=_OF_MESSAGES)
    events = await database.find(EVENTS, {}, limit=MAX_ROWS, sort=[("n", 1)])
    findings.messages, findings.changes = len(stored), len(events) - len(stored)
    delivered: Counter[tuple[str, str]] = Counter()
    for id in FIRST_MEMBERS:
        messages = [each for each in stored if each["conversation_id"] == id]
        rows = [each for each in events if each["conversation_id"] == id]
        await _check_log(findings, database, id, messages, rows, delivered)
    await _check_inboxes(findings, database, delivered)
    await _check_reactions(findings, database, stored)
    _check_told(findings, written, stored, events)
    added = (each for each in events if each["kind"] == EventKind.MESSAGE_ADDED)
    return [each["n"] for each in added if each["conversation_id"] == CONVERSATION]


async def _check_log(
    findings: Findings,
    database: Database,
    id: str,
    messages: Sequence[Row],
    rows: Sequence[Row],
    delivered: Counter[tuple[str, str]],
) -> None:
    numbers = sorted(each["seq"] for each in messages)
    findings.demand(numbers == list(range(1, len(messages) + 1)), "the numbers of the messages have a hole")
    findings.demand([row["n"] for row in rows] == list(range(1, len(rows) + 1)), "the log of a room has a hole")
    members = list(FIRST_MEMBERS[id])
    for row in rows:
        if row["kind"] == EventKind.MESSAGE_ADDED:
            delivered.update((member, row["message_id"]) for member in members)
        elif row["kind"] == EventKind.MEMBER_JOINED:
            members.append(row["user_id"])
        elif row["kind"] == EventKind.MEMBER_LEFT:
            members.remove(row["user_id"])
    room = await database.find_one(CONVERSATIONS, {"_id": id})
    counted = (room["message_count"], room["event_n"], room["member_ids"]) if room else None
    findings.demand(counted == (len(messages), len(rows), members), "a conversation does not follow from its log")
    there = await database.find(MEMBERSHIPS, {"conversation_id": id}, limit=MAX_ROWS, projection={"user_id": 1})
    findings.demand({each["user_id"] for each in there} == set(members), "memberships do not follow from the log")


async def _check_inboxes(findings: Findings, database: Database, delivered: Counter[tuple[str, str]]) -> None:
    rows = await database.find(INBOX, {}, limit=MAX_ROWS, sort=[("n", 1)])
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        numbers[row["user_id"]].append(row["n"])
    whole = all(each == list(range(1, len(each) + 1)) for each in numbers.values())
    findings.demand(whole, "the numbers of an inbox have a hole")
    got = Counter((row["user_id"], row["message_id"]) for row in rows)
    wrong = (delivered - got).total() + (got - delivered).total()
    findings.demand(wrong == 0, f"{wrong} rows of inboxes are missing, or there in vain")


async def _check_reactions(findings: Findings, database: Database, messages: Sequence[Row]) -> None:
    found = await database.find(REACTIONS, {}, limit=MAX_ROWS, projection={"message_id": 1})
    there = Counter(each["message_id"] for each in found)
    counted = Counter({each["_id"]: sum(one["count"] for one in each["reactions"]) for each in messages})
    findings.demand(+counted == there, "messages count other reactions than there are")


def _check_told(findings: Findings, written: Written, stored: Sequence[Row], events: Sequence[Row]) -> None:
    by_client = {each["client_id"]: each for each in stored}
    findings.demand(len(by_client) == len(stored), "a message is there twice")
    for key, told in written.outcomes("say").items():
        one = by_client.get(key)
        kept = {"message": one["_id"], "seq": one["seq"], "n": one["n"]} if one else None
        findings.demand(all(each == kept for each in told), f"message {key} is not as it was acknowledged")
    kinds = {(each["conversation_id"], each["n"]): (each["kind"], each["message_id"]) for each in events}
    for key, outcomes in written.outcomes("edit", "react").items():
        intent, n = written.intents[key], outcomes[0]["n"]
        wanted = (_KINDS[intent["do"]], intent["message"])
        is_there = n is None or kinds.get((CONVERSATION, n)) == wanted
        findings.demand(is_there, f"{intent['do']} {key} was acknowledged only")
