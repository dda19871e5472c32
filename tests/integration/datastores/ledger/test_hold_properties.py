"""Whoever captures, gives back and expires at once, a hold ends once and no more than it held is ever captured.

Several processes' loops, whose clocks differ, race on one database. Afterwards a model of a few lines decides all that
the journal holds once more, in its order and at its times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datastores import ledger
from datastores.commit import Act, CommitLoop
from datastores.errors import ConflictError, TransferRefusedError
from datastores.ledger import CaptureHold, Entry, Outcome, PlaceHold, VoidHold, WalletStatus
from datastores.mongo import Database, Document

from . import town

NOON = datetime(2026, 1, 1, 12)
LIFETIME = timedelta(minutes=4)
HELD = (10, 7)
FUNDS = 20
ANN, BEN = ledger.wallet_id("ann", "EUR"), ledger.wallet_id("ben", "EUR")


@dataclass(frozen=True)
class Wish:
    """What somebody wants of one of the holds; the same wish again has the same key."""

    kind: str
    key: str
    hold: int = 0
    amount: int | None = None
    final: bool = False
    wallet: str = ANN

    @property
    def caller(self) -> str:
        """Ben captures and gives back; the rest is not a person's."""
        return "ben" if self.kind in ("capture", "void") else "system"

    def act(self, holds: Sequence[Entry]) -> Act[Outcome]:
        """The act of the ledger that fulfils it."""
        hold = holds[self.hold]
        request = {"wish": repr(self)}
        if self.kind == "capture":
            return CaptureHold(town.command("ben", self.key, **request), hold, self.amount, self.final)
        if self.kind == "void":
            return VoidHold(town.command("ben", self.key, **request), hold)
        if self.kind == "system void":
            return VoidHold(town.command("system", self.key, **request), hold)
        if self.kind == "expire":
            return ledger.expiry(hold)
        status = WalletStatus.FROZEN if self.kind == "freeze" else WalletStatus.OPEN
        return ledger.SetStatus(town.command("system", self.key, **request), self.wallet, status)


@dataclass
class Held:
    """A hold of the model. `end` is the code that whoever comes later is refused with."""

    entry: Entry
    left: int
    captured: int = 0
    end: str | None = None

    def is_over(self, now: datetime) -> bool:
        """Whether its time is over."""
        expires_at = self.entry["expires_at"]
        return expires_at is not None and now >= expires_at


@dataclass
class Model:
    """Decides each wish in the order of the journal, by rules of its own."""

    holds: dict[str, Held]
    wishes: dict[tuple[str, str], Wish]
    frozen: set[str] = field(default_factory=set)
    given_back: int | None = None

    def take(self, entry: Document) -> None:
        """Check an entry against what the model decides."""
        if self.given_back is not None:
            assert (entry["kind"], entry["amount"], entry["final"]) == ("VOID", self.given_back, True)
            assert entry["caller"] == "system"
            self.given_back = None
            return
        if entry["key"].startswith("expire:"):
            self._expire(entry)
            return
        wish = self.wishes[entry["caller"], entry["key"]]
        if wish.kind in ("freeze", "thaw"):
            (self.frozen.add if wish.kind == "freeze" else self.frozen.discard)(wish.wallet)
            return
        held = self.holds[entry["pending_id"]]
        expected = self._refusal(wish, held, entry["created_at"])
        assert entry["code"] == expected, wish
        if expected is None:
            self._apply(wish, held, entry)

    def _refusal(self, wish: Wish, held: Held, now: datetime) -> str | None:
        if held.end is not None:
            return held.end
        if held.is_over(now) and wish.kind != "system void":
            return "HOLD_EXPIRED"
        if wish.kind != "capture":
            return None
        if wish.amount is not None and not 0 < wish.amount <= held.left:
            return "AMOUNT_EXCEEDS_HOLD"
        return "ACCOUNT_FROZEN" if self.frozen else None

    def _apply(self, wish: Wish, held: Held, entry: Document) -> None:
        part = held.left
        if wish.kind == "capture":
            part = held.left if wish.amount is None else wish.amount
            held.captured += part
        held.left -= part
        assert (entry["amount"], entry["final"]) == (part, held.left == 0)
        if held.left == 0 or wish.final:
            held.end = "HOLD_RESOLVED"
        if held.left and wish.final:
            self.given_back, held.left = held.left, 0

    def _expire(self, entry: Document) -> None:
        held = self.holds[entry["pending_id"]]
        assert held.end is None
        assert held.is_over(entry["created_at"])
        assert (entry["kind"], entry["amount"], entry["final"]) == ("VOID", held.left, True)
        held.left, held.end = 0, "HOLD_EXPIRED"


CAPTURES = st.builds(
    lambda hold, amount, final: ("capture", hold, amount, final),
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from([1, 2, 3, 4, 5, 11, None]),
    st.sampled_from([False, False, False, True]),
)
ENDS = st.builds(lambda kind, hold: (kind, hold, None, False), st.sampled_from(["void", "expire"]), st.integers(0, 1))
OTHERS = st.builds(
    lambda kind, hold: (kind, hold, None, False), st.sampled_from(["system void", "freeze", "thaw"]), st.integers(0, 1)
)
SAID = st.tuples(st.one_of(CAPTURES, CAPTURES, CAPTURES, ENDS, OTHERS), st.sampled_from(["new", "new", "again"]))
ROUNDS = st.lists(
    st.tuples(st.lists(SAID, min_size=1, max_size=8), st.sampled_from([0, 1, 3, 4])), min_size=2, max_size=5
)


