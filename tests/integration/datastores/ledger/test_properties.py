"""Whatever people do in whatever order, the ledger agrees with a model of a few lines."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from datastores import ledger
from datastores.commit import CommitLoop
from datastores.errors import IdempotencyKeyReusedError, NotFoundError
from datastores.ledger import Entry
from datastores.mongo import Database

from . import town

PEOPLE = ("ann", "ben", "cat")
FUNDS = 12


@dataclass(frozen=True)
class Step:
    """Somebody pays somebody, or sends back the n-th transfer, under one of a few keys."""

    kind: str
    payer: str
    payee: str
    amount: int
    key: str
    place: int


@dataclass
class Model:
    """Balances in a dict, and what each key had answered."""

    balances: dict[str, int] = field(default_factory=dict)
    answers: dict[tuple[str, str], tuple[Step, str]] = field(default_factory=dict)
    posted: list[tuple[Step, Entry]] = field(default_factory=list)
    refunded: dict[str, int] = field(default_factory=dict)

    def expect(self, step: Step) -> str:
        """What the ledger must answer."""
        payer = self._payer(step)
        if payer is None:
            return "nothing"
        if (known := self.answers.get((payer, step.key))) is not None:
            return known[1] if known[0] == step else "REUSED"
        if step.kind == "pay":
            if payer not in self.balances:
                return "nothing"
            return self._note(payer, step, "POSTED" if self.balances[payer] >= step.amount else "INSUFFICIENT_FUNDS")
        original, entry = self.posted[step.place % len(self.posted)]
        if self.refunded.get(entry["_id"], 0) + step.amount > original.amount:
            return self._note(payer, step, "CONFLICT")
        return self._note(payer, step, "POSTED" if self.balances[payer] >= step.amount else "INSUFFICIENT_FUNDS")

    def apply(self, step: Step, entry: Entry) -> None:
        """Note what was posted."""
        source, target = entry["sender_id"] or "", entry["recipient_id"] or ""
        self.balances[source] -= step.amount
        self.balances[target] = self.balances.get(target, 0) + step.amount
        if step.kind == "pay":
            self.posted.append((step, entry))
        else:
            original = entry["reverses"] or ""
            self.refunded[original] = self.refunded.get(original, 0) + step.amount

    def _payer(self, step: Step) -> str | None:
        if step.kind == "pay":
            return step.payer
        return self.posted[step.place % len(self.posted)][0].payee if self.posted else None

    def _note(self, payer: str, step: Step, answer: str) -> str:
        self.answers[payer, step.key] = (step, answer)
        return answer


PAYS = st.tuples(st.just("pay"), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.sampled_from([1, 2, 3, 5, 8]))
REFUNDS = st.tuples(st.just("refund"), st.just("ann"), st.just("ben"), st.sampled_from([1, 2, 3, 5]))
WISHES = st.lists(
    st.tuples(st.one_of(PAYS, REFUNDS), st.integers(0, 3), st.sampled_from(["new", "new", "again", "other"])),
    min_size=20,
    max_size=50,
)


@st.composite
def sequences(draw: st.DrawFn) -> list[Step]:
    """Steps under keys of their own, some of them said again, some keys used for something else."""
    steps: list[Step] = []
    for number, ((kind, payer, payee, amount), place, how) in enumerate(draw(WISHES)):
        if payer == payee:
            continue
        earlier = steps[draw(st.integers(0, len(steps) - 1))] if steps and how != "new" else None
        if earlier is not None and how == "again":
            steps.append(earlier)
        else:
            key = f"key{number}" if earlier is None else earlier.key
            steps.append(Step(kind, payer, payee, amount, key, place))
    return steps


STEPS = sequences()


async def do(commits: CommitLoop, step: Step, model: Model) -> tuple[str, ledger.Outcome | None]:
    """What the ledger answers."""
    try:
        if step.kind == "pay":
            command = town.command(step.payer, step.key, step=repr(step))
            transfer = town.transfer(step.payer, step.payee, step.amount)
            outcome = await commits.submit(ledger.PostTransfer(command, transfer))
        elif not model.posted:
            return "nothing", None
        else:
            original, entry = model.posted[step.place % len(model.posted)]
            command = town.command(original.payee, step.key, step=repr(step))
            outcome = await commits.submit(ledger.RefundTransfer(command, entry, step.amount))
    except IdempotencyKeyReusedError:
        return "REUSED", None
    except NotFoundError:
        return "nothing", None
    return outcome.entry["code"] or outcome.entry["state"], outcome


@given(steps=STEPS)
@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_sequence_agrees_with_the_model(database_runner: town.Runner, steps: list[Step]) -> None:
    async def run(database: Database) -> None:
        commits = town.loop(database)
        model = Model()
        await town.fill(commits, "ann", FUNDS)
        model.balances["ann"] = FUNDS
        for step in steps:
            expected = model.expect(step)
            answer, outcome = await do(commits, step, model)
            assert answer == expected, step
            if outcome is not None and outcome.posted and not outcome.replayed:
                model.apply(step, outcome.entry)
        await assert_agrees(database, model)

    database_runner(run)


@given(steps=STEPS, loops=st.integers(1, 3))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_crowd_leaves_a_ledger_that_holds(database_runner: town.Runner, steps: list[Step], loops: int) -> None:
    async def run(database: Database) -> None:
        processes = [town.loop(database) for _ in range(loops)]
        await town.fill(processes[0], "ann", FUNDS)
        pays = [step for step in steps if step.kind == "pay"]
        answers = await asyncio.gather(*(do(processes[n % loops], step, Model()) for n, step in enumerate(pays * 2)))
        posted = {o.entry["_id"]: o.entry for _, o in answers if o is not None and o.posted}
        spent = dict.fromkeys(PEOPLE, 0)
        for entry in posted.values():
            spent[entry["sender_id"] or ""] -= entry["amount"]
            spent[entry["recipient_id"] or ""] += entry["amount"]
        balances = await database.find("accounts", {"kind": "WALLET"}, limit=100)
        assert {a["owner_id"]: a["posted"] for a in balances if a["posted"]} == {
            name: change + (FUNDS if name == "ann" else 0)
            for name, change in spent.items()
            if change + (FUNDS if name == "ann" else 0)
        }
        assert (await ledger.verify(database)).problems == []

    database_runner(run)


async def assert_agrees(database: Database, model: Model) -> None:
    accounts = await database.find("accounts", {"kind": "WALLET"}, limit=100)
    assert {account["owner_id"]: account["posted"] for account in accounts} == model.balances
    report = await ledger.verify(database)
    assert report.problems == []
