"""Merchants, orders and payment events through GraphQL: from an open shop to a partner that sees the sale."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from datastores.commit import CommitLoops
from datastores.mongo import Database, Document, Driver
from datastores.person_keys import PersonKeys
from datastores.sealing import SealingKey
from gateway.live.hub import Hub
from resolvers.context import ANONYMOUS, PAYMENTS_READ, Context, Viewer
from schema.graph import whole_graph
from tests.integration.resolvers.people import people
from tests.integration.resolvers.wallets.purses import fill

GRAPH = whole_graph()

OPEN = """
mutation ($input: OpenMerchantInput!) { openMerchant(input: $input) {
  __typename ... on OpenMerchantSuccess { merchant { id name description owner { handle } } }
  ... on Error { code message }
} }
"""
LISTING = "id title category kind state stock price { amount currency minorUnits } photos { url kind } createdAt"
CREATE = f"""
mutation ($input: CreateListingInput!) {{ createListing(input: $input) {{
  __typename ... on CreateListingSuccess {{ listing {{ {LISTING} seller {{ handle }} merchant {{ name }} }} }}
  ... on Error {{ code message }} ... on ValidationError {{ path }}
}} }}
"""
UPDATE = f"""
mutation ($input: UpdateListingInput!) {{ updateListing(input: $input) {{
  __typename ... on UpdateListingSuccess {{ listing {{ {LISTING} description }} }}
  ... on Error {{ code message }} ... on ValidationError {{ path }}
}} }}
"""
ORDER = """
id state createdAt paidAt shippedAt completedAt total { amount currency } buyer { handle } merchant { name }
lines { quantity title unitPrice { amount } listing { id stock } }
transfer { id state amount { amount } order { id } } conversation { id kind title order { id } }
"""
PLACE = f"""
mutation ($input: PlaceOrderInput!) {{ placeOrder(input: $input) {{
  __typename ... on PlaceOrderSuccess {{ order {{ {ORDER} }} replayed cursor }}
  ... on OutOfStock {{ listing {{ id stock }} }} ... on PriceChanged {{ listing {{ id price {{ amount }} }} }}
  ... on Error {{ code message }} ... on ValidationError {{ path }}
}} }}
"""
PAY = f"""
mutation ($input: PayOrderInput!) {{ payOrder(input: $input) {{
  __typename ... on PayOrderSuccess {{
    order {{ {ORDER} }} transfer {{ id amount {{ amount }} recipient {{ handle }} }}
    wallet {{ available {{ amount }} }} replayed cursor
  }}
  ... on InsufficientFunds {{ available {{ amount }} }} ... on Error {{ code message }}
}} }}
"""
ACT = """
mutation ($input: OrderRefInput!) { ACT(input: $input) {
  __typename ... on OrderActionSuccess { order { id state } cursor } ... on Error { code message }
} }
"""
EVENTS = """
query ($after: Cursor, $types: [String!], $first: Int) { paymentEvents(after: $after, types: $types, first: $first) {
  edges { cursor node {
    id type seq previousSeq cursor createdAt eventAmount { amount currency }
    transfer { id amount { amount } memo } order { id state total { amount } } wallet { id }
  } }
  pageInfo { hasNextPage endCursor }
} }
"""


class Town:
    """Ann who buys with 100 EUR, Carol who sells, and the commands that their questions cost."""

    def __init__(self, database: Database, commands: Counter[str]) -> None:
        self.commands = commands
        self._database = database
        self._commits = CommitLoops(database)
        self._hub = Hub(database)
        self._keys = PersonKeys(SealingKey.generate())

    async def settle(self) -> None:
        self.ann, self.carol, self.eve = await people(self._database, "ann", "carol", "eve")
        await fill(self.context, self.ann, "100")

    def context(self, user_id: str | None) -> Context:
        viewer = Viewer("person", user_id) if user_id else ANONYMOUS
        return Context(self._database, self._commits, self._hub, viewer, keys=self._keys)

    async def ask(self, who: str | Viewer | None, document: str, **variables: Any) -> tuple[Any, list[str]]:
        """Data, and the codes of the errors."""
        context = self.context(who if isinstance(who, str) else None)
        if isinstance(who, Viewer):
            context.viewer = who
        self.commands.clear()
        result = await GRAPH.execute(document, variable_values=variables, context_value=context)
        codes = [getattr(error.original_error, "code", error.message) for error in result.errors or ()]
        return result.data, codes

    async def act(self, who: str | None, document: str, **given: Any) -> Document:
        """What the one root field of a mutation answers."""
        data, codes = await self.ask(who, document, input=given)
        assert codes == [], codes
        (answer,) = data.values()
        return dict(answer)

    async def offer(self, **given: Any) -> Document:
        """A listing of Carol's."""
        bowl = {"title": "Bowl", "description": "Blue.", "category": "pottery", "kind": "GOOD", "price": eur("10")}
        return dict((await self.act(self.carol, CREATE, **bowl | given))["listing"])

    async def place(self, listing: Document, **given: Any) -> Document:
        """An order of Ann's, or what refuses it."""
        line = {"listingId": listing["id"], "quantity": 1, "expectedUnitPrice": eur("10")} | given
        return await self.act(self.ann, PLACE, idempotencyKey=uuid4().hex, lines=[line])


