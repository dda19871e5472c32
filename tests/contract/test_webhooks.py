"""Applications, their keys and their webhooks, as partners rely on them: over real sockets, by keys alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from datastores import partners as store
from datastores.paging import encode_cursor
from resolvers.context import KEYS_WRITE, PAYMENTS_READ, SCOPES
from resolvers.partners import new_partner_key
from tests.contract.apps import ENDPOINT, App, open_app
from tests.contract.town import Town
from tests.integration.gateway.webhooks.receivers import Receiver, receiving, status

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOWHERE = "http://127.0.0.1:1/hooks"
UNKNOWN = {"whe": "whe_01JD0000000000000000000000", "key": "key_01JD0000000000000000000000"}


@pytest_asyncio.fixture(loop_scope="session")
async def app(town: Town) -> App:
    return await open_app(town)


@asynccontextmanager
async def served(app: App, **more: Any) -> AsyncIterator[tuple[Receiver, Any]]:
    """A receiver with an endpoint."""
    async with receiving() as receiver:
        made = await app.endpoint(receiver.url, **more)
        yield receiver, made
        await app.do("deleteWebhookEndpoint", endpointId=made["endpoint"]["id"])


class TestKeys:
    async def test_an_application_sees_itself_by_its_key(self, app: App) -> None:
        found = await app.ask(
            """{ application { id name mode createdAt webhookEndpoints { id }
                keys { nodes { id name scopes createdAt expiresAt revokedAt lastUsedAt } } } viewer { id } }"""
        )
        seen = found["application"]

        assert found["viewer"] is None
        assert (seen["id"], seen["name"], seen["mode"]) == (app.partner_id, "books", "LIVE")
        assert [(each["id"], each["scopes"]) for each in seen["keys"]["nodes"]] == [(app.key_id, list(SCOPES))]
        for who in (None, "alice"):
            assert (await app.town.ask(who, "{ application { id } }")) == {"application": None}

    async def test_its_use_is_noted(self, app: App) -> None:
        async with asyncio.timeout(10):
            while True:
                seen = (await app.ask("{ application { keys { nodes { lastUsedAt } } } }"))["application"]["keys"]
                if seen["nodes"][0]["lastUsedAt"] is not None:
                    break

    async def test_what_belongs_to_another_application_is_not_there(self, app: App) -> None:
        other = await open_app(app.town)
        made = await other.endpoint(NOWHERE)
        test = await other.do("sendTestWebhook", "delivery { id }", endpointId=made["endpoint"]["id"])
        query = "query ($id: ID!) { node(id: $id) { id } }"

        for id in (other.partner_id, other.key_id, made["endpoint"]["id"], test["delivery"]["id"]):
            assert (await app.ask(query, id=id))["node"] is None
            assert (await app.town.ask("alice", query, id=id))["node"] is None
            assert (await other.ask(query, id=id))["node"] == {"id": id}
        for mutation, input in (
            ("updateWebhookEndpoint", {"endpointId": made["endpoint"]["id"], "enabled": False}),
            ("deleteWebhookEndpoint", {"endpointId": made["endpoint"]["id"]}),
            ("rotateWebhookSecret", {"endpointId": made["endpoint"]["id"]}),
            ("sendTestWebhook", {"endpointId": made["endpoint"]["id"]}),
            ("replayWebhookDelivery", {"deliveryId": test["delivery"]["id"]}),
            ("rotatePartnerKey", {"keyId": other.key_id}),
            ("revokePartnerKey", {"keyId": other.key_id}),
        ):
            theirs = await app.do(mutation, **input)
            nothing = await app.do(mutation, **{**input, next(iter(input)): UNKNOWN["whe"]})
            assert theirs["code"] == nothing["code"] == "NOT_FOUND", mutation
            assert theirs == nothing

    async def test_a_key_is_made_once_by_its_name(self, app: App) -> None:
        select = "secret key { id name scopes }"
        answers = await asyncio.gather(
            *(app.do("createPartnerKey", select, name=" reports ", scopes=[PAYMENTS_READ]) for _ in range(5))
        )

        (made,) = [each for each in answers if each["__typename"] == "CreatePartnerKeySuccess"]
        assert {each["code"] for each in answers if each is not made} == {"CONFLICT"}
        assert (made["key"]["name"], made["key"]["scopes"]) == ("reports", [PAYMENTS_READ])
        assert (await app.ask("{ application { id } }", made["secret"]))["application"]["id"] == app.partner_id
        refused = await app.do("createPartnerKey", text=made["secret"], name="more", scopes=[PAYMENTS_READ])
        assert refused["code"] == "FORBIDDEN"
        for name, scopes in (("", [PAYMENTS_READ]), ("x", []), ("x", ["everything"]), ("x" * 101, [PAYMENTS_READ])):
            assert (await app.do("createPartnerKey", name=name, scopes=scopes))["code"] == "INVALID_INPUT"

    async def test_no_key_makes_one_that_may_more(self, town: Town) -> None:
        app = await open_app(town, [KEYS_WRITE])
        strong = new_partner_key()
        made: store.KeyToMake = {
            "key_id": strong.id,
            "secret_hash": strong.secret_hash,
            "name": "strong",
            "scopes": list(SCOPES),
        }
        await store.add_key(town.gateway.database, app.partner_id, made, datetime(2026, 1, 1))

        assert (await app.do("createPartnerKey", name="x", scopes=[PAYMENTS_READ]))["code"] == "FORBIDDEN"
        assert (await app.do("rotatePartnerKey", keyId=strong.id))["code"] == "FORBIDDEN"
        assert (await app.do("createPartnerKey", name="x", scopes=[KEYS_WRITE]))["__typename"].endswith("Success")

    async def test_a_key_is_rotated_once_and_both_are_valid_until_the_old_one_ends(self, app: App) -> None:
        select = "secret key { id name scopes expiresAt } previous { id expiresAt }"
        answers = await asyncio.gather(*(app.do("rotatePartnerKey", select, keyId=app.key_id) for _ in range(5)))

        (made,) = [each for each in answers if each["__typename"] == "RotatePartnerKeySuccess"]
        assert {each["code"] for each in answers if each is not made} == {"CONFLICT"}
        assert made["previous"]["id"] == app.key_id
        ends = datetime.fromisoformat(made["previous"]["expiresAt"]).replace(tzinfo=None)
        assert timedelta(hours=23) < ends - app.town.gateway.contexts.of_viewer().now() <= timedelta(hours=24)
        assert (made["key"]["name"], made["key"]["expiresAt"]) == ("first", None)
        for text in (app.text, made["secret"]):
            assert (await app.ask("{ application { id } }", text))["application"]["id"] == app.partner_id
        assert (await app.do("rotatePartnerKey", keyId=app.key_id, overlapHours=169))["code"] == "INVALID_INPUT"

        # The answer was lost: the successor is ended, and the key rotated again, at once this time.
        await app.do("revokePartnerKey", keyId=made["key"]["id"])
        again = await app.do("rotatePartnerKey", select, keyId=app.key_id, overlapHours=0)
        assert (await app.answer("{ application { id } }"))["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert (await app.ask("{ application { id } }", again["secret"]))["application"]["id"] == app.partner_id
        ended = await app.do("rotatePartnerKey", text=again["secret"], keyId=app.key_id)
        assert ended["code"] == "CONFLICT"

    async def test_a_key_that_is_revoked_ends_at_once_and_stays_so(self, app: App) -> None:
        made = await app.do("createPartnerKey", "secret key { id }", name="second", scopes=list(SCOPES))
        answers = await asyncio.gather(
            *(app.do("revokePartnerKey", "key { id revokedAt }", made["secret"], keyId=app.key_id) for _ in range(5))
        )
        late = await app.do("revokePartnerKey", "key { id revokedAt }", made["secret"], keyId=app.key_id)

        assert {each["key"]["revokedAt"] for each in [*answers, late]} == {late["key"]["revokedAt"]}
        assert (await app.answer("{ application { id } }"))["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"

    async def test_a_key_of_one_mode_is_none_of_the_other(self, town: Town) -> None:
        sandbox = await open_app(town, mode=store.Mode.SANDBOX)
        live = await open_app(town)
        merchant = (await store.merchants_of(town.gateway.database, live.partner_id))[0]

        assert sandbox.text.startswith("agora_pk_test_")
        assert (await sandbox.ask("{ application { mode } }"))["application"] == {"mode": "SANDBOX"}
        with pytest.raises(Exception, match="is LIVE, as the application that it was first granted to"):
            await store.change_merchants(town.gateway.database, sandbox.partner_id, lambda now: [*now, merchant])
        assert len(await store.merchants_of(town.gateway.database, sandbox.partner_id)) == 1

    async def test_a_stream_ends_with_its_key(self, app: App) -> None:
        made = await app.do("createPartnerKey", "secret key { id }", name="stream", scopes=[PAYMENTS_READ])
        headers = {"Authorization": f"Bearer {made['secret']}", "Accept": "text/event-stream"}
        body = {"query": "subscription { paymentEvents { seq } }"}
        async with app.town.http.stream("POST", app.town.url, json=body, headers=headers, timeout=60) as stream:
            assert stream.status_code == 200
            await app.do("revokePartnerKey", keyId=made["key"]["id"])
            async with asyncio.timeout(40):
                text = "".join([line async for line in stream.aiter_lines()])

        assert "complete" in text or "UNAUTHENTICATED" in text


class TestEndpoints:
    async def test_a_webhook_says_what_the_feed_says(self, app: App) -> None:
        async with served(app) as (receiver, made):
            await app.happen(3)
            await receiver.has(3)
            log = await app.log(made["endpoint"]["id"])

        feed = await app.feed()
        assert [each.data for each in receiver.got] == feed
        for each in receiver.got:
            each.verify(made["secret"])
            assert each.payload["type"] == each.data["type"]
            assert each.payload["timestamp"] == each.data["createdAt"]
        # Two that began in the same millisecond may stand either way round.
        logged = sorted((int(each["seq"]), each["id"]) for each in log)
        assert logged[:2] == [(each.seq, each.id) for each in receiver.got][:2]

    async def test_an_endpoint_is_made_once_by_its_client_id(self, app: App) -> None:
        answers = await asyncio.gather(*(app.endpoint(NOWHERE, clientId="one", description=" mine ") for _ in range(5)))

        assert {(each["endpoint"]["id"], each["secret"]) for each in answers} == {
            (answers[0]["endpoint"]["id"], answers[0]["secret"])
        }
        assert answers[0]["endpoint"]["description"] == "mine"
        assert answers[0]["secret"].startswith("whsec_")
        assert (await app.do("createWebhookEndpoint", url=NOWHERE))["code"] == "CONFLICT"
        other = await app.do("createWebhookEndpoint", url=f"{NOWHERE}/2", clientId="one")
        assert other["code"] == "IDEMPOTENCY_KEY_REUSED"
        endpoints = (await app.ask("{ application { webhookEndpoints { id } } }"))["application"]["webhookEndpoints"]
        assert endpoints == [{"id": answers[0]["endpoint"]["id"]}]

    async def test_there_are_at_most_twenty(self, app: App) -> None:
        answers = await asyncio.gather(
            *(app.do("createWebhookEndpoint", url=f"{NOWHERE}/{n}", types=["payment.disputed"]) for n in range(22))
        )

        assert sum(each["__typename"].endswith("Success") for each in answers) == 20
        assert {each["code"] for each in answers if "code" in each} == {"CONFLICT"}

    @pytest.mark.parametrize(
        "input",
        [
            {"url": "http://user@127.0.0.1/"},
            {"url": "http://127.0.0.1/#x"},
            {"url": "http://0x7f000001/"},
            {"url": "http://2130706433/"},
            {"url": "http://exämple.com/"},
            {"url": NOWHERE, "types": []},
            {"url": NOWHERE, "types": ["order.eaten"]},
            {"url": NOWHERE, "description": "x" * 141},
            {"url": NOWHERE, "clientId": ""},
            {"url": NOWHERE, "after": "nonsense"},
            {"url": NOWHERE, "after": encode_cursor("payment_events/ptn_another", 1)},
        ],
        ids=str,
    )
    async def test_what_is_not_acceptable_is_told_and_makes_nothing(self, app: App, input: dict[str, Any]) -> None:
        assert (await app.do("createWebhookEndpoint", **input))["code"] == "INVALID_INPUT"

        assert (await app.ask("{ application { webhookEndpoints { id } } }"))["application"]["webhookEndpoints"] == []

    async def test_a_cursor_from_the_future_is_refused(self, app: App) -> None:
        future = encode_cursor(f"payment_events/{app.partner_id}", 2**40)

        assert (await app.do("createWebhookEndpoint", url=NOWHERE, after=future))["code"] == "INVALID_INPUT"
        made = await app.endpoint(NOWHERE)
        replayed = await app.do("replayWebhooks", endpointId=made["endpoint"]["id"], after=future)
        assert replayed["code"] == "INVALID_INPUT"

    async def test_who_may_not(self, town: Town, app: App) -> None:
        reader = await open_app(town, [PAYMENTS_READ])
        made = await app.endpoint(NOWHERE)
        id = made["endpoint"]["id"]
        for mutation, input in (
            ("createWebhookEndpoint", {"url": NOWHERE}),
            ("updateWebhookEndpoint", {"endpointId": id}),
            ("deleteWebhookEndpoint", {"endpointId": id}),
            ("rotateWebhookSecret", {"endpointId": id}),
            ("sendTestWebhook", {"endpointId": id}),
            ("replayWebhooks", {"endpointId": id, "after": "x"}),
            ("replayWebhookDelivery", {"deliveryId": id}),
            ("createPartnerKey", {"name": "x", "scopes": [PAYMENTS_READ]}),
            ("rotatePartnerKey", {"keyId": reader.key_id}),
            ("revokePartnerKey", {"keyId": reader.key_id}),
        ):
            assert (await reader.do(mutation, **input))["code"] == "FORBIDDEN", mutation
            assert (await reader.do(mutation, text=town.issuer.token("alice"), **input))["code"] == "FORBIDDEN", (
                mutation
            )

    async def test_it_is_changed_disabled_and_goes_on_where_it_stopped(self, app: App) -> None:
        async with served(app) as (receiver, made), receiving() as other:
            id = made["endpoint"]["id"]
            changes = {"endpointId": id, "types": ["transfer.posted"], "description": None}
            changed = await app.do("updateWebhookEndpoint", ENDPOINT, **changes)
            replayed = await app.do("updateWebhookEndpoint", ENDPOINT, **changes)
            disabled = await app.do("updateWebhookEndpoint", ENDPOINT, endpointId=id, enabled=False)
            await app.happen(2)
            refused = await app.do("sendTestWebhook", endpointId=id)
            enabled = await app.do("updateWebhookEndpoint", ENDPOINT, endpointId=id, enabled=True, url=other.url)
            await other.has(2)

        assert changed == replayed
        assert (changed["endpoint"]["types"], changed["endpoint"]["description"]) == (["transfer.posted"], None)
        assert (disabled["endpoint"]["enabled"], disabled["endpoint"]["disabledReason"]) == (False, "REQUESTED")
        assert refused["code"] == "CONFLICT"
        assert (enabled["endpoint"]["enabled"], enabled["endpoint"]["disabledReason"]) == (True, None)
        assert receiver.got == []
        assert other.seqs == [int(event["seq"]) for event in await app.feed()]

    @pytest.mark.parametrize(
        "changes", [{"url": None}, {"enabled": None}, {"types": []}, {"url": "http://a@b/"}], ids=str
    )
    async def test_a_change_that_is_not_acceptable(self, app: App, changes: dict[str, Any]) -> None:
        made = await app.endpoint(NOWHERE)

        refused = await app.do("updateWebhookEndpoint", endpointId=made["endpoint"]["id"], **changes)

        assert refused["code"] == "INVALID_INPUT"

    async def test_no_two_have_one_url(self, app: App) -> None:
        await app.endpoint(NOWHERE)
        other = await app.endpoint(f"{NOWHERE}/2")

        refused = await app.do("updateWebhookEndpoint", endpointId=other["endpoint"]["id"], url=NOWHERE)

        assert refused["code"] == "CONFLICT"

    async def test_it_is_deleted_once(self, app: App) -> None:
        id = (await app.endpoint(NOWHERE))["endpoint"]["id"]

        answers = await asyncio.gather(
            *(app.do("deleteWebhookEndpoint", "endpointId", endpointId=id) for _ in range(4))
        )

        assert sorted(each.get("code", "") for each in answers) == ["", "NOT_FOUND", "NOT_FOUND", "NOT_FOUND"]
        assert (await app.ask("query ($id: ID!) { node(id: $id) { id } }", id=id))["node"] is None

    async def test_its_secret_is_rotated_once_by_its_client_id(self, app: App) -> None:
        made = await app.endpoint(NOWHERE)
        id = made["endpoint"]["id"]
        select = f"secret {ENDPOINT}"

        answers = await asyncio.gather(
            *(app.do("rotateWebhookSecret", select, endpointId=id, clientId="r1") for _ in range(5))
        )
        refused = await app.do("rotateWebhookSecret", endpointId=id, clientId="r2")

        assert len({each["secret"] for each in answers}) == 1
        assert answers[0]["secret"] != made["secret"]
        old, new = answers[0]["endpoint"]["secrets"]
        assert (old["expiresAt"] is not None, new["expiresAt"]) == (True, None)
        assert refused["code"] == "CONFLICT"

    async def test_a_test_and_a_replay_of_what_failed(self, app: App) -> None:
        async with served(app) as (receiver, made):
            receiver.reply = status(500)
            id = made["endpoint"]["id"]
            tests = await asyncio.gather(
                *(app.do("sendTestWebhook", "delivery { id }", endpointId=id) for _ in range(3))
            )
            await receiver.has(1)
            async with asyncio.timeout(20):
                while not [each for each in await app.log(id, "(state: DEAD)") if each["attempts"]]:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            receiver.reply = status(200)
            failed = (await app.log(id, "(state: DEAD)"))[-1]
            replayed = await app.do("replayWebhookDelivery", "delivery { id state }", deliveryId=failed["id"])
            async with asyncio.timeout(20):
                # Another test, which waited meanwhile, may have arrived before it.
                while failed["id"] not in {each["id"] for each in await app.log(id, "(state: DELIVERED)")}:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            (arrived,) = [each for each in await app.log(id) if each["id"] == failed["id"]]

        assert all(each["__typename"] == "WebhookDeliverySuccess" for each in tests)
        assert (failed["type"], failed["seq"], failed["event"]) == ("webhook.test", None, None)
        assert [(each["statusCode"], each["error"]) for each in arrived["attempts"]] == [(500, "STATUS"), (200, None)]
        assert replayed["delivery"]["id"] == failed["id"]
        assert [each["endpoint"]["id"] for each in [arrived]] == [id]

    async def test_everything_past_a_cursor_is_sent_again(self, app: App) -> None:
        async with served(app) as (receiver, made):
            await app.happen(3)
            await receiver.has(3)
            feed = await app.feed()
            again = {"endpointId": made["endpoint"]["id"], "after": feed[0]["cursor"]}
            async with asyncio.timeout(20):
                while (await app.do("replayWebhooks", "endpoint { settledCursor }", **again)).get("code"):
                    pass
            await receiver.has(5)

        assert receiver.seqs[3:5] == [int(event["seq"]) for event in feed[1:]]
