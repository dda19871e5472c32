"""What must hold once all is quiet: compares what processes wrote down with what the database has."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from datastores import ledger
from datastores.ledger.commands import SYSTEM
from datastores.ledger.entries import ENTRIES
from datastores.mongo import Database
from tests.faults.conversation_proofs import check_conversations
from tests.faults.findings import MAX_ROWS, Findings, Written
from tests.faults.journals import Row, rows
from tests.faults.order_proofs import check_orders
from tests.faults.town import FIRST, MERCHANT

CAUGHT_UP_TIMEOUT_S: Final = 40.0
_OUTCOME: Final = {"key": 1, "seq": 1, "state": 1, "code": 1, "caller": 1}


async def examine(database: Database, folders: Sequence[Path], consumers: Sequence[Path]) -> Findings:
    """Everything that must hold of a quiet ledger, its conversation, and those who followed them."""
    written, findings = Written.of(folders), Findings()
    findings.replayed = sum(answer["replayed"] for answer in written.answers)
    unanswered = written.intents.keys() - {answer["key"] for answer in written.answers}
    findings.demand(not unanswered, f"{len(unanswered)} have no answer")
    entries = await database.find(ENTRIES, {}, limit=MAX_ROWS, sort=[("seq", 1)], projection=_OUTCOME)
    _check_entries(findings, written, entries)
    report = await ledger.verify(database)
    findings.broken += ledger.problem_lines(report.problems)
    said = await check_conversations(findings, database, written)
    await check_orders(findings, database, written)
    for consumer in consumers:
        await _check_consumer(findings, database, consumer, said)
    return findings


async def doubled(database: Database, folders: Sequence[Path]) -> int:
    """How many transfers were wanted once and are in the ledger more than once, where each try took its own key."""
    intents = Written.of(folders).intents
    entries = await database.find(ENTRIES, {"state": "POSTED"}, limit=MAX_ROWS, projection={"key": 1})
    tries: dict[str, int] = defaultdict(int)
    for entry in entries:
        tries[entry["key"].partition("/")[0]] += 1
    return sum(tries[key] > 1 for key in intents)


def _check_entries(findings: Findings, written: Written, entries: Sequence[Row]) -> None:
    numbers = [entry["seq"] for entry in entries]
    findings.demand(numbers == list(range(1, len(numbers) + 1)), "the numbers of the entries have a hole")
    found: dict[str, list[Row]] = defaultdict(list)
    for entry in entries:
        if entry["caller"] != SYSTEM and not entry["key"].startswith(FIRST):
            found[entry["key"]].append(entry)
    outcomes = written.outcomes("transfer", "place", "pay")
    wanted = {key for key, intent in written.intents.items() if intent["do"] in ("transfer", "place", "pay")}
    findings.acknowledged = len(outcomes)
    findings.refused = sum(told[0]["state"] == "REFUSED" for told in outcomes.values())
    findings.lost = sum(key not in found for key in outcomes)
    findings.doubled = sum(len(each) > 1 for each in found.values()) + len(found.keys() - wanted)
    findings.changed = sum(_differ(told, found[key]) for key, told in outcomes.items() if key in found)
    findings.demand(findings.lost == 0, f"{findings.lost} acknowledged outcomes are lost")
    findings.demand(findings.doubled == 0, f"{findings.doubled} entries are there that nobody wanted again")
    findings.demand(findings.changed == 0, f"{findings.changed} keys had more than one outcome")


def _differ(told: Sequence[Row], entries: Sequence[Row]) -> bool:
    """Whether any answer to a key says something else than its entry: refused and then applied, for one."""
    entry = entries[0]
    stored = {"entry": entry["_id"], "seq": entry["seq"], "state": entry["state"], "code": entry["code"]}
    return any(outcome != stored for outcome in told)


async def _check_consumer(findings: Findings, database: Database, folder: Path, said: Sequence[int]) -> None:
    feed = {"merchants": MERCHANT, "event_type": {"$type": "string"}}
    entries = await database.find(ENTRIES, feed, limit=MAX_ROWS, sort=[("seq", 1)], projection={"seq": 1})
    numbers = [entry["seq"] for entry in entries]
    seen = await _caught_up(folder / "payments", "seq", numbers)
    findings.events += len(seen)
    who = folder.name
    findings.demand([row["seq"] for row in seen] == numbers, f"{who}: payments {_unlike(seen, 'seq', numbers)}")
    chained = [None, *numbers[:-1]]
    findings.demand([row["previous_seq"] for row in seen] == chained, f"{who} cannot prove that it saw every payment")
    heard = await _caught_up(folder / "messages", "n", said)
    findings.events += len(heard)
    findings.demand([row["n"] for row in heard] == list(said), f"{who}: messages {_unlike(heard, 'n', said)}")


def _unlike(seen: Sequence[Row], number: str, wanted: Sequence[int]) -> str:
    got = [row[number] for row in seen]
    missing = sorted(set(wanted) - set(got))
    twice = len(got) - len(set(got))
    order = "in order" if got == sorted(got) else "out of order"
    return f"{order}, {len(missing)} of {len(wanted)} missing (first {missing[:3]}), {twice} twice, last {got[-1:]}"


async def _caught_up(path: Path, number: str, wanted: Sequence[int]) -> list[dict[str, Any]]:
    """The journal once it has the last number; as it is after 40 s."""
    give_up = time.monotonic() + CAUGHT_UP_TIMEOUT_S
    while True:
        found = rows(path)
        if not wanted or (found and found[-1][number] >= wanted[-1]) or time.monotonic() > give_up:
            return found
        await asyncio.sleep(0.2)