@st.composite
def races(draw: st.DrawFn) -> list[tuple[list[Wish], timedelta]]:
    """Rounds of wishes that are made at once, some of them said again; and how much time passes after each."""
    said: list[Wish] = []
    rounds: list[tuple[list[Wish], timedelta]] = []
    for wishes, minutes in draw(ROUNDS):
        round: list[Wish] = []
        for (kind, hold, amount, final), how in wishes:
            again = said[draw(st.integers(0, len(said) - 1))] if said and how == "again" else None
            wallet = (ANN, BEN)[hold] if kind in ("freeze", "thaw") else ANN
            wish = again or Wish(kind, f"key{len(said)}", hold, amount, final, wallet)
            said.append(wish)
            round.append(wish)
        rounds.append((round, timedelta(minutes=minutes)))
    return rounds


async def answered(commits: CommitLoop, act: Act[Outcome]) -> Outcome | str:
    """What the ledger answers; an expiry that cannot be leaves nothing behind."""
    try:
        return await commits.submit(act)
    except TransferRefusedError as error:
        return error.code
    except ConflictError as error:
        return error.code


async def race(
    processes: Sequence[CommitLoop],
    holds: Sequence[Entry],
    rounds: Sequence[tuple[list[Wish], timedelta]],
    pass_time: Callable[[timedelta], None],
) -> list[tuple[Wish, Outcome | str]]:
    """Every wish with its answer."""
    answers: list[tuple[Wish, Outcome | str]] = []
    for wishes, time in rounds:
        acts = [wish.act(holds) for wish in wishes]
        found = await asyncio.gather(
            *(answered(processes[place % len(processes)], act) for place, act in enumerate(acts))
        )
        answers += zip(wishes, found, strict=True)
        pass_time(time)
    return answers


@given(rounds=races(), loops=st.integers(1, 3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_hold_ends_once_and_captures_never_exceed_it(
    database_runner: town.Runner, rounds: list[tuple[list[Wish], timedelta]], loops: int
) -> None:
    async def run(database: Database) -> None:
        clock = [NOON]
        processes = [
            CommitLoop(database, ledger.COMMIT_LOOP, lambda skew=place: clock[0] + timedelta(seconds=30 * skew))  # type: ignore[misc]
            for place in range(loops)
        ]
        await town.fill(processes[0], "ann", FUNDS)
        holds = [await placed(processes[0], amount) for amount in HELD]
        before = len(await town.entries(database))

        def pass_time(time: timedelta) -> None:
            clock[0] += time

        answers = await race(processes, holds, rounds, pass_time)
        check_answers(answers, await town.entries(database))
        pass_time(LIFETIME)
        overdue = await ledger.overdue_holds(database, clock[0])
        await asyncio.gather(*(answered(loop, ledger.expiry(hold)) for hold in overdue for loop in processes))

        journal = await town.entries(database)
        model = Model(
            {hold["_id"]: Held(hold, hold["amount"]) for hold in holds},
            {(wish.caller, wish.key): wish for wishes, _ in rounds for wish in wishes},
        )
        for entry in journal[before:]:
            model.take(entry)
        check_ends(journal, holds)
        captured = sum(held.captured for held in model.holds.values())
        accounts = [await town.account(database, id) for id in (ANN, BEN)]
        assert [(a["posted"], a["pending_out"], a["pending_in"]) for a in accounts] == [
            (FUNDS - captured, 0, 0),
            (captured, 0, 0),
        ]
        assert (await ledger.verify(database)).problems == []

    database_runner(run)


async def placed(commits: CommitLoop, amount: int) -> Entry:
    act = PlaceHold(town.command("ann"), town.transfer("ann", "ben", amount), NOON + LIFETIME)
    return (await commits.submit(act)).accepted()


def check_answers(answers: Sequence[tuple[Wish, Outcome | str]], journal: Sequence[Document]) -> None:
    """What somebody was told stands in the journal, and a key was told one thing."""
    by_id = {entry["_id"]: entry for entry in journal}
    told: dict[str, str] = {}
    for wish, answer in answers:
        if isinstance(answer, Outcome):
            assert by_id[answer.entry["_id"]]["code"] == answer.entry["code"]
            assert told.setdefault(wish.key, answer.entry["_id"]) == answer.entry["_id"]
        else:
            assert wish.kind == "expire", (wish, answer)
            assert answer in ("HOLD_RESOLVED", "HOLD_EXPIRED", "CONFLICT")


def check_ends(journal: Sequence[Document], holds: Sequence[Entry]) -> None:
    """Each hold has one end, after which nothing comes; what was captured and what went back is what was held."""
    for hold in holds:
        ended = [e for e in journal if e["pending_id"] == hold["_id"] and e["state"] == "POSTED"]
        assert [e["final"] for e in ended] == [False] * (len(ended) - 1) + [True]
        assert sum(e["amount"] for e in ended) == hold["amount"]
        assert all(e["created_at"] < NOON + LIFETIME for e in ended if e["kind"] == "CAPTURE")
