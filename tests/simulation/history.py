"""One history: clients who want things of processes that fail, from a seed, and what did not hold in it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from pymongo import IndexModel

from datastores import leases, ledger
from datastores.commit import MAX_WEIGHT
from datastores.errors import (
    IdempotencyKeyReusedError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    TransferRefusedError,
    UnavailableError,
)
from datastores.ledger import Outcome

from . import scheduler
from .database import SimulatedDatabase
from .faults import Fault, Faults, InjectedError, Trace
from .model import Answers, Auditor, Model, Problems, says_resolved
from .plan import Plan, Shape
from .processes import CrashedError, Process
from .storage import Storage
from .wishes import Kind, Wish

INDEXES: Final[Mapping[str, Sequence[IndexModel]]] = {**ledger.INDEXES, **leases.INDEXES}
MAX_TRIES: Final = 6
CALM_S: Final = 60.0
LONGEST_PATIENCE_S: Final = 0.2
# Two heavy acts fill a batch, so that small histories have full batches as well.
WEIGHTS: Final = (1, 1, 1, MAX_WEIGHT // 2)
UNANSWERED: Final = (OutcomeUnknownError, UnavailableError, RateLimitedError, InjectedError, CrashedError)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a history: what did not hold, and how much happened."""

    seed: int
    problems: Problems
    hash: str
    lines: Sequence[str]
    wishes: int
    entries: int
    refusals: int
    crashes: int
    faults: Mapping[Fault, int]

    @property
    def counts(self) -> dict[str, int]:
        """How much happened, by its name."""
        happened = {"wishes": self.wishes, "entries": self.entries, "refusals": self.refusals, "crashes": self.crashes}
        return happened | {f"commands with {fault.value}": count for fault, count in sorted(self.faults.items())}


