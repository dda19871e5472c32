"""What strangers, people who left, nobody, and partners try: no road leads to what is not theirs, and nothing tells."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from gateway.demo.script import PARTNER
from gateway.execution.executor import GraphExecutor
from gateway.execution.requests import OperationRequest
from gateway.identity.identities import Person
from gateway.settings import DEVELOPMENT_ISSUER
from schema.graph import DOMAINS, subgraph, whole_graph
from tests.contract.scene import SECRET, Scene, eur, play
from tests.contract.town import Events, Town
from tests.contract.walking import Walker

pytestmark = pytest.mark.asyncio(loop_scope="session")

STRANGER, LEFT = "mallory", "erin"
NOBODIES = [STRANGER, LEFT, None, "partner of others", "partner without scope"]
# What is private, and the root field that asks for it by id.
PRIVATE = {
    "conversation": "conversation",
    "group": "conversation",
    "order_conversation": "conversation",
    "message": None,
    "group_message": None,
    "wallet": "wallet",
    "leg": None,
    "transfer": "transfer",
    "payment": "transfer",
    "request": "paymentRequest",
    "order": "order",
    "draft": "listing",
    "notification": None,
    "event": None,
}
# What each kind of thing lets nobody else do; `$name` is an id of the scene, the first argument the one that is tried.
FOREIGN: list[tuple[str, str, dict[str, Any]]] = [
    ("conversation", "sendMessage", {"conversationId": "$", "text": "x"}),
    ("conversation", "markConversationRead", {"conversationId": "$", "seq": "1"}),
    ("conversation", "setTyping", {"conversationId": "$", "typing": True}),
    ("group", "addConversationMembers", {"conversationId": "$", "userIds": ["$mallory", "$erin"]}),
    ("group", "removeConversationMember", {"conversationId": "$", "userId": "$bob"}),
    ("group", "removeConversationMember", {"conversationId": "$", "userId": "$mallory"}),
    ("message", "sendMessage", {"conversationId": "$own", "text": "x", "replyToId": "$"}),
    ("group_message", "editMessage", {"messageId": "$", "text": "x"}),
    ("group_message", "deleteMessage", {"messageId": "$"}),
    ("group_message", "addReaction", {"messageId": "$", "emoji": "👍"}),
    ("group_message", "removeReaction", {"messageId": "$", "emoji": "👍"}),
    ("transfer", "sendMessage", {"conversationId": "$own", "text": "x", "transferId": "$"}),
    ("payment", "sendMessage", {"conversationId": "$own", "text": "x", "transferId": "$"}),
    ("request", "sendMessage", {"conversationId": "$own", "text": "x", "paymentRequestId": "$"}),
    ("transfer", "refundTransfer", {"idempotencyKey": "$key", "transferId": "$"}),
    ("payment", "refundTransfer", {"idempotencyKey": "$key", "transferId": "$", "amount": eur("0.01")}),
    ("request", "acceptPaymentRequest", {"idempotencyKey": "$key", "paymentRequestId": "$"}),
    ("request", "declinePaymentRequest", {"paymentRequestId": "$"}),
    ("request", "cancelPaymentRequest", {"paymentRequestId": "$"}),
    ("wallet", "topUpWallet", {"idempotencyKey": "$key", "walletId": "$", "amount": eur("1"), "source": "sandbox:ok"}),
    ("wallet", "closeWallet", {"walletId": "$"}),
    ("wallet", "withdrawFromWallet",
     {"idempotencyKey": "$key", "walletId": "$", "amount": eur("1"), "destination": "sandbox:ok"}),
    ("wallet", "transferFunds",
     {"idempotencyKey": "$key", "to": {"userId": "$bob"}, "amount": eur("1"), "fromWalletId": "$"}),
    ("conversation", "transferFunds",
     {"idempotencyKey": "$key", "to": {"userId": "$bob"}, "amount": eur("1"), "conversationId": "$"}),
    ("conversation", "requestPayment",
     {"idempotencyKey": "$key", "payerId": "$bob", "amount": eur("1"), "conversationId": "$"}),
    ("order", "payOrder", {"idempotencyKey": "$key", "orderId": "$"}),
    ("order", "shipOrder", {"orderId": "$"}),
    ("order", "completeOrder", {"orderId": "$"}),
    ("order", "cancelOrder", {"orderId": "$"}),
    ("draft", "updateListing", {"listingId": "$", "title": "x"}),
    ("draft", "placeOrder",
     {"idempotencyKey": "$key", "lines": [{"listingId": "$", "quantity": 1, "expectedUnitPrice": eur("1")}]}),
    ("draft", "createPost", {"text": "x", "listingId": "$"}),
    ("notification", "markNotificationsRead", {"upTo": "$"}),
]  # fmt: skip
# Streams of what is not one's own; the second of a pair is a cursor of somebody else's stream.
STREAMS = [
    ("conversation", "messageAdded(conversationId: $id) { cursor }"),
    ("group", "conversationUpdated(conversationId: $id) { __typename }"),
    ("group", "messageAdded(conversationId: $id) { cursor }"),
    ("conversation", "typing(conversationId: $id) { typing }"),
    ("conversation", "presence(conversationId: $id) { online }"),
    ("group", "presence(conversationId: $id) { online }"),
    ("wallet", "balanceChanged(walletId: $id) { cursor }"),
    ("order", "orderUpdated(orderId: $id) { cursor }"),
]
FOREIGN_CURSORS = [
    ("conversation", "messageAdded(conversationId: $own, after: $cursor) { cursor }"),
    ("group", "conversationUpdated(conversationId: $own, after: $cursor) { __typename }"),
    ("balance", "balanceChanged(after: $cursor) { cursor }"),
    ("order", "orderUpdated(after: $cursor) { cursor }"),
    ("conversation", "inbox(after: $cursor) { cursor }"),
    ("balance", "notificationAdded(after: $cursor) { cursor }"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(town: Town) -> Scene:
    """What Alice, Bob and Carol have among themselves."""
    return await play(town)


@pytest.mark.parametrize("who", NOBODIES, ids=str)
@pytest.mark.parametrize("what", PRIVATE)
async def test_what_is_private_is_null_to_all_others_by_its_id(scene: Scene, what: str, who: str | None) -> None:
    fields = "node(id: $id) { id }" + (f" own: {PRIVATE[what]}(id: $id) {{ id }}" if PRIVATE[what] else "")

    theirs = await scene.answer(who, f"query ($id: ID!) {{ {fields} }}", id=scene.ids[what])
    nothing = await scene.answer(who, f"query ($id: ID!) {{ {fields} }}", id=unknown(scene.ids[what]))

    assert theirs == nothing
    assert set(theirs["data"].values()) == {None}


@pytest.mark.parametrize("who", [STRANGER, LEFT, None], ids=str)
@pytest.mark.parametrize(("what", "mutation", "input"), FOREIGN, ids=[f"{m}-{w}" for w, m, _ in FOREIGN])
async def test_no_mutation_reaches_what_is_anothers_or_tells_that_it_exists(
    scene: Scene, what: str, mutation: str, input: dict[str, Any], who: str | None
) -> None:
    theirs = await scene.do(who, mutation, **filled(scene, input, scene.ids[what]))
    nothing = await scene.do(who, mutation, **filled(scene, input, unknown(scene.ids[what])))

    assert theirs == nothing
    if who is None:
        assert theirs["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    else:
        assert theirs["code"] == "NOT_FOUND"


@pytest.mark.parametrize("who", ["partner of others", PARTNER])
@pytest.mark.parametrize(("what", "mutation", "input"), FOREIGN, ids=[f"{m}-{w}" for w, m, _ in FOREIGN])
async def test_partners_act_for_nobody(scene: Scene, what: str, mutation: str, input: dict[str, Any], who: str) -> None:
    refused = await scene.do(who, mutation, **filled(scene, input, scene.ids[what]))

    assert refused["code"] == "FORBIDDEN"


@pytest.mark.parametrize("who", [STRANGER, LEFT, None, "partner of others", "partner without scope"], ids=str)
async def test_nothing_that_one_can_walk_to_shows_what_is_private(scene: Scene, who: str | None) -> None:
    graph = whole_graph().graphql_schema
    walker = Walker(graph, {"Viewer.wallet": '(currency: "EUR")'})
    people = " ".join(f'{name}: user(handle: "{name}") {{ ...U }}' for name in ("alice", "bob", "carol"))
    shop = f'shop: merchant(id: "{scene.ids["merchant"]}") {{ {walker.select("Merchant", 1)} }}'
    everything = f"""{{ {people} {shop} viewer {{ {walker.select("Viewer", 1)} }}
        listings(search: "{SECRET}", first: 100) {{ nodes {{ id title }} }} }}
        fragment U on User {{ {walker.select("User", 1)} }}"""

    shown = json.dumps(await scene.answer(who, everything))

    assert '"shop": {"' in shown
    assert SECRET not in shown
    assert [what for what in PRIVATE if scene.ids[what] in shown] == []


async def test_a_partner_sees_the_money_of_its_merchant_and_nothing_beyond(scene: Scene) -> None:
    query = """query ($order: ID!, $payment: ID!) {
        order: node(id: $order) { ... on Order { conversation { id } transfer { id memo receipt { body } } } }
        transfer(id: $payment) { id memo from { id } to { id } receipt { body } conversation { id } } }"""

    seen = (await scene.answer(PARTNER, query, order=scene.ids["order"], payment=scene.ids["payment"]))["data"]

    assert seen["order"]["conversation"] is None
    assert seen["order"]["transfer"] == {"id": scene.ids["payment"], "memo": None, "receipt": None}
    assert {seen["transfer"][name] for name in ("memo", "from", "to", "receipt", "conversation")} == {None}
    for what in ("conversation", "message", "wallet", "leg", "transfer", "request", "draft", "notification"):
        found = await scene.answer(PARTNER, "query ($id: ID!) { node(id: $id) { id } }", id=scene.ids[what])
        assert found["data"] == {"node": None}, what


async def test_members_see_of_a_transfer_what_is_shown_and_no_more(scene: Scene) -> None:
    await scene.do("alice", "sendMessage", conversationId=scene.ids["group"], text="x", transferId=scene.ids["payment"])
    await scene.do("bob", "sendMessage", conversationId=scene.ids["group"], text="x", transferId=scene.ids["transfer"])
    rest = "fee { amount } refundedAmount { amount } from { id } to { id } conversation { id } order { id }"
    query = f"query ($id: ID!) {{ transfer(id: $id) {{ {rest} receipt {{ body }} memo }} }}"

    payment = (await scene.answer("bob", query, id=scene.ids["payment"]))["data"]["transfer"]
    left = (await scene.answer(LEFT, query, id=scene.ids["payment"]))["data"]["transfer"]

    assert set(payment.values()) == {None}
    assert left is None


@pytest.mark.parametrize(("what", "stream"), STREAMS, ids=[f"{s.partition('(')[0]}-{w}" for w, s in STREAMS])
@pytest.mark.parametrize("who", [STRANGER, LEFT])
async def test_no_stream_of_anothers_begins(scene: Scene, who: str, what: str, stream: str) -> None:
    document = f"subscription ($id: ID!) {{ {stream} }}"

    theirs = await first_frame(scene.town, who, document, id=scene.ids[what])
    nothing = await first_frame(scene.town, who, document, id=unknown(scene.ids[what]))

    assert theirs == nothing
    assert theirs["type"] == "error"
    assert {error["extensions"]["code"] for error in theirs["payload"]} == {"NOT_FOUND"}


@pytest.mark.parametrize(("whose", "stream"), FOREIGN_CURSORS, ids=[s.partition("(")[0] for _, s in FOREIGN_CURSORS])
async def test_a_cursor_of_anothers_stream_opens_nothing(scene: Scene, whose: str, stream: str) -> None:
    own = "$own: ID!, " if "$own" in stream else ""
    variables = {"own": scene.ids["own"]} if own else {}

    refused = await first_frame(
        scene.town, STRANGER, f"subscription ({own}$cursor: Cursor!) {{ {stream} }}",
        cursor=scene.cursors[whose], **variables,
    )  # fmt: skip

    assert [error["extensions"]["code"] for error in refused["payload"]] == ["INVALID_INPUT"]


@pytest.mark.parametrize("who", [None, STRANGER, PARTNER], ids=str)
@pytest.mark.parametrize("stream", ["inbox { cursor }", "balanceChanged { cursor }", "paymentEvents { cursor }"])
async def test_streams_are_for_those_whose_they_are(scene: Scene, who: str | None, stream: str) -> None:
    if (who == STRANGER and "payment" not in stream) or (who == PARTNER and "payment" in stream):
        return
    refused = await first_frame(scene.town, who, f"subscription {{ {stream} }}")

    expected = "UNAUTHENTICATED" if who is None else "FORBIDDEN"
    assert [error["extensions"]["code"] for error in refused["payload"]] == [expected]


@pytest.mark.parametrize("stream", ["messageAdded { message { text } }", "conversationUpdated { __typename }"])
async def test_who_is_removed_hears_nothing_more(scene: Scene, stream: str) -> None:
    people = [scene.ids["bob"], scene.ids["mallory"]]
    select = "... on StartConversationSuccess { conversation { id } }"
    made = await scene.do("alice", "startConversation", select, memberIds=people, title="Removals")
    group = made["conversation"]["id"]
    document = f"subscription ($id: ID!) {{ {stream.replace(' ', '(conversationId: $id) ', 1)} }}"

    async with scene.town.subscribed(STRANGER, document, id=group) as heard:
        await scene.do("alice", "sendMessage", conversationId=group, text="before")
        before = await heard.message()
        await scene.do("alice", "removeConversationMember", conversationId=group, userId=scene.ids["mallory"])
        await scene.do("alice", "sendMessage", conversationId=group, text=SECRET)
        rest = await until_complete(heard)

    assert before["type"] == "next"
    assert SECRET not in json.dumps(rest)


HOSTILE: list[Any] = [
    7, "Wallet", [], {}, {"__typename": "Wallet"}, {"__typename": ["Wallet"], "id": "x"},
    {"__typename": "Wallet", "id": None}, {"__typename": "Wallet", "id": {"$ne": None}},
    *({"__typename": name, "id": "usr_01JD0000000000000000000000"}
      for name in ("Query", "Mutation", "Money", "Int", "Node", "Error", "__Schema", "_Service", "MoneyInput", "no")),
]  # fmt: skip


@pytest.mark.parametrize("domain", [domain.name for domain in DOMAINS])
async def test_a_representation_is_not_a_right(scene: Scene, domain: str) -> None:
    unexpected: list[Exception] = []
    graph = GraphExecutor(subgraph(domain), lambda error, context, prepared: unexpected.append(error))
    schema = graph.graph.graphql_schema
    union: Any = schema.get_type("_Entity")
    walker = Walker(schema, {"Viewer.wallet": '(currency: "EUR")'})
    private = [
        {"__typename": each.name, "id": scene.ids[what]}
        for what in (*PRIVATE, "alice")
        for each in union.types
        if (each.name == "Viewer") == (what == "alice")
    ]
    identity = Person(DEVELOPMENT_ISSUER, STRANGER, STRANGER, None, 0)

    async def ask(them: list[Any], name: str) -> Any:
        # One type a document: all that all types have passes the limit on aliases.
        select = f"__typename ... on {name} {{ {own(walker, name)} }}"
        document = f"query ($them: [_Any!]!) {{ _entities(representations: $them) {{ {select} }} }}"
        context = await scene.town.gateway.contexts.open(identity, "req")
        return await graph.execute(graph.prepare(OperationRequest(document, variables={"them": them})), context)

    names = [each.name for each in union.types]
    asked = {name: [given for given in private if given["__typename"] == name] for name in names}
    shown = {name: await ask(them, name) for name, them in asked.items()}
    hostile = [await ask([each], name) for each in HOSTILE for name in names]

    assert SECRET not in json.dumps(shown)
    viewers = [
        each
        for name, them in asked.items()
        for each, given in zip(shown[name]["data"]["_entities"], them, strict=True)
        if given["id"] == scene.ids["alice"]
    ]
    assert viewers in ([], [None])
    for each in hostile:
        assert "errors" in each or each["data"]["_entities"] == [None], each
    assert unexpected == []


def own(walker: Walker, name: str) -> str:
    """All fields of a type, each under a name of its own, so that types of one union do not conflict."""
    graphql_type: Any = walker.schema.type_map[name]
    picked = [walker._field(graphql_type, field, f, 0) for field, f in graphql_type.fields.items()]
    return " ".join(f"{name}_{n}: {each}" for n, each in enumerate(filter(None, picked)))


def unknown(id: str) -> str:
    """An id of the same kind that nobody has."""
    return f"{id.partition('_')[0]}_01JD0000000000000000000000"


def filled(scene: Scene, input: Any, tried: str) -> Any:
    """The input with ids of the scene: `$` is the one that is tried, `$key` a new key."""
    if isinstance(input, dict):
        return {name: filled(scene, value, tried) for name, value in input.items()}
    if isinstance(input, list):
        return [filled(scene, value, tried) for value in input]
    if not isinstance(input, str) or not input.startswith("$"):
        return input
    return {"$": tried, "$key": uuid4().hex}.get(input) or scene.ids[input[1:]]


async def first_frame(town: Town, who: str | None, document: str, **variables: Any) -> Any:
    """What a subscription says first."""
    async with town.asked_by_socket(who, {"query": document, "variables": variables}) as events:
        return await events.message()


async def until_complete(heard: Events) -> list[Any]:
    """All that a subscription still says."""
    messages = [await heard.message()]
    while messages[-1]["type"] == "next":
        messages.append(await heard.message())
    assert messages[-1]["type"] == "complete", messages[-1]
    return messages