def eur(text: str) -> Document:
    return {"amount": text, "currency": "EUR"}


@pytest.fixture
async def town(database: Database, mongodb_uri: str, mongo_driver: Driver) -> AsyncIterator[Town]:
    commands: Counter[str] = Counter()

    def count(command: str, collection: str, seconds: float, succeeded: bool) -> None:
        commands[f"{command} {collection}"] += 1

    counted = await Database.connect(mongodb_uri, name=database.name, driver=mongo_driver, on_command=count)
    try:
        town = Town(counted, commands)
        await town.settle()
        yield town
    finally:
        await counted.close()


async def test_from_an_open_shop_to_a_completed_order(town: Town) -> None:
    opened = await town.act(town.carol, OPEN, name="Kiln")
    assert opened["merchant"]["owner"] == {"handle": "carol"}
    assert (await town.act(town.carol, OPEN, name="Kiln"))["__typename"] == "ConflictError"
    photo = {"url": "https://example.com/bowl.jpg", "kind": "IMAGE"}

    bowl = await town.offer(stock=5, photos=[photo])
    placed = await town.place(bowl, quantity=2)
    paid = await town.act(town.ann, PAY, idempotencyKey="k", orderId=placed["order"]["id"])
    again = await town.act(town.ann, PAY, idempotencyKey="k", orderId=placed["order"]["id"])
    shipped = await town.act(town.carol, ACT.replace("ACT", "shipOrder"), orderId=placed["order"]["id"])
    completed = await town.act(town.ann, ACT.replace("ACT", "completeOrder"), orderId=placed["order"]["id"])

    assert bowl["price"] == {"amount": "10.00", "currency": "EUR", "minorUnits": "1000"}
    assert (bowl["state"], bowl["kind"], bowl["photos"]) == ("ACTIVE", "GOOD", [photo])
    assert bowl["seller"] == {"handle": "carol"}
    order = placed["order"]
    assert (order["state"], order["total"], order["transfer"]) == (
        "PLACED",
        eur("20.00"),
        None,
    )
    assert order["lines"][0]["listing"]["stock"] == 3
    assert order["conversation"]["order"] == {"id": order["id"]}
    assert (paid["order"]["state"], paid["replayed"], again["replayed"]) == ("PAID", False, True)
    assert paid["transfer"]["recipient"] == {"handle": "carol"}
    assert paid["order"]["transfer"]["id"] == paid["transfer"]["id"] == again["transfer"]["id"]
    assert paid["wallet"] == {"available": {"amount": "80.00"}}
    assert (shipped["order"]["state"], completed["order"]["state"]) == ("SHIPPED", "COMPLETED")