@dataclass(eq=False)
class History:
    """The world of one seed: a database, processes, clients, and the model beside it."""

    seed: int
    trace: Trace
    indexes: Mapping[str, Sequence[IndexModel]] = field(default_factory=lambda: INDEXES)
    problems: Problems = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = self._stream("clients")
        self._shape = Shape.of(self._stream("shape"))
        self._plan = Plan(self._stream("plan"), self._shape)
        self._faults = Faults(self._stream("faults"), self._shape.fault_rate)
        self._auditor = Auditor(self.problems)
        self._answers = Answers(self.problems)
        self._wishes: dict[Wish, int] = {}
        self._asked: dict[tuple[str, str], int] = {}
        self._open: dict[Wish, None] = {}
        self._crashed: list[Process] = []

    async def run(self) -> Result:
        """Let it happen, let it end, and check."""
        clock = asyncio.get_running_loop().time
        self._storage = Storage(self.indexes, self._stream("storage"), clock, self._auditor.check)
        self._processes = [self._process(number) for number in range(self._shape.processes)]
        crashes = [self._crash_later(at_s) for at_s in self._shape.crashes_s]
        await asyncio.gather(*(self._client(at_s) for at_s in self._plan.starts_s), *crashes)
        await self._settle()
        await self._check()
        journal = self._storage.committed("entries").values()
        refusals = sum(entry["state"] == "REFUSED" for entry in journal)
        counts = (len(self._wishes), len(journal), refusals, len(self._crashed))
        trace = self.trace
        return Result(self.seed, self.problems, trace.hash, trace.lines, *counts, self._faults.injected)

    def _stream(self, name: str) -> Random:
        return Random(f"{self.seed}/{name}")

    def _process(self, number: int) -> Process:
        name = f"process{number}"
        database = SimulatedDatabase(self._storage, self._faults, self.trace, name)
        return Process(name, database, self._stream(name), self._shape.takes_turns)

    async def _crash_later(self, at_s: float) -> None:
        await asyncio.sleep(at_s)
        place = self._random.randrange(len(self._processes))
        self._note(self._processes[place].name, "crashes")
        self._processes[place].crash()
        # Kept, so that what hangs in it is ended with the history and not whenever memory is tidied.
        self._crashed.append(self._processes[place])
        self._processes[place] = self._process(self._shape.processes + len(self._crashed))

    async def _client(self, at_s: float) -> None:
        await asyncio.sleep(at_s)
        wish = self._plan.next(list(self._answers.told.values()), list(self._wishes))
        # What this client may know already stands before whatever comes of a wish that is new.
        self._wishes.setdefault(wish, self._answers.last_seq)
        self._open[wish] = None
        for _ in range(MAX_TRIES):
            copies = 2 if self._random.random() < self._shape.duplicate_rate else 1
            tries = [self._ask_for_a_while(wish) for _ in range(copies)]
            if any(await asyncio.gather(*tries)):
                return
            await asyncio.sleep(self._random.random())

    async def _ask_for_a_while(self, wish: Wish) -> bool:
        """As `_ask`, but some clients leave before they get an answer."""
        asking = self._ask(wish, self._random.choice(self._processes))
        if self._random.random() >= self._shape.leave_rate:
            return await asking
        try:
            return await asyncio.wait_for(asking, self._random.random() * LONGEST_PATIENCE_S)
        except TimeoutError:
            return False

    async def _ask(self, wish: Wish, process: Process) -> bool:
        """Whether an answer came that will never be another."""
        self._note(process.name, f"is asked: {wish}")
        id = (wish.caller, wish.key)
        self._asked[id] = self._asked.get(id, 0) + 1
        missing = wish.needs is not None and self._storage.get("accounts", wish.needs) is None
        stored = self._storage.get("entries", wish.entry_id)
        weight = self._random.choice(WEIGHTS)
        act = wish.act(f"{self._random.getrandbits(128):032x}")
        try:
            outcome = await process.submit(act, weight, self._shape.timeout_s)
        except UNANSWERED as error:
            self._note(process.name, f"does not answer: {wish}: {type(error).__name__}")
            if isinstance(error, UnavailableError) and self._asked[id] == 1 and self._stored(wish):
                self.problems.append(f"said that nothing was written, and it was: {wish}")
            return False
        except Exception as error:
            self._note(process.name, f"refuses: {wish}: {type(error).__name__}")
            is_reused = stored is not None and stored["request_hash"] != wish.request_hash
            if stored is not None and is_reused != isinstance(error, IdempotencyKeyReusedError):
                self.problems.append(f"had an outcome, and ended with {type(error).__name__}: {wish}")
            self._refused(wish, error, missing)
        else:
            if isinstance(outcome, Outcome):
                entry = outcome.entry
                self._note(process.name, f"answers: {wish}: {entry['seq']} {entry['state']} {outcome.replayed}")
                self._answers.take(wish, outcome)
                if stored is not None and not outcome.replayed:
                    self.problems.append(f"had an outcome, and got a new one: {wish}")
        self._open.pop(wish, None)
        return True

    def _refused(self, wish: Wish, error: Exception, missing: bool) -> None:
        """An error that keeps nothing arrived: whether it may."""
        if isinstance(error, IdempotencyKeyReusedError):
            self._answers.refused_as_reused.add((wish.caller, wish.key, wish.request_hash))
        elif isinstance(error, TransferRefusedError) and says_resolved(error) and wish.subject:
            self._answers.resolved.add(wish.subject["_id"])
        elif isinstance(error, TransferRefusedError) and error.code == "CURRENCY_MISMATCH":
            if wish.currency == wish.payee_currency:
                self.problems.append(f"one currency, and called two: {wish}")
        elif isinstance(error, NotFoundError):
            if not missing:
                self.problems.append(f"not found, and it was there: {wish}")
        else:
            self.problems.append(f"{wish} ended with {type(error).__name__}: {error}")

    def _stored(self, wish: Wish) -> bool:
        return self._storage.get("entries", wish.entry_id) is not None

    async def _settle(self) -> None:
        """Faults end; whoever has no answer asks again and gets one, and late replays get the answer of before."""
        self._faults.rate = 0.0
        await asyncio.sleep(CALM_S)
        self._note("all", "calm")
        self._shape = replace(self._shape, timeout_s=CALM_S)
        unanswered = list(self._open)
        await asyncio.gather(*(self._ask(wish, self._random.choice(self._processes)) for wish in unanswered))
        self.problems.extend(f"never answered, also in the calm: {wish}" for wish in self._open)
        await asyncio.gather(*(self._ask(wish, self._random.choice(self._processes)) for wish in self._wishes))

    async def _check(self) -> None:
        entries = self._storage.committed("entries")
        journal = sorted(entries.values(), key=lambda entry: int(entry["seq"]))
        accounts = self._storage.committed("accounts")
        self._answers.check(journal)
        by_request = {(w.caller, w.key, w.command("").request_hash): w for w in self._wishes}
        model = Model(self.problems, by_request)
        model.check(journal, self._wishes)
        model.check_accounts(accounts)
        if (kept := set(self._storage.committed("follow_ups"))) != model.follow_ups:
            self.problems.append(f"follow-ups without their entries, or missing: {sorted(kept ^ model.follow_ups)}")
        opened = {wish.source if wish.payer else wish.target for wish in self._wishes if wish.kind is Kind.OPEN}
        if missing := opened - accounts.keys():
            self.problems.append(f"opened and not there: {sorted(missing)}")
        report = await ledger.verify(self._processes[0].database)
        self.problems.extend(ledger.problem_lines(report.problems))

    def _note(self, who: str, what: str) -> None:
        self.trace.note(asyncio.get_running_loop().time(), who, what)


def simulate(seed: int, *, keep_trace: bool = False, indexes: Mapping[str, Sequence[IndexModel]] = INDEXES) -> Result:
    """The history of this seed, always the same."""
    trace = Trace(keep_trace)
    return scheduler.run(lambda: History(seed, trace, indexes).run())
