"""What some people of the town have among themselves, for others to try to get at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from datastores import partners
from gateway.identity.partners import new_partner_key
from resolvers.context import PAYMENTS_READ
from tests.contract.town import Town

SECRET = "not-for-you"
ERROR = "__typename ... on Error { code message }"


@dataclass
class Scene:
    """What Alice, Bob and Carol have among themselves: ids by name, and cursors of their streams."""

    town: Town
    ids: dict[str, str] = field(default_factory=dict)
    cursors: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    async def do(self, who: str | None, mutation: str, select: str = "", **input: Any) -> Any:
        """What a mutation answers; the whole answer where it has nothing but errors."""
        document = (
            f"mutation ($input: {self.input_of(mutation)}) {{ {mutation}(input: $input) {{ {ERROR} {select} }} }}"
        )
        answer = await self.answer(who, document, input=input)
        return (answer.get("data") or {}).get(mutation) or answer

    async def answer(self, who: str | None, document: str, **variables: Any) -> Any:
        """The whole answer, with one of the scene's partner keys where `who` names one."""
        headers = {"Authorization": f"Bearer {self.keys[who]}"} if who in self.keys else self.town.authorization(who)
        body = {"query": document, "variables": variables}
        response = await self.town.http.post(self.town.url, json=body, headers=headers)
        assert response.status_code < 500, response.text
        return response.json()

    def input_of(self, mutation: str) -> str:
        """The type of a mutation's input."""
        mutations: Any = self.town.gateway.graph.graph.graphql_schema.mutation_type
        return str(mutations.fields[mutation].args["input"].type)


def eur(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


async def play(town: Town) -> Scene:
    """A direct conversation with money in it, a group that Erin left, an order, a draft, and partners' keys."""
    scene, do = Scene(town), Scene(town).do
    ids = scene.ids
    for who in ("alice", "bob", "carol", "mallory", "erin"):
        ids[who] = await town.id_of(who)
    start = "... on StartConversationSuccess { conversation { id } }"
    direct = await do("alice", "startConversation", start, memberIds=[ids["bob"]])
    group = await do("alice", "startConversation", start, memberIds=[ids["bob"], ids["erin"]], title=SECRET)
    own = await do("mallory", "startConversation", start, memberIds=[ids["erin"]])
    ids["conversation"], ids["group"], ids["own"] = (each["conversation"]["id"] for each in (direct, group, own))
    sent = "... on MessageSuccess { node { id } cursor }"
    for name, where in (("message", "conversation"), ("group_message", "group")):
        message = await do("alice", "sendMessage", sent, conversationId=ids[where], text=SECRET)
        ids[name], scene.cursors[where] = message["node"]["id"], message["cursor"]
    await do("erin", "removeConversationMember", conversationId=ids["group"], userId=ids["erin"])

    pay = "... on TransferFundsSuccess { cursor transfer { id } wallet { id entries(first: 1) { nodes { id } } } }"
    paid = await do(
        "alice", "transferFunds", pay, idempotencyKey=uuid4().hex, to={"userId": ids["bob"]}, amount=eur("3.21"),
        memo=SECRET, conversationId=ids["conversation"],
    )  # fmt: skip
    ids["transfer"], ids["wallet"] = paid["transfer"]["id"], paid["wallet"]["id"]
    ids["leg"], scene.cursors["balance"] = paid["wallet"]["entries"]["nodes"][0]["id"], paid["cursor"]
    asked = await do(
        "bob", "requestPayment", "... on RequestPaymentSuccess { paymentRequest { id } }",
        idempotencyKey=uuid4().hex, payerId=ids["alice"], amount=eur("1.23"), memo=SECRET,
    )  # fmt: skip
    ids["request"] = asked["paymentRequest"]["id"]

    wares = "listings(first: 50) { nodes { id state price { amount currency } } }"
    shop = (await town.ask("carol", f'{{ user(handle: "carol") {{ merchant {{ id }} {wares} }} }}'))["user"]
    ware = next(each for each in shop["listings"]["nodes"] if each["state"] == "ACTIVE")
    ids["merchant"], ids["ware"] = shop["merchant"]["id"], ware["id"]
    draft = await do(
        "carol", "createListing", "... on CreateListingSuccess { listing { id } }", title=SECRET, description=SECRET,
        category=SECRET, kind="GOOD", price=ware["price"], stock=5, state="DRAFT",
    )  # fmt: skip
    ids["draft"] = draft["listing"]["id"]
    line = {"listingId": ids["ware"], "quantity": 1, "expectedUnitPrice": ware["price"]}
    order = await do(
        "alice", "placeOrder", "... on PlaceOrderSuccess { cursor order { id conversation { id } } }",
        idempotencyKey=uuid4().hex, lines=[line],
    )  # fmt: skip
    ids["order"], scene.cursors["order"] = order["order"]["id"], order["cursor"]
    ids["order_conversation"] = order["order"]["conversation"]["id"]
    bought = await do(
        "alice", "payOrder", "... on PayOrderSuccess { transfer { id } }",
        idempotencyKey=uuid4().hex, orderId=ids["order"],
    )  # fmt: skip
    ids["payment"] = bought["transfer"]["id"]
    seen = await town.ask("bob", "{ viewer { notifications(first: 1) { nodes { id } } } }")
    ids["notification"] = seen["viewer"]["notifications"]["nodes"][0]["id"]
    events = await town.ask("carol", "{ paymentEvents(first: 100) { nodes { id } } }")
    ids["event"] = events["paymentEvents"]["nodes"][-1]["id"]

    for name, merchants, scopes in (
        ("partner of others", ["mer_01JD0000000000000000000000"], [PAYMENTS_READ]),
        ("partner without scope", [ids["merchant"]], ["payments:write"]),
    ):
        key = new_partner_key()
        await partners.create_partner(
            town.gateway.database, name=name, merchant_ids=merchants, key_id=key.id, secret_hash=key.secret_hash,
            scopes=scopes,
        )  # fmt: skip
        scene.keys[name] = key.text
    return scene