async def test_refusals_are_members_of_the_unions(town: Town) -> None:
    await town.act(town.carol, OPEN, name="Kiln")
    bowl = await town.offer(stock=1)

    dear = await town.place(bowl, expectedUnitPrice=eur("9"))
    many = await town.place(bowl, quantity=2)
    unknown = await town.place({"id": "lst_x"})
    wrong = await town.place(bowl, quantity=0)
    own = await town.act(
        town.carol,
        PLACE,
        idempotencyKey="k",
        lines=[{"listingId": bowl["id"], "quantity": 1, "expectedUnitPrice": eur("10")}],
    )
    order_id = (await town.place(bowl))["order"]["id"]
    stranger = await town.act(town.eve, ACT.replace("ACT", "cancelOrder"), orderId=order_id)
    buyer = await town.act(town.ann, ACT.replace("ACT", "shipOrder"), orderId=order_id)
    seller = await town.act(town.carol, ACT.replace("ACT", "shipOrder"), orderId=order_id)
    data, codes = await town.ask(None, ACT.replace("ACT", "cancelOrder"), input={"orderId": order_id})

    assert (dear["__typename"], dear["code"]) == ("PriceChanged", "PRICE_CHANGED")
    assert dear["listing"] == {"id": bowl["id"], "price": {"amount": "10.00"}}
    assert (many["__typename"], many["listing"]) == ("OutOfStock", {"id": bowl["id"], "stock": 1})
    assert unknown["__typename"] == "NotFoundError"
    assert (wrong["__typename"], wrong["path"]) == ("ValidationError", ["lines", "0", "quantity"])
    assert own["__typename"] == "ForbiddenError"
    refused = [each["__typename"] for each in (stranger, buyer, seller)]
    assert refused == ["NotFoundError", "ForbiddenError", "ConflictError"]
    assert (data, codes) == ({"cancelOrder": None}, ["UNAUTHENTICATED"])


async def test_absent_stays_and_null_clears(town: Town) -> None:
    await town.act(town.carol, OPEN, name="Kiln")
    bowl = await town.offer(stock=5)

    stayed = await town.act(town.carol, UPDATE, listingId=bowl["id"], title="Deep bowl")
    cleared = await town.act(town.carol, UPDATE, listingId=bowl["id"], stock=None, photos=None)
    refused = await town.act(town.carol, UPDATE, listingId=bowl["id"], title=None)
    paused = await town.act(town.carol, UPDATE, listingId=bowl["id"], state="PAUSED", price=eur("12.50"))

    assert (stayed["listing"]["title"], stayed["listing"]["stock"]) == ("Deep bowl", 5)
    assert cleared["listing"]["stock"] is None
    assert (refused["__typename"], refused["path"]) == ("ValidationError", ["title"])
    assert (paused["listing"]["state"], paused["listing"]["price"]["amount"]) == ("PAUSED", "12.50")


async def test_what_everybody_sees_and_what_it_costs(town: Town) -> None:
    merchant_id = (await town.act(town.carol, OPEN, name="Kiln"))["merchant"]["id"]
    for n in range(5):
        await town.offer(title=f"Bowl {n}", state="DRAFT" if n == 0 else "ACTIVE")
    await town.place((await town.ask(None, "{ listings { nodes { id } } }"))[0]["listings"]["nodes"][0])
    document = """
    query ($id: ID!) {
      listings(search: "bowl", sort: PRICE_ASC, minPrice: { amount: "1", currency: "EUR" }, first: 3) {
        nodes { id seller { handle } merchant { name owner { handle } } } pageInfo { hasNextPage }
      }
      merchant(id: $id) { listings { nodes { title } } orders(state: PLACED) { nodes { state buyer { handle } } } }
      user(handle: "carol") { merchant { id } listings { nodes { title state } } }
      viewer { orders { nodes { id } } }
    }
    """

    nobody, none = await town.ask(None, document, id=merchant_id)
    cost = Counter(town.commands)
    carol, _ = await town.ask(town.carol, document, id=merchant_id)
    ann, _ = await town.ask(town.ann, document, id=merchant_id)

    assert none == []
    assert len(nobody["listings"]["nodes"]) == 3
    assert nobody["listings"]["pageInfo"]["hasNextPage"] is True
    assert nobody["merchant"]["orders"] is None
    assert len(nobody["user"]["listings"]["nodes"]) == 4
    assert len(carol["user"]["listings"]["nodes"]) == len(carol["merchant"]["listings"]["nodes"]) == 5
    assert carol["merchant"]["orders"]["nodes"] == [{"state": "PLACED", "buyer": {"handle": "ann"}}]
    assert carol["viewer"]["orders"]["nodes"] == []
    assert len(ann["viewer"]["orders"]["nodes"]) == 1
    assert sum(cost.values()) <= 9, cost


