"""Which reads were sent to the database, and how it would find what they ask for: by which index, or by none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pymongo.errors import OperationFailure
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from .mongo import Database, Document

MAX_COMMANDS: Final = 1_000
READS: Final = ("find", "aggregate", "count", "distinct")
# What the driver adds belongs to the moment at which a command was sent.
_DRIVERS_OWN: Final = frozenset(
    {"lsid", "$db", "$clusterTime", "$readPreference", "readConcern", "txnNumber", "autocommit", "startTransaction"}
)
_ID_STAGES: Final = frozenset({"IDHACK", "EXPRESS_IDHACK", "CLUSTERED_IXSCAN", "EXPRESS_CLUSTERED_IXSCAN"})


@dataclass(frozen=True, slots=True)
class SentRead:
    """One read as the driver sent it; `duration_s` is None until it was answered, `failed` if it was not."""

    command: str
    collection: str
    body: Document
    duration_s: float | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How the database carries a read out now.

    `indexes` are what it reads by, each as `collection.index`; `scans` are the collections that it reads whole.
    """

    read: SentRead
    indexes: tuple[str, ...]
    scans: tuple[str, ...]
    keys_examined: int
    documents_examined: int
    sorts_in_memory: bool


class ReadLog(CommandListener):
    """The first 1,000 reads that a client sends, in their order. `missed` counts the others."""

    def __init__(self) -> None:
        self._reads: dict[int, SentRead] = {}
        self.missed = 0

    @property
    def reads(self) -> list[SentRead]:
        """What was sent since the log was made or cleared."""
        return list(self._reads.values())

    def clear(self) -> None:
        """Begin anew."""
        self._reads.clear()
        self.missed = 0

    def started(self, event: CommandStartedEvent) -> None:
        """The driver has sent a command."""
        if event.command_name not in READS:
            return
        if len(self._reads) >= MAX_COMMANDS:
            self.missed += 1
            return
        body = {name: value for name, value in event.command.items() if name not in _DRIVERS_OWN}
        self._reads[event.request_id] = SentRead(event.command_name, str(event.command[event.command_name]), body)

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """The database has answered a command."""
        self._ended(event.request_id, event.duration_micros, failed=False)

    def failed(self, event: CommandFailedEvent) -> None:
        """The database has refused a command, or was lost meanwhile."""
        self._ended(event.request_id, event.duration_micros, failed=True)

    def _ended(self, request_id: int, micros: int, *, failed: bool) -> None:
        if (read := self._reads.get(request_id)) is not None:
            self._reads[request_id] = replace(read, duration_s=micros / 1e6, failed=failed)


async def plan_of(database: Database, read: SentRead) -> ReadPlan | None:
    """How the database carries this read out, by carrying it out again; None where it cannot say."""
    try:
        told = await database.explain(read.body)
    except OperationFailure:
        return None
    indexes: dict[str, None] = {}
    scans: dict[str, None] = {}
    sorts = False
    for collection, stage in _stages(told, read.collection):
        name = stage.get("stage", "")
        if "indexName" in stage:
            # A join says of the other collection how it is found.
            indexes[f"{_other(stage) or collection}.{stage['indexName']}"] = None
        elif name in _ID_STAGES:
            indexes[f"{collection}._id_"] = None
        elif name == "COLLSCAN" or stage.get("strategy") in {"NestedLoopJoin", "HashJoin"}:
            scans[_other(stage) or collection] = None
        sorts = sorts or name == "SORT"
    for joined in _joins(told):
        other = joined.get("$lookup", {}).get("from", "?")
        indexes.update({f"{other}.{index}": None for index in joined.get("indexesUsed", ())})
        if int(joined.get("collectionScans", 0)) > 0:
            scans[other] = None
    keys, documents = (sum(_totals(told, total)) for total in ("totalKeysExamined", "totalDocsExamined"))
    return ReadPlan(read, tuple(indexes), tuple(scans), keys, documents, sorts)


def _stages(node: Any, collection: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The stages of all plans that were chosen, each with its collection."""
    for each in _within(node):
        if (planner := each.get("queryPlanner")) is None:
            continue
        name = str(planner.get("namespace", f".{collection}")).partition(".")[2]
        for stage in _within(planner.get("winningPlan")):
            if "stage" in stage:
                yield name, stage


def _joins(node: Any) -> Iterator[Mapping[str, Any]]:
    return (each for each in _within(node) if "$lookup" in each and "collectionScans" in each)


def _totals(node: Any, name: str) -> Iterator[int]:
    return (int(each[name]) for each in _within(node) if name in each)


def _within(node: Any) -> Iterator[Mapping[str, Any]]:
    """All objects in what `explain` told, without plans that were not chosen and the inside of counts."""
    if isinstance(node, Mapping):
        yield node
        for name, value in node.items():
            if name not in {"rejectedPlans", "executionStages", "allPlansExecution", "slotBasedPlan", "command"}:
                yield from _within(value)
    elif isinstance(node, list):
        for value in node:
            yield from _within(value)


def _other(stage: Mapping[str, Any]) -> str:
    return str(stage.get("foreignCollection", "")).partition(".")[2]
