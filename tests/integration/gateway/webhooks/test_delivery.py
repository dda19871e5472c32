"""Webhooks arrive: signed, once, in the order of the feed, and as the graph shows its events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import pytest
from pymongo import MongoClient

from datastores import partners as partners_store
from datastores import webhooks as store
from datastores.mongo import Document
from datastores.signals import SIGNALS
from gateway.webhooks.lanes import Lanes
from resolvers import partners, webhooks
from tests.integration.gateway.webhooks.offices import PATIENCE_S, SHORT, Office, open_office
from tests.integration.gateway.webhooks.receivers import Received, held, receiving, status
from tests.integration.resolvers.merchants.shops import line, offer, place


async def test_events_arrive_signed_and_in_order_as_the_feed_has_them(office: Office) -> None:
    await office.happen(2)
    before = await office.seqs()

    async with receiving() as receiver, office.worker():
        endpoint = await office.endpoint(receiver.url)
        await office.happen(5)
        await receiver.has(5)
        settled = await office.until(endpoint, lambda each: each["cursor"] == receiver.seqs[-1])

    feed = (await office.feed())[2:]
    assert receiver.seqs == [event["seq"] for event in feed]
    assert [each.data["previousSeq"] for each in receiver.got] == [str(event["previous_seq"]) for event in feed]
    assert int(receiver.got[0].data["previousSeq"]) == before[-1]
    assert [each.data["cursor"] for each in receiver.got] == [event["cursor"] for event in feed]
    assert settled["last_delivered_at"] is not None
    for each, event in zip(receiver.got, feed, strict=True):
        each.verify(endpoint.secret)
        assert (each.payload["type"], each.data["id"]) == (event["type"], event["_id"])
        assert each.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert each.headers["content-type"] == "application/json"
    assert len({each.id for each in receiver.got}) == 5
    # One connection carries them all.
    assert receiver.connections == 1
    assert office.attempts == ["delivered"] * 5


async def test_what_happened_before_the_endpoint_comes_from_the_cursor_on(office: Office) -> None:
    await office.happen(30)
    first, *rest = await office.feed()

    async with receiving() as receiver, office.worker():
        await office.endpoint(receiver.url, after=first["cursor"])
        await receiver.has(29)

    assert receiver.seqs == [event["seq"] for event in rest]


async def test_only_the_types_that_were_asked_for_in_one_chain(office: Office) -> None:
    async with receiving() as receiver, office.worker():
        await office.endpoint(receiver.url, types=["order.placed"])
        await office.happen(1)
        bowl = await offer(office.ask, office.owner)
        await place(office.ask, office.payer, line(bowl))
        await office.happen(1)
        await place(office.ask, office.payer, line(bowl))
        await receiver.has(2)

    assert receiver.seqs == await office.seqs(["order.placed"])
    assert [each.data["previousSeq"] for each in receiver.got] == [None, str(receiver.seqs[0])]


async def test_what_fails_is_tried_again_and_holds_back_what_follows(office: Office) -> None:
    async with receiving(status(500)) as receiver, office.worker():
        endpoint = await office.endpoint(receiver.url)
        await office.happen(3)
        await receiver.has(3)
        receiver.reply = status(200)
        await receiver.until(lambda: len(set(receiver.seqs)) == 3)
        await office.until(endpoint, lambda each: each["cursor"] == receiver.seqs[-1])

    seqs = await office.seqs()
    assert sorted(receiver.seqs) == receiver.seqs
    assert set(receiver.seqs) == set(seqs)
    assert receiver.seqs.count(seqs[0]) >= 4
    assert receiver.seqs.count(seqs[1]) == receiver.seqs.count(seqs[2]) == 1
    # The event keeps its id, and each attempt its own time and signature.
    assert len({each.id for each in receiver.got}) == 3
    log = await office.log(endpoint)
    assert [each["state"] for each in log] == ["DELIVERED"] * 3
    assert [each["error"] for each in log[0]["attempts"]][-2:] == ["STATUS", None]
    assert log[0]["attempts"][0]["status_code"] == 500
    assert log[0]["attempt_count"] == receiver.seqs.count(seqs[0])


async def test_an_endpoint_that_says_when_to_come_back_is_left_alone_until_then(office: Office) -> None:
    async with receiving(status(503, "Retry-After: 600")) as receiver, office.worker():
        endpoint = await office.endpoint(receiver.url)
        await office.happen(1)
        waiting = await office.until(endpoint, lambda each: each["next_attempt_at"] is not None)

    (delivery,) = await office.log(endpoint)
    assert waiting["next_attempt_at"] == delivery["next_attempt_at"]
    assert delivery["next_attempt_at"] is not None
    assert 599 < (delivery["next_attempt_at"] - delivery["attempts"][0]["at"]).total_seconds() < 605
    assert len(receiver.got) == 1


async def test_an_endpoint_that_is_dead_or_slow_holds_up_no_other(office: Office) -> None:
    async def never(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    other = await open_office(office.ask, office.payer, office.owner, office.merchant_id, "other")
    async with receiving(never) as slow, receiving() as quick, office.worker(timeout_s=3, lanes=Lanes(fast=2, slow=1)):
        for n in range(6):
            await office.endpoint(f"{slow.url}/{n}")
        await office.endpoint("http://127.0.0.1:1/nobody-is-there")
        await office.happen(1)
        await slow.has(2)
        await other.endpoint(quick.url)
        await office.happen(20)
        await quick.has(20)

    assert quick.seqs == (await office.seqs())[1:]
    assert set(slow.seqs) == {(await office.seqs())[0]}


async def test_a_dead_letter_lets_the_next_event_go_on(office: Office) -> None:
    is_well = False

    async def only_the_first_fails(request: Received, writer: asyncio.StreamWriter) -> None:
        await status(200 if is_well or request.seq != receiver.seqs[0] else 503)(request, writer)

    async with receiving(only_the_first_fails) as receiver, office.worker(schedule=SHORT):
        endpoint = await office.endpoint(receiver.url)
        await office.happen(2)
        await office.logged(endpoint, lambda log: any(each["state"] == "DEAD" for each in log))
        first, second = await office.seqs()
        settled = await office.until(endpoint, lambda each: each["cursor"] == second)

        dead, arrived = await office.log(endpoint)
        is_well = True
        replayed = await webhooks.replay_delivery(office.ctx, delivery_id=dead["_id"])
        await office.logged(endpoint, lambda log: log[0]["state"] == "DELIVERED")

    assert (dead["state"], dead["seq"], arrived["state"], arrived["seq"]) == ("DEAD", first, "DELIVERED", second)
    assert settled["enabled"]
    assert settled["dead_in_a_row"] == 0
    assert replayed["_id"] == dead["_id"]
    # The same webhook, again, after the other: whoever gets it knows by its id and number.
    assert (receiver.got[-1].id, receiver.got[-1].seq) == (dead["_id"], first)
    assert office.attempts.count("dead") == 1


async def test_two_dead_letters_in_a_row_disable_an_endpoint_and_nothing_is_lost(office: Office) -> None:
    async with receiving(status(500)) as receiver, office.worker(schedule=SHORT):
        endpoint = await office.endpoint(receiver.url)
        await office.happen(3)
        disabled = await office.until(endpoint, lambda each: not each["enabled"])
        receiver.reply = status(200)
        await webhooks.update_endpoint(office.ctx, endpoint_id=disabled["_id"], enabled=True)
        first, second, third = await office.seqs()
        await office.until(endpoint, lambda each: each["cursor"] == third)

    assert (disabled["disabled_reason"], disabled["cursor"]) == ("DEAD_LETTERS", second)
    assert [each["state"] for each in await office.log(endpoint)] == ["DEAD", "DEAD", "DELIVERED"]
    assert receiver.seqs[0] == first
    assert receiver.seqs[-1] == third


async def test_gone_disables_at_once_and_the_event_waits(office: Office) -> None:
    async with receiving(status(410)) as receiver, office.worker():
        endpoint = await office.endpoint(receiver.url)
        await office.happen(2)
        disabled = await office.until(endpoint, lambda each: not each["enabled"])
        asked = len(receiver.got)
        receiver.reply = status(200)
        await webhooks.update_endpoint(office.ctx, endpoint_id=disabled["_id"], enabled=True)
        await office.until(endpoint, lambda each: each["cursor"] == receiver.seqs[-1] and len(set(receiver.seqs)) == 2)

    assert (disabled["disabled_reason"], asked) == ("GONE", 1)
    assert receiver.seqs == [(seqs := await office.seqs())[0], *seqs]


async def test_other_endpoints_of_the_application_are_told_once_of_one_that_is_disabled(office: Office) -> None:
    stranger = await open_office(office.ask, office.payer, office.owner, office.merchant_id, "stranger")
    async with receiving(status(410)) as gone, receiving() as other, receiving() as theirs, office.worker():
        endpoint = await office.endpoint(gone.url)
        told = await office.endpoint(other.url, types=["order.placed"])
        await stranger.endpoint(theirs.url)
        await office.happen(1)
        await other.has(1)
        await theirs.has(1)
        await office.logged(told, lambda log: [each["state"] for each in log] == ["DELIVERED"])

    (notice,) = other.got
    notice.verify(told.secret)
    assert notice.payload["type"] == "webhook.disabled"
    assert notice.data == {"endpoint": {"id": endpoint.endpoint["_id"], "url": gone.url}, "reason": "GONE"}
    (delivery,) = await office.log(told)
    assert (delivery["_id"], delivery["type"], delivery["seq"]) == (notice.id, "webhook.disabled", None)
    assert [each.payload["type"] for each in theirs.got] == ["transfer.posted"]


async def test_what_is_under_way_when_its_endpoint_is_disabled_is_written_down(office: Office) -> None:
    answering = asyncio.Event()
    async with receiving(held(answering)) as receiver, office.worker(timeout_s=60, lease_ttl_s=120):
        endpoint = await office.endpoint(receiver.url)
        await office.happen(2)
        await receiver.has(1)
        await webhooks.update_endpoint(office.ctx, endpoint_id=endpoint.endpoint["_id"], enabled=False)
        # The worker hears of it, and may not give up what it waits for.
        await asyncio.sleep(0.3)
        answering.set()
        await office.logged(endpoint, lambda log: [each["state"] for each in log] == ["DELIVERED"])
        await webhooks.update_endpoint(office.ctx, endpoint_id=endpoint.endpoint["_id"], enabled=True)
        await receiver.has(3)

    first, second = await office.seqs()
    assert receiver.seqs == [first, first, second]
    assert receiver.connections <= 2


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)


async def test_who_waits_for_a_place_and_is_disabled_meanwhile_sends_nothing(office: Office) -> None:
    answering = asyncio.Event()
    one_place = Lanes(fast=1, slow=1)
    await office.happen(1)
    (earlier,) = await office.feed()
    async with (
        receiving(held(answering)) as slow,
        receiving() as other,
        office.worker(timeout_s=60, lease_ttl_s=120, lanes=one_place) as worker,
    ):
        first = await office.endpoint(slow.url)
        await office.happen(1)
        await slow.has(1)
        second = await office.endpoint(other.url, after=earlier["cursor"])
        id = second.endpoint["_id"]
        # It comes to wait for the place, and then the worker hears that it must not.
        await until(lambda: bool(one_place._fast._waiters))
        (deliverer,) = [shard._deliverers[id][0] for shard in worker._shards if id in shard._deliverers]
        await webhooks.update_endpoint(office.ctx, endpoint_id=id, enabled=False)
        await until(lambda: deliverer.is_ending)
        answering.set()
        await office.logged(first, lambda log: [each["state"] for each in log] == ["DELIVERED"])
        await asyncio.sleep(0.3)

    assert other.got == []


async def test_a_replay_that_is_asked_for_while_another_hangs_is_sent(office: Office) -> None:
    answering = asyncio.Event()
    async with receiving(status(503)) as receiver, office.worker(schedule=SHORT, timeout_s=60, lease_ttl_s=120):
        endpoint = await office.endpoint(receiver.url)
        await office.happen(1)
        await office.logged(endpoint, lambda log: [each["state"] for each in log] == ["DEAD"])
        (dead,) = await office.log(endpoint)
        receiver.reply, before = held(answering, status(503)), len(receiver.got)
        await webhooks.replay_delivery(office.ctx, delivery_id=dead["_id"])
        await receiver.has(before + 1)
        await webhooks.replay_delivery(office.ctx, delivery_id=dead["_id"])
        receiver.reply = status(200)
        answering.set()
        await office.logged(endpoint, lambda log: [each["state"] for each in log] == ["DELIVERED"])

    assert [each.id for each in receiver.got[before:]] == [dead["_id"]] * 2


async def test_what_is_to_be_sent_is_found_though_its_signal_was_not_heard(office: Office, mongodb_uri: str) -> None:
    database = office.ctx.database
    async with receiving() as receiver, office.worker():
        endpoint = await office.endpoint(receiver.url)
        await office.happen(1)
        await office.logged(endpoint, lambda log: [each["state"] for each in log] == ["DELIVERED"])
        (delivery,) = await office.log(endpoint)
        # Nobody is told of it, and then nobody can say what else they were not told of.
        await store.queue_again(database, office.partner_id, delivery["_id"], office.ctx.now())
        with MongoClient[Document](mongodb_uri) as client:
            await asyncio.to_thread(client[database.name].drop_collection, SIGNALS)
        await receiver.has(2)

    assert [each.id for each in receiver.got] == [delivery["_id"]] * 2


async def test_a_replay_from_a_cursor_sends_all_past_it_again_in_order(office: Office) -> None:
    async with receiving() as receiver, office.worker():
        endpoint = await office.endpoint(receiver.url)
        await office.happen(4)
        await receiver.has(4)
        await office.until(endpoint, lambda each: each["cursor"] == receiver.seqs[-1])
        feed = await office.feed()
        await webhooks.replay_from(office.ctx, endpoint_id=endpoint.endpoint["_id"], after=feed[1]["cursor"])
        await receiver.has(6)
        await office.happen(1)
        await receiver.has(7)

    seqs = await office.seqs()
    assert receiver.seqs == [*seqs[:4], *seqs[2:]]
    assert [each.id for each in receiver.got[4:6]] == [each.id for each in receiver.got[2:4]]


async def test_a_test_is_sent_once_and_signed(office: Office) -> None:
    async with receiving(status(500)) as receiver, office.worker():
        endpoint = await office.endpoint(receiver.url)
        failing = await webhooks.send_test(office.ctx, endpoint_id=endpoint.endpoint["_id"])
        await office.logged(endpoint, lambda log: [each["state"] for each in log] == ["DEAD"])
        receiver.reply = status(200)
        working = await webhooks.send_test(office.ctx, endpoint_id=endpoint.endpoint["_id"])
        await office.logged(endpoint, lambda log: [each["state"] for each in log] == ["DEAD", "DELIVERED"])
        await office.happen(1)
        await receiver.has(3)

    assert [each.id for each in receiver.got[:2]] == [failing["_id"], working["_id"]]
    assert [each.payload["type"] for each in receiver.got] == ["webhook.test", "webhook.test", "transfer.posted"]
    for each in receiver.got:
        each.verify(endpoint.secret)


async def test_both_secrets_sign_while_both_are_valid(office: Office) -> None:
    async with receiving() as receiver, office.worker():
        endpoint = await office.endpoint(receiver.url)
        rotated = await webhooks.rotate_secret(office.ctx, endpoint_id=endpoint.endpoint["_id"])
        await office.happen(1)
        await receiver.has(1)
        (webhook,) = receiver.got
        await office.until(endpoint, lambda each: each["cursor"] == webhook.seq)
        # As if the day were over.
        past = datetime(2026, 1, 1)
        ended = {"$set": {"secrets.0.expires_at": past}}
        await office.ctx.database.update_one("webhook_endpoints", {"_id": endpoint.endpoint["_id"]}, ended)
        await office.happen(1)
        await receiver.has(2)

    webhook.verify(endpoint.secret)
    webhook.verify(rotated.secret)
    receiver.got[1].verify(rotated.secret)
    assert len(receiver.got[1].headers["webhook-signature"].split(" ")) == 1


class TestRights:
    async def test_a_merchant_that_is_withdrawn_is_heard_of_no_more(self, office: Office) -> None:
        async with receiving() as receiver, office.worker():
            endpoint = await office.endpoint(receiver.url)
            await office.happen(1)
            await receiver.has(1)
            await office.until(endpoint, lambda each: each["cursor"] == receiver.seqs[0])
            await partners_store.change_merchants(office.ctx.database, office.partner_id, lambda _: [])
            await office.happen(1)
            test = await webhooks.send_test(office.ctx, endpoint_id=endpoint.endpoint["_id"])
            await office.logged(endpoint, lambda log: log[-1]["_id"] == test["_id"] and log[-1]["state"] == "DELIVERED")
            again = await webhooks.replay_delivery(office.ctx, delivery_id=receiver.got[0].id)
            await office.logged(endpoint, lambda log: log[0]["attempts"][-1]["error"] == "FORBIDDEN")
            await partners_store.change_merchants(
                office.ctx.database, office.partner_id, lambda _: [office.merchant_id]
            )
            await receiver.has(3)

        assert again["seq"] == receiver.seqs[0]
        assert [each.payload["type"] for each in receiver.got][1] == "webhook.test"
        # Granted again it goes on where it was: nothing is left out.
        assert receiver.seqs == await office.seqs()

    async def test_an_application_without_a_valid_key_is_sent_nothing(self, office: Office) -> None:
        async with receiving() as receiver, office.worker():
            endpoint = await office.endpoint(receiver.url)
            await office.happen(1)
            await receiver.has(1)
            await office.until(endpoint, lambda each: each["cursor"] == receiver.seqs[0])
            await partners.revoke_key(office.ctx, key_id=office.key_id)
            await office.happen(1)
            # By the time that an endpoint of another application has it, this one would have had it.
            other = await open_office(office.ask, office.payer, office.owner, office.merchant_id, "other")
            async with receiving() as witness:
                await other.endpoint(witness.url)
                await office.happen(1)
                await witness.has(1)

        assert len(receiver.got) == 1
        assert (await office.now(endpoint))["enabled"]

    async def test_an_endpoint_that_is_deleted_or_disabled_is_sent_nothing(self, office: Office) -> None:
        async with receiving() as receiver, receiving() as other, office.worker():
            deleted = await office.endpoint(f"{receiver.url}/1")
            disabled = await office.endpoint(f"{receiver.url}/2")
            await office.happen(1)
            await receiver.has(2)
            await webhooks.delete_endpoint(office.ctx, endpoint_id=deleted.endpoint["_id"])
            await webhooks.update_endpoint(office.ctx, endpoint_id=disabled.endpoint["_id"], enabled=False)
            await office.endpoint(other.url)
            await office.happen(2)
            await other.has(2)

        assert len(receiver.got) == 2


@pytest.mark.parametrize("events", [40])
async def test_events_that_come_at_once_arrive_one_by_one(office: Office, events: int) -> None:
    async with receiving() as receiver, office.worker():
        await office.endpoint(receiver.url)
        await asyncio.gather(*(office.happen(1) for _ in range(events)))
        await receiver.has(events)

    assert receiver.seqs == await office.seqs()
    assert receiver.most_at_once == 1
