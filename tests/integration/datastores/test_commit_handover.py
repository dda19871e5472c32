"""Handing over between processes of one machine: shared batches, and nothing lost where the other one fails."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import pytest

from datastores.commit import CommitLoop, CommitLoops, Read, Turns, Work, by_id, handover, turns
from datastores.commit.handover import Handover, NotHandedOverError, Refused, Unanswered
from datastores.errors import ConflictError
from datastores.ledger import OpenWallet, PostTransfer
from datastores.mongo import Database

from .ledger import town

LIMIT_S = 20.0


@dataclass(frozen=True)
class Local:
    """An act of these tests, which no other process takes over: it is not of the datastores."""

    id: str

    def reads(self, work: Work) -> Iterator[Sequence[Read]]:
        yield [by_id("things", self.id)]

    def decide(self, work: Work) -> str:
        if work.get("things", self.id) is None:
            work.insert("things", {"_id": self.id})
        return self.id


@pytest.fixture(autouse=True)
def _long_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that does other things as well a turn may not be renewed for a while."""
    monkeypatch.setattr(turns, "LEASE_S", LIMIT_S)


@pytest.fixture
async def loops(bare_database: Database) -> AsyncIterator[tuple[CommitLoops, CommitLoops]]:
    async with CommitLoops(bare_database) as one, CommitLoops(bare_database) as other:
        yield one, other


def contended(loops: CommitLoops) -> CommitLoop:
    """The loop of this process, once its batches have lost against another's."""
    loop = loops["ledger"]
    assert loop.turns is not None
    loop.turns.lost()
    return loop


async def opened(loop: CommitLoop, count: int, name: str) -> list[str]:
    acts = (OpenWallet(f"{name}{number}", "EUR") for number in range(count))
    return [account["_id"] for account in await asyncio.gather(*(loop.submit(act) for act in acts))]


async def test_who_has_the_turn_commits_for_both(
    bare_database: Database, loops: tuple[CommitLoops, CommitLoops]
) -> None:
    host, guest = (contended(each) for each in loops)

    await opened(host, 1, "first")
    ids = await opened(guest, 20, "guest")

    assert len(set(ids)) == 20
    assert guest.statistics.acts == 0
    assert host.statistics.acts == 21
    assert await bare_database.count("accounts", {}) == 21