async def test_an_order_by_every_road(town: Town) -> None:
    await town.act(town.carol, OPEN, name="Kiln")
    order_id = (await town.place(await town.offer()))["order"]["id"]
    document = "query ($id: ID!) { order(id: $id) { id } node(id: $id) { __typename id ... on Order { state } } }"

    seen = {who: (await town.ask(who, document, id=order_id))[0] for who in (town.ann, town.carol, town.eve, None)}

    for who in (town.ann, town.carol):
        assert seen[who] == {
            "order": {"id": order_id},
            "node": {"__typename": "Order", "id": order_id, "state": "PLACED"},
        }
    for stranger in (town.eve, None):
        assert seen[stranger] == {"order": None, "node": None}


async def test_a_partner_reads_the_sale(town: Town) -> None:
    merchant_id = (await town.act(town.carol, OPEN, name="Kiln"))["merchant"]["id"]
    placed = await town.place(await town.offer())
    order_id = placed["order"]["id"]
    await town.act(town.ann, PAY, idempotencyKey="k", orderId=order_id)
    watch = Viewer("partner", None, "ptn_x", (merchant_id,), frozenset({PAYMENTS_READ}))

    data, codes = await town.ask(watch, EVENTS)
    cost = sum(town.commands.values())
    events = [edge["node"] for edge in data["paymentEvents"]["edges"]]
    one, _ = await town.ask(
        watch, "query ($id: ID!) { node(id: $id) { id ... on PaymentEvent { type previousSeq } } }", id=events[1]["id"]
    )
    viewer, _ = await town.ask(watch, "{ viewer { id } }")
    order, _ = await town.ask(watch, "query ($id: ID!) { order(id: $id) { id } }", id=order_id)
    _, eves = await town.ask(town.eve, EVENTS)
    _, nobodys = await town.ask(None, EVENTS)
    _, wrong = await town.ask(watch, EVENTS, types=["order.eaten"])

    assert codes == []
    assert [event["type"] for event in events] == ["order.placed", "payment.completed", "order.paid"]
    assert [event["previousSeq"] for event in events] == [None, events[0]["seq"], events[1]["seq"]]
    assert all(event["order"] == {"id": order_id, "state": "PAID", "total": {"amount": "10.00"}} for event in events)
    assert [event["transfer"] and event["transfer"]["amount"]["amount"] for event in events] == [None, "10.00", None]
    assert all(event["wallet"] is None for event in events)
    assert one["node"] == {"id": events[1]["id"], "type": "payment.completed", "previousSeq": None}
    assert (viewer, order) == ({"viewer": None}, {"order": None})
    assert (eves, nobodys, wrong) == (["FORBIDDEN"], ["UNAUTHENTICATED"], ["INVALID_INPUT"])
    assert cost <= 6


async def test_both_subscriptions_catch_up(town: Town) -> None:
    merchant_id = (await town.act(town.carol, OPEN, name="Kiln"))["merchant"]["id"]
    placed = await town.place(await town.offer())
    paid = await town.act(town.ann, PAY, idempotencyKey="k", orderId=placed["order"]["id"])
    watch = Viewer("partner", None, "ptn_x", (merchant_id,), frozenset({PAYMENTS_READ}))
    page, _ = await town.ask(watch, EVENTS, first=1)
    updates = "subscription ($after: Cursor) { orderUpdated(after: $after) { cursor order { id state } } }"
    events = "subscription ($after: Cursor) { paymentEvents(after: $after) { type seq previousSeq cursor } }"

    async with town._hub:
        order = await first_of(town.context(town.ann), updates, after=placed["cursor"])
        context = town.context(None)
        context.viewer = watch
        event = await first_of(context, events, after=page["paymentEvents"]["pageInfo"]["endCursor"])

    assert order["orderUpdated"] == {"cursor": paid["cursor"], "order": {"id": placed["order"]["id"], "state": "PAID"}}
    assert event["paymentEvents"]["type"] == "payment.completed"
    assert event["paymentEvents"]["previousSeq"] == page["paymentEvents"]["edges"][0]["node"]["seq"]


async def first_of(context: Context, document: str, **variables: Any) -> Any:
    """The data of the first event of a subscription."""
    stream: Any = await GRAPH.subscribe(document, variable_values=variables, context_value=context)
    try:
        result = await anext(stream)
        assert result.errors is None, result.errors
        return result.data
    finally:
        await stream.aclose()
