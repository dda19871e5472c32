"""People are told once of what others did to them, hear it live, and mark it read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from datastores import notifications as store
from datastores.commit import CommitLoops
from datastores.errors import NotFoundError, UnauthenticatedError, ValidationError
from datastores.ids import new_id
from datastores.indexes import create_indexes
from datastores.mongo import Database
from datastores.paging import PageDocument, window
from gateway.live.hub import Hub
from resolvers import notifications
from resolvers.context import Context
from tests.integration.plans import plans_of
from tests.integration.resolvers.listening import heard, listening
from tests.integration.resolvers.people import Ask

ANN, BOB, CEM = (f"usr_01JD000000000000000000000{n}" for n in range(3))


@pytest.fixture
async def hub(database: Database) -> AsyncIterator[Hub]:
    """A hub that watches the log of notifications."""
    async with Hub(database, store.LOGS) as hub:
        yield hub


async def like(ctx: Context, post_id: str, *, of: str = ANN, by: str = BOB) -> None:
    await notifications.notify(ctx, user_id=of, kind="like", actor_id=by, subject_id=post_id)


async def my_list(ask: Ask, user_id: str, first: int | None = None, after: str | None = None) -> PageDocument:
    (page,) = await notifications.notifications(ask(user_id), [{"_id": user_id}], first=first, after=after)
    return page


def subjects(page: PageDocument) -> list[str]:
    return [edge["node"]["subject_id"] for edge in page["edges"]]


class TestNotifying:
    async def test_an_act_is_told_once_even_by_two_processes_at_once(self, database: Database, ask: Ask) -> None:
        elsewhere = replace(ask(None), commits=CommitLoops(database))
        post_id = new_id("post")

        await asyncio.gather(*(like(ctx, post_id) for ctx in [ask(BOB), elsewhere] * 10))

        (edge,) = (await my_list(ask, ANN))["edges"]
        assert (edge["node"]["kind"], edge["node"]["actor_id"], edge["node"]["n"]) == ("like", BOB, 1)
        assert await store.head(database, ANN) == 1

    async def test_many_at_once_are_numbered_without_a_hole(self, database: Database, ask: Ask) -> None:
        loops = [CommitLoops(database) for _ in range(2)]

        await asyncio.gather(*(like(replace(ask(BOB), commits=loops[i % 2]), new_id("post")) for i in range(60)))

        rows = await store.rows_after(database, ANN, 0, 100)
        assert [row["n"] for row in rows] == list(range(1, 61))
        assert await store.head(database, ANN) == 60
        page = await my_list(ask, ANN, 100)
        assert [edge["node"]["n"] for edge in page["edges"]] == list(range(60, 0, -1))
        assert [edge["node"]["_id"] for edge in page["edges"]] == [row["notification_id"] for row in reversed(rows)]

    async def test_nobody_is_told_of_their_own_act(self, database: Database, ask: Ask) -> None:
        await like(ask(ANN), new_id("post"), by=ANN)

        assert (await my_list(ask, ANN))["edges"] == []

    async def test_an_act_of_another_kind_or_person_is_another_notice(self, database: Database, ask: Ask) -> None:
        post_id = new_id("post")

        await like(ask(BOB), post_id)
        await like(ask(CEM), post_id, by=CEM)
        await notifications.notify(ask(BOB), user_id=ANN, kind="reply", actor_id=BOB, subject_id=post_id)

        assert len((await my_list(ask, ANN))["edges"]) == 3

    async def test_a_notice_that_cannot_be_written_does_not_fail_the_act(
        self, database: Database, ask: Ask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("datastores.commit.loops.MAX_WAITING", 0)

        with caplog.at_level(logging.WARNING):
            await like(ask(BOB), new_id("post"))

        assert "RATE_LIMITED" in caplog.text
        assert (await my_list(ask, ANN))["edges"] == []


class TestTheList:
    async def test_pages_hold_each_once_newest_first(self, database: Database, ask: Ask) -> None:
        posts = [new_id("post") for _ in range(7)]
        for post_id in posts:
            await like(ask(BOB), post_id)
        seen: list[str] = []
        cursor: str | None = None
        for _ in range(3):
            page = await my_list(ask, ANN, 3, cursor)
            seen += subjects(page)
            cursor = page["page_info"]["end_cursor"]

        assert seen == posts[::-1]

    async def test_wrong_windows_and_foreign_cursors_are_refused(self, database: Database, ask: Ask) -> None:
        await like(ask(BOB), new_id("post"))
        await like(ask(ANN), new_id("post"), of=BOB, by=ANN)
        cursor = (await my_list(ask, BOB))["page_info"]["end_cursor"]

        for first, after in ((-1, None), (101, None), (1, cursor), (1, "nonsense")):
            with pytest.raises(ValidationError):
                await my_list(ask, ANN, first, after)

    async def test_it_is_nobody_elses(self, database: Database, ask: Ask) -> None:
        await like(ask(BOB), new_id("post"))
        (edge,) = (await my_list(ask, ANN))["edges"]
        id = edge["node"]["_id"]

        assert await notifications.by_id(ask(ANN), [id, "x", "\ud83d"]) == [edge["node"], None, None]
        assert await notifications.by_id(ask(BOB), [id]) == [None]
        assert await notifications.by_id(ask(None), [id]) == [None]


class TestReading:
    async def test_up_to_one_all_older_are_read(self, database: Database, ask: Ask) -> None:
        for _ in range(5):
            await like(ask(BOB), new_id("post"))
        page = await my_list(ask, ANN)
        third = page["edges"][2]["node"]["_id"]

        assert await notifications.mark_read(ask(ANN), up_to=third) == 2
        first_read = [edge["node"]["read_at"] for edge in (await my_list(ask, ANN))["edges"]]
        assert [time is None for time in first_read] == [True, True, False, False, False]
        assert await notifications.mark_read(ask(ANN), up_to=page["edges"][4]["node"]["_id"]) == 2
        newest = page["edges"][0]["node"]["_id"]
        counts = await asyncio.gather(*(notifications.mark_read(ask(ANN), up_to=newest) for _ in range(5)))
        assert counts == [0] * 5
        again = [edge["node"]["read_at"] for edge in (await my_list(ask, ANN))["edges"]]
        assert again[2:] == first_read[2:]

    async def test_anothers_or_unknown_one_is_not_found(self, database: Database, ask: Ask) -> None:
        await like(ask(BOB), new_id("post"))
        (edge,) = (await my_list(ask, ANN))["edges"]

        for who, id in ((BOB, edge["node"]["_id"]), (ANN, new_id("ntf")), (ANN, "nonsense")):
            with pytest.raises(NotFoundError):
                await notifications.mark_read(ask(who), up_to=id)
        with pytest.raises(UnauthenticatedError):
            await notifications.mark_read(ask(None), up_to=edge["node"]["_id"])
        assert await database.count(store.NOTIFICATIONS, {"read_at": None}) == 1


class TestHearing:
    async def test_what_was_missed_comes_first_then_what_is_live(self, database: Database, live: Ask, hub: Hub) -> None:
        posts = [new_id("post") for _ in range(4)]
        async with listening(notifications.notification_added(live(ANN), after=None), hub) as listener:
            await like(live(BOB), posts[0])
            (first,) = await listener.hear(1)
        await like(live(BOB), posts[1])
        await like(live(BOB), posts[2])

        stream = notifications.notification_added(live(ANN), after=first["cursor"])
        async with listening(stream, hub) as listener:
            events = await listener.hear(2)
            listener.listen()
            await like(live(ANN), new_id("post"), of=BOB, by=ANN)
            await like(live(BOB), posts[3])
            events += await listener.hear(1)

        assert [event["notification"]["subject_id"] for event in events] == posts[1:]

    async def test_foreign_cursors_and_nobody_are_refused(self, database: Database, live: Ask, hub: Hub) -> None:
        async with listening(notifications.notification_added(live(ANN), after=None), hub) as listener:
            await like(live(BOB), new_id("post"))
            (event,) = await listener.hear(1)

        for who, after in ((BOB, event["cursor"]), (ANN, "nonsense")):
            with pytest.raises(ValidationError):
                await heard(notifications.notification_added(live(who), after=after), 1)
        with pytest.raises(UnauthenticatedError):
            await heard(notifications.notification_added(live(None), after=None), 1)


async def test_every_list_is_read_from_an_index(bare_database: Database) -> None:
    database = bare_database
    await create_indexes(database)
    loop = CommitLoops(database)["notifications"]
    made = [await store.append(loop, store.Notice(ANN, "like", BOB, new_id("post"))) for _ in range(6)]
    await store.mark_read(database, ANN, made[3]["_id"], made[3]["created_at"])

    async def read() -> None:
        await store.newest(database, ANN, window("n", int, first=2))
        await store.rows_after(database, ANN, 2, 10)
        assert await store.mark_read(database, ANN, made[4]["_id"], made[4]["created_at"]) == 1

    plans = await plans_of(database, read)

    assert not any(plan.is_scan or plan.sorts_in_memory for plan in plans), plans
    # The index of unread ones leads to the one that changes, not to the four that were read before.
    assert max(plan.documents_examined for plan in plans) <= 4
