"""What strangers, people who left, nobody, and partners try: no road leads to what is not theirs, and nothing tells."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from graphql import GraphQLObjectType, get_named_type, get_nullable_type, is_leaf_type, is_list_type
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from datastores import ledger
from gateway.demo.script import PARTNER
from gateway.execution.documents import DocumentCache
from gateway.execution.executor import GraphExecutor
from gateway.execution.limits import LIST_SIZES
from gateway.execution.requests import OperationRequest, RequestError
from gateway.identity.identities import Person
from gateway.settings import DEVELOPMENT_ISSUER
from schema.graph import DOMAINS, subgraph, whole_graph
from tests.contract.scene import SECRET, Scene, eur, play
from tests.contract.town import Events, Town
from tests.contract.walking import Walker

pytestmark = pytest.mark.asyncio(loop_scope="session")

STRANGER, LEFT = "mallory", "erin"
PROTOCOL = Subprotocol("graphql-transport-ws")
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


TOO_MUCH = str(2**63 // 100)
AMOUNTS = [
    "0",
    "-0.01",
    "-1",
    "0.001",
    "1e3",
    "+1",
    " 1",
    "1_000",
    "0x10",
    "١",
    "１",
    "1,00",
    "NaN",
    "",
    TOO_MUCH,
    "9" * 31,
]


@pytest.mark.parametrize("amount", AMOUNTS, ids=ascii)
async def test_no_other_amount_than_a_plain_positive_one_moves_anything(scene: Scene, amount: str) -> None:
    before = await accounts(scene.town)

    for mutation, more in (
        ("transferFunds", {"to": {"userId": scene.ids["bob"]}}),
        ("requestPayment", {"payerId": scene.ids["bob"]}),
        ("topUpWallet", {"walletId": scene.ids["wallet"], "source": "sandbox:ok"}),
        ("withdrawFromWallet", {"walletId": scene.ids["wallet"], "destination": "sandbox:ok"}),
        ("refundTransfer", {"transferId": scene.ids["transfer"]}),
    ):
        who = "bob" if mutation == "refundTransfer" else "alice"
        if mutation == "requestPayment" and amount == TOO_MUCH:
            continue
        answer = await scene.do(who, mutation, idempotencyKey=uuid4().hex, amount=eur(amount), **more)
        assert refused(answer), (mutation, answer)

    assert await accounts(scene.town) == before


@pytest.mark.parametrize("quantity", [0, -1, 1_001, 2**31, 1.5, "1", True, None], ids=repr)
async def test_no_other_quantity_than_a_small_positive_one_is_ordered(scene: Scene, quantity: Any) -> None:
    query = f'{{ listing(id: "{scene.ids["ware"]}") {{ stock price {{ amount currency }} }} }}'
    ware = await scene.town.ask(None, query)
    line = {"listingId": scene.ids["ware"], "quantity": quantity, "expectedUnitPrice": ware["listing"]["price"]}

    answer = await scene.do("alice", "placeOrder", idempotencyKey=uuid4().hex, lines=[line])

    assert refused(answer), answer
    assert ware == await scene.town.ask(None, query)


async def test_no_account_of_the_system_pays_or_is_paid_by_name(scene: Scene) -> None:
    escrow, rail = ledger.escrow_account_id(scene.ids["order"]), ledger.rail_account_id("sandbox", "EUR")
    before = await accounts(scene.town)
    assert {escrow, rail} <= set(before)

    for account in (escrow, rail, ledger.fees_account_id("EUR"), "acct_", "wal_"):
        for mutation, input in (
            ("transferFunds", {"to": {"walletId": account}, "amount": eur("1")}),
            ("transferFunds", {"to": {"userId": scene.ids["bob"]}, "amount": eur("1"), "fromWalletId": account}),
            ("transferFunds", {"to": {"userId": account}, "amount": eur("1")}),
            ("topUpWallet", {"walletId": account, "amount": eur("1"), "source": "sandbox:ok"}),
            ("withdrawFromWallet", {"walletId": account, "amount": eur("1"), "destination": "sandbox:ok"}),
            ("payOrder", {"orderId": scene.ids["order"], "fromWalletId": account}),
        ):
            answer = await scene.do("alice", mutation, idempotencyKey=uuid4().hex, **input)
            assert answer["code"] == "NOT_FOUND", (mutation, account, answer)

    assert await accounts(scene.town) == before


@pytest.mark.parametrize("by", ["walletId", "userId", "handle"])
async def test_nobody_pays_themselves_by_any_name(scene: Scene, by: str) -> None:
    to = {"walletId": scene.ids["wallet"], "userId": scene.ids["alice"], "handle": "@ALICE"}[by]

    answer = await scene.do("alice", "transferFunds", idempotencyKey=uuid4().hex, to={by: to}, amount=eur("1"))

    assert answer["code"] == "INVALID_INPUT"


async def test_refunds_at_once_never_give_back_more_than_was_paid(scene: Scene) -> None:
    paid = await pay(scene, "alice", "bob", "10.00")
    answers = await asyncio.gather(
        *(
            scene.do("bob", "refundTransfer", idempotencyKey=uuid4().hex, transferId=paid, amount=eur("3.00"))
            for _ in range(12)
        )
    )
    rest = await scene.do("bob", "refundTransfer", "... on TransferFundsSuccess { transfer { amount { amount } } }",
                          idempotencyKey=uuid4().hex, transferId=paid)  # fmt: skip

    kinds = [answer["__typename"] for answer in answers]
    assert (kinds.count("TransferFundsSuccess"), kinds.count("ConflictError")) == (3, 9)
    assert rest["transfer"]["amount"]["amount"] == "1.00"


async def test_an_order_that_is_cancelled_and_paid_at_once_ends_in_one_way(scene: Scene) -> None:
    query = f'{{ listing(id: "{scene.ids["ware"]}") {{ stock price {{ amount currency }} }} }}'
    ware = (await scene.town.ask(None, query))["listing"]
    line = {"listingId": scene.ids["ware"], "quantity": 1, "expectedUnitPrice": ware["price"]}
    select = "... on PlaceOrderSuccess { order { id } }"
    placed = await scene.do("alice", "placeOrder", select, idempotencyKey=uuid4().hex, lines=[line])
    order = placed["order"]["id"]

    await asyncio.gather(
        *(scene.do("alice", "payOrder", idempotencyKey=uuid4().hex, orderId=order) for _ in range(3)),
        *(scene.do(who, "cancelOrder", orderId=order) for who in ("alice", "carol", "alice")),
    )
    await scene.do("alice", "cancelOrder", orderId=order)

    ended = await scene.answer("alice", "query ($id: ID!) { order(id: $id) { state } }", id=order)
    left = await accounts(scene.town)
    assert ended["data"]["order"]["state"] in ("CANCELLED", "REFUNDED")
    assert left.get(ledger.escrow_account_id(order), 0) == 0
    assert (await scene.town.ask(None, query))["listing"]["stock"] == ware["stock"]


async def test_a_key_is_its_callers_alone_and_of_one_mutation(scene: Scene) -> None:
    key, select = uuid4().hex, "... on TransferFundsSuccess { replayed transfer { sender { handle } } }"
    await scene.do("mallory", "openWallet", currency="EUR")

    mine = await scene.do("alice", "transferFunds", select, idempotencyKey=key,
                          to={"userId": scene.ids["bob"]}, amount=eur("1"))  # fmt: skip
    theirs = await scene.do("mallory", "transferFunds", select, idempotencyKey=key,
                            to={"userId": scene.ids["bob"]}, amount=eur("1"))  # fmt: skip
    other = await scene.do("alice", "requestPayment", idempotencyKey=key, payerId=scene.ids["bob"], amount=eur("1"))
    more = await scene.do("alice", "transferFunds", idempotencyKey=key,
                          to={"userId": scene.ids["bob"]}, amount=eur("2"))  # fmt: skip
    again = await scene.do("alice", "transferFunds", select, idempotencyKey=key,
                           to={"userId": scene.ids["bob"]}, amount=eur("1.00"))  # fmt: skip

    assert mine["replayed"] is False
    assert theirs["__typename"] != "IdempotencyKeyReused"
    assert theirs.get("transfer", {}).get("sender", {}).get("handle") != "alice"
    assert {other["code"], more["code"]} == {"IDEMPOTENCY_KEY_REUSED"}
    assert again == {**mine, "replayed": True}


async def test_after_all_that_the_ledger_holds_and_nobody_is_below_zero(scene: Scene) -> None:
    report = await ledger.verify(scene.town.gateway.database)
    below = [
        id for id, posted in (await accounts(scene.town)).items() if posted < 0 and not id.startswith("acct_rail_")
    ]

    assert report.holds
    assert below == []


ALIASED_QUESTIONS = " ".join(f"a{n}: viewerFollows" for n in range(50))
ALIASED_NAMES = " ".join(f"a{n}: name" for n in range(49))
ALIASED_LISTINGS = " ".join(
    f"a{n}: listings(first: 100) {{ nodes {{ description b{n}: description }} }}" for n in range(15)
)
DEAR: dict[str, tuple[str, dict[str, Any]]] = {
    "a page in a float": (
        """query ($n: Int) { users(search: "a", first: $n) { nodes { followers(first: $n) { nodes {
           followers(first: $n) { nodes { id } } } } } } }""",
        {"n": 100.0},
    ),
    "pages behind fragments": (
        """{ users(search: "a", first: 100) { ...A } }
           fragment A on UserConnection { nodes { followers { ...B } } }
           fragment B on UserConnection { nodes { followers { ...C } } }
           fragment C on UserConnection { nodes { id } }""",
        {},
    ),
    "questions under many names": (
        f"""query ($n: Int) {{ users(search: "a", first: $n) {{ nodes {{
            followers(first: $n) {{ nodes {{ {ALIASED_QUESTIONS} }} }} }} }} }}""",
        {"n": 20},
    ),
    "long texts under many names": (f"{{ {ALIASED_LISTINGS} }}", {}),
    "people of members": (
        """{ viewer { conversations(first: 50) { nodes { members { user { followers(first: 100) {
           nodes { id } } } } } } } }""",
        {},
    ),
    "a last beside an empty first": (
        """{ viewer { conversations(first: 100) { nodes { messages(first: 0, last: 100) { nodes { sender { followers {
           nodes { id } } } } } } } } }""",
        {},
    ),
    "types of types": (f"{{ __schema {{ types {{ fields {{ type {{ fields {{ {ALIASED_NAMES} }} }} }} }} }} }}", {}),
}


@pytest.mark.parametrize("name", DEAR)
async def test_an_operation_that_asks_for_too_much_is_refused_before_it_runs(scene: Scene, name: str) -> None:
    document, variables = DEAR[name]

    answer = await scene.answer("alice", document, **variables)

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["QUERY_TOO_COMPLEX"]
    assert "data" not in answer


async def test_every_list_without_a_page_size_has_a_size_to_reckon_with() -> None:
    schema = whole_graph().graphql_schema
    lists = {
        f"{name}.{field}"
        for name, graphql_type in schema.type_map.items()
        if isinstance(graphql_type, GraphQLObjectType) and not name.endswith(("Connection", "Event", "Error"))
        for field, f in graphql_type.fields.items()
        if is_list_type(get_nullable_type(f.type)) and not is_leaf_type(get_named_type(f.type))
    }

    assert lists - {"__Type.interfaces"} <= set(LIST_SIZES)


async def test_what_documents_take_in_memory_is_bounded(scene: Scene) -> None:
    cache = DocumentCache(scene.town.gateway.graph.graph.graphql_schema)

    for n in range(40):
        cache.prepare(OperationRequest("{" + " __typename" * 29 + f" }} # {n}"))
    small = len(cache)
    for n in range(40):
        many = "1 " * 4_900
        with pytest.raises(RequestError):
            cache.prepare(OperationRequest(f"query Q{n} {{ paymentEvents(types: [{many}]) {{ nodes {{ id }} }} }}"))

    assert small == 40
    assert len(cache) < 40


async def test_a_socket_that_says_strange_things_is_told_so(scene: Scene) -> None:
    deep = "[" * 300 + "]" * 300
    for frame in (
        f'{{"type": "ping", "payload": {{"a": {deep}}}}}',
        f'{{"type": "connection_init", "payload": {{"a": {deep}}}}}',
        f'{{"type": "subscribe", "id": "1", "payload": {{"query": "{{ a }}", "variables": {{"a": {deep}}}}}}}',
        '{"type": "complete", "id": ["1"]}',
        '{"type": "subscribe", "id": "1", "payload": [{"query": "{ viewer { id } }"}]}',
        "[" * 60_000,
        "NaN",
    ):
        async with connect(scene.town.url.replace("http", "ws", 1), subprotocols=[PROTOCOL]) as socket:
            await socket.send(frame)
            await asyncio.wait_for(socket.wait_closed(), 5)
        assert socket.close_code == 4400, (frame[:60], socket.close_reason)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_form_of_another_site_does_nothing(scene: Scene, content_type: str) -> None:
    body = json.dumps({"query": 'mutation { openWallet(input: {currency: "CHF"}) { __typename } }'})
    headers = {**scene.town.authorization("mallory"), "Content-Type": content_type, "Origin": "https://evil.example"}

    answer = await scene.town.http.post(scene.town.url, content=body, headers=headers)
    by_get = await scene.town.http.get(
        scene.town.url, params=json.loads(body), headers=scene.town.authorization("mallory")
    )

    assert (answer.status_code, by_get.status_code) == (415, 405)
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("who", ["alice", None], ids=str)
async def test_what_is_private_is_never_stored_on_the_way(scene: Scene, who: str | None) -> None:
    query = {"query": "{ viewer { id } }"}

    answer = await scene.town.http.get(scene.town.url, params=query, headers=scene.town.authorization(who))

    assert answer.headers["cache-control"] == "no-store"
    assert {"Accept", "Authorization"} <= set(answer.headers["vary"].split(", "))


async def accounts(town: Town) -> dict[str, int]:
    """What every account of the ledger holds, in minor units."""
    found = await town.gateway.database.find("accounts", {}, limit=10_000)
    return {account["_id"]: account["posted"] for account in found}


async def pay(scene: Scene, who: str, whom: str, amount: str) -> str:
    """The id of a transfer that was just made."""
    paid = await scene.do(
        who, "transferFunds", "... on TransferFundsSuccess { transfer { id } }",
        idempotencyKey=uuid4().hex, to={"userId": scene.ids[whom]}, amount=eur(amount),
    )  # fmt: skip
    return str(paid["transfer"]["id"])


def refused(answer: Any) -> bool:
    """Whether the input was not accepted, as a typed error or because it is no such type."""
    if "errors" in answer:
        return {error["extensions"]["code"] for error in answer["errors"]} == {"INVALID_INPUT"}
    return answer.get("code") in ("INVALID_INPUT", "INSUFFICIENT_FUNDS", "LIMIT_EXCEEDED", "CONFLICT")


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
    async with connect(town.url.replace("http", "ws", 1), subprotocols=[PROTOCOL]) as socket:
        payload = {"query": document, "variables": variables}
        await socket.send(json.dumps({"type": "connection_init", "payload": town.authorization(who)}))
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        events = Events(socket)
        assert (await events.message())["type"] == "connection_ack"
        return await events.message()


async def until_complete(heard: Events) -> list[Any]:
    """All that a subscription still says."""
    messages = [await heard.message()]
    while messages[-1]["type"] == "next":
        messages.append(await heard.message())
    assert messages[-1]["type"] == "complete", messages[-1]
    return messages