async def test_batches_of_both_are_one_while_both_are_busy(
    bare_database: Database, loops: tuple[CommitLoops, CommitLoops], monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a machine that does other things as well, nobody comes back within 10 ms.
    monkeypatch.setattr(handover, "GATHER_S", LIMIT_S)
    host, guest = (contended(each) for each in loops)
    await opened(host, 1, "first")

    async def one_after_another(loop: CommitLoop, name: str) -> None:
        for number in range(10):
            await loop.submit(OpenWallet(f"{name}{number}", "EUR"))

    busy = [one_after_another(loop, f"{at}-{i}-") for at, loop in enumerate((host, guest)) for i in range(8)]
    await asyncio.gather(*busy)

    assert await bare_database.count("accounts", {}) == 161
    assert host.statistics.batches <= 14
    assert host.statistics.largest_batch == 16


async def test_batches_that_were_decided_ahead_wait_for_both_as_well(
    bare_database: Database, loops: tuple[CommitLoops, CommitLoops], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "GATHER_S", LIMIT_S)
    host, guest = (contended(each) for each in loops)
    people = [f"usr_{number}" for number in range(16)]
    await asyncio.gather(*(town.fill(host, person, 1_000) for person in people))

    async def one_after_another(loop: CommitLoop, payer: str) -> None:
        for _ in range(20):
            await loop.submit(PostTransfer(town.command(payer), town.transfer(payer, "usr_payee", 1)))

    before = host.statistics.batches
    first = [asyncio.create_task(one_after_another(host, person)) for person in people[:8]]
    while host.statistics.batches == before:  # noqa: ASYNC110
        await asyncio.sleep(0)
    # They come while the batch of the others is on its way, and would take turns with them for good.
    await asyncio.gather(*first, *(one_after_another(guest, person) for person in people[8:]))

    assert await bare_database.count("entries", {}) == 16 + 320
    assert host.statistics.batches - before <= 24


async def test_who_always_wins_learns_that_another_has_the_turn(loops: tuple[CommitLoops, CommitLoops]) -> None:
    host, winner = contended(loops[0]), loops[1]["ledger"]
    await opened(host, 1, "first")

    async with asyncio.timeout(LIMIT_S):
        while host.statistics.acts < 2:
            await opened(winner, 1, f"{winner.statistics.acts}-")

    assert winner.statistics.acts > 1


async def test_a_host_that_has_gone_costs_nothing_but_the_way(
    bare_database: Database, loops: tuple[CommitLoops, CommitLoops]
) -> None:
    host, guest = (contended(each) for each in loops)
    await opened(host, 1, "first")
    await opened(guest, 3, "before")

    await loops[0].__aexit__()
    ids = await opened(guest, 5, "after")

    assert len(set(ids)) == 5
    assert guest.statistics.acts >= 5
    assert await bare_database.count("accounts", {}) == 9


async def test_who_finds_nobody_else_at_the_host_goes_on_alone(loops: tuple[CommitLoops, CommitLoops]) -> None:
    host, guest = (contended(each) for each in loops)
    await opened(host, 1, "first")
    handed = loops[0]._handover
    handed._own_at -= 2 * handover.SHARED_S

    await opened(guest, 1, "handed over")
    await opened(guest, 4, "alone")

    assert host.statistics.acts == 2
    assert guest.statistics.acts == 4


async def test_what_cannot_be_handed_over_is_committed_where_it_came_from(
    bare_database: Database, loops: tuple[CommitLoops, CommitLoops]
) -> None:
    host, guest = (contended(each) for each in loops)
    await opened(host, 1, "first")

    assert await guest.submit(Local("a")) == "a"

    assert host.statistics.acts == 1
    assert guest.statistics.acts == 1
    assert await bare_database.find_one("things", {"_id": "a"}) is not None


async def test_expected_errors_travel_and_others_leave_the_act_to_its_sender() -> None:
    running = asyncio.get_running_loop()

    def take_over(name: str, batch: handover.Acts) -> list[asyncio.Future[object]]:
        futures: list[asyncio.Future[object]] = [running.create_future() for _ in range(3)]
        futures[0].set_result(name)
        futures[1].set_exception(ConflictError("not now"))
        futures[2].set_exception(ZeroDivisionError())
        return futures

    async with Handover(take_over) as host, Handover(take_over) as guest:
        assert guest.reaches(host.address)
        assert not guest.reaches(guest.address)
        assert host.address is not None
        done, refused, left = (await guest.hand_over(host.address, "ledger", [])).outcomes

    assert done == "ledger"
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, ConflictError)
    assert refused.error.message == "not now"
    assert isinstance(left, Unanswered)
    assert not guest.reaches(host.address)


@pytest.mark.parametrize("value", [Local("a"), print, pickle.loads, Turns, {"deep": [asyncio.sleep]}])
async def test_what_is_not_a_value_of_the_datastores_is_not_taken_over(value: object) -> None:
    taken: list[object] = []

    def take_over(_: str, batch: handover.Acts) -> list[asyncio.Future[object]]:
        taken.extend(batch)
        return []

    async with Handover(take_over) as host, Handover(take_over) as guest:
        assert host.address is not None
        with pytest.raises(NotHandedOverError):
            async with asyncio.timeout(LIMIT_S):
                await guest.hand_over(host.address, "ledger", [(value, 1)])  # type: ignore[list-item]

    assert taken == []


async def test_values_travel_by_the_names_of_their_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    act = OpenWallet("ann", "EUR")
    frame = handover._dumps(act)
    assert handover._loads(frame) == act

    renamed = frame.replace(b"currency", b"currencx")
    monkeypatch.setattr(handover, "_is_value", lambda found: found is OpenWallet)

    with pytest.raises(pickle.UnpicklingError, match="other fields"):
        handover._loads(renamed)


async def test_garbage_ends_a_connection_and_nothing_else() -> None:
    running = asyncio.get_running_loop()

    def take_over(_: str, batch: handover.Acts) -> list[asyncio.Future[object]]:
        future: asyncio.Future[object] = running.create_future()
        future.set_result("done")
        return [future]

    async with Handover(take_over) as host, Handover(take_over) as guest:
        assert host.address is not None
        for garbage in (b"\0\0\0\4abcd", b"\xff\xff\xff\xff", b"\0"):
            reader, writer = await asyncio.open_unix_connection(host.address)
            writer.write(garbage)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
        assert (await guest.hand_over(host.address, "ledger", [])).outcomes == ["done"]
