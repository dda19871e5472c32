"""Every question about money is answered from an index, without a scan and without sorting in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from datastores import ledger
from datastores import wallets as store
from datastores.commit import CommitLoops
from datastores.indexes import create_indexes
from datastores.mongo import Database
from datastores.paging import window
from datastores.person_keys import PersonKeys
from datastores.sealing import SealingKey
from datastores.wallets import PaymentRequestDirection, PaymentRequestState
from gateway.live.hub import Hub
from resolvers import wallets
from resolvers.context import Context, Viewer
from tests.integration.plans import Plan, plans_of
from tests.integration.resolvers.people import Ask, people
from tests.integration.resolvers.wallets.purses import amount, fill, pay

PAYMENTS = 30


async def busy(database: Database) -> tuple[Ask, str, str, str]:
    """A town where much was paid and asked for; a person who pays, one who is paid, and the wallet that pays."""
    await create_indexes(database)
    commits, hub = CommitLoops(database), Hub(database, {})
    keys = PersonKeys(SealingKey.generate())

    def ask(user_id: str | None) -> Context:
        return Context(database, commits, hub, Viewer("person", user_id), keys=keys)

    ann, bob = await people(database, "ann", "bob")
    wallet = await fill(ask, ann, "100")
    for n in range(PAYMENTS):
        await pay(ask, ann, bob, "1")
        await wallets.hold_funds(
            ask(ann), idempotency_key=f"hold-{n}", amount=amount("1"), to=wallets.Target(user_id=bob)
        )
        await wallets.request_payment(ask(bob), idempotency_key=str(n), payer_id=ann, amount=amount("1"))
    return ask, ann, bob, wallet


async def costs(database: Database, act: Callable[[], Awaitable[object]]) -> Sequence[Plan]:
    """The plans of what it reads; none may scan or sort."""
    plans = await plans_of(database, act)
    assert plans
    assert [plan for plan in plans if plan.is_scan or plan.sorts_in_memory] == []
    return plans


async def test_the_wallets_of_people_are_read_and_no_others(bare_database: Database) -> None:
    _, ann, bob, _ = await busy(bare_database)

    async def of_one_and_of_both() -> None:
        await ledger.wallets_of(bare_database, [ann])
        await ledger.wallets_of(bare_database, [ann, bob])

    plans = await costs(bare_database, of_one_and_of_both)

    assert [plan.documents_examined for plan in plans] == [1, 2]


async def test_entries_of_a_wallet_read_about_what_they_show(bare_database: Database) -> None:
    ask, ann, _, wallet = await busy(bare_database)

    plans = await costs(bare_database, lambda: wallets.entries(ask(ann), [{"_id": wallet}], first=5))

    assert sum(plan.documents_examined for plan in plans) <= 10


async def test_lists_of_requests(bare_database: Database) -> None:
    ask, ann, *_ = await busy(bare_database)
    now = ask(ann).now()
    place = window("x", *(type(now), str), first=5)

    for direction in (None, *PaymentRequestDirection):
        for state in (None, PaymentRequestState.OPEN):

            async def read(
                direction: PaymentRequestDirection | None = direction, state: PaymentRequestState | None = state
            ) -> None:
                await store.requests_of(bare_database, ann, direction, state, now, place)

            plans = await costs(bare_database, read)
            assert plans[-1].documents_examined <= 10


async def test_the_feed_and_the_balances(bare_database: Database) -> None:
    _, _, bob, wallet = await busy(bare_database)
    await bare_database.update_many("entries", {"recipient_id": bob}, {"$set": {"merchants": ["mer_bob"]}})

    async def read() -> None:
        await ledger.events_after(bare_database, ["mer_ann", "mer_bob"], 20, None, 5)
        await ledger.previous_seq(bare_database, ["mer_ann", "mer_bob"], 20, None)
        await ledger.account_events_after(bare_database, [wallet, ledger.wallet_id(bob, "EUR")], 20, 5)

    plans = await costs(bare_database, read)

    assert sum(plan.documents_examined for plan in plans) <= 25


async def test_what_the_sweeper_asks(bare_database: Database) -> None:
    ask, *_ = await busy(bare_database)

    async def read() -> None:
        await wallets.finish_follow_ups(ask(None))
        await wallets.expire_payment_requests(ask(None))
        await wallets.expire_holds(ask(None))

    plans = await costs(bare_database, read)

    assert sum(plan.documents_examined for plan in plans) == 0


async def test_a_transfer_reads_and_writes_by_id(bare_database: Database) -> None:
    ask, ann, bob, _ = await busy(bare_database)

    await costs(bare_database, lambda: pay(ask, ann, bob, "1"))


async def test_verification_pages_by_number(bare_database: Database) -> None:
    await busy(bare_database)

    await costs(bare_database, lambda: ledger.verify(bare_database))
