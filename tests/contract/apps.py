"""Applications of tests' own, that follow a merchant of their own in the town, and what they ask by their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datastores import partners as store
from resolvers.context import SCOPES
from resolvers.partners import new_partner_key
from tests.contract.acts import done, eur, key, newcomer
from tests.contract.town import Town

ENDPOINT = "endpoint { id url types description enabled disabledReason secrets { createdAt expiresAt } }"
EVENT = """id type seq previousSeq cursor createdAt eventAmount { amount currency minorUnits }
           transfer { id } order { id }"""


class App:
    """An application of a test's own, which follows a merchant of the test's own."""

    def __init__(self, town: Town, partner_id: str, text: str, key_id: str, seller: str, buyer: str) -> None:
        self.town = town
        self.partner_id = partner_id
        self.text = text
        self.key_id = key_id
        self.seller = seller
        self.buyer = buyer

    async def answer(self, document: str, text: str | None = None, **variables: Any) -> Any:
        """The whole answer, asked with this key or another."""
        headers = {"Authorization": f"Bearer {text or self.text}"}
        body = {"query": document, "variables": variables}
        return (await self.town.http.post(self.town.url, json=body, headers=headers)).json()

    async def ask(self, document: str, text: str | None = None, **variables: Any) -> Any:
        """The data of an answer without errors."""
        answer = await self.answer(document, text, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    async def do(self, mutation: str, select: str = "", text: str | None = None, **input: Any) -> Any:
        """What a mutation answers: with `select` where it succeeds, with its code where not."""
        mutations: Any = self.town.gateway.graph.graph.graphql_schema.mutation_type
        field = mutations.fields[mutation]
        success = next(each.name for each in field.type.types if each.name.endswith("Success"))
        parts = f"__typename ... on Error {{ code message }} ... on {success} {{ {select or '__typename'} }}"
        document = f"mutation ($input: {field.args['input'].type}) {{ {mutation}(input: $input) {{ {parts} }} }}"
        return (await self.ask(document, text, input=input))[mutation]

    async def endpoint(self, url: str, **more: Any) -> Any:
        """A new endpoint with its secret."""
        made = await self.do("createWebhookEndpoint", f"secret {ENDPOINT}", url=url, **more)
        assert made["__typename"] == "WebhookEndpointWithSecretSuccess", made
        return made

    async def happen(self, events: int = 1) -> None:
        """Let so many payments happen."""
        seller = await self.town.id_of(self.seller)
        for _ in range(events):
            await done(
                self.town, self.buyer, "transferFunds", idempotencyKey=key(), to={"userId": seller}, amount=eur("0.01")
            )

    async def feed(self) -> list[Any]:
        """The events, as the query has them."""
        found: list[Any] = (await self.ask(f"{{ paymentEvents(first: 100) {{ nodes {{ {EVENT} }} }} }}"))[
            "paymentEvents"
        ]["nodes"]
        return found

    async def log(self, endpoint_id: str, arguments: str = "") -> list[Any]:
        """The log of an endpoint, the newest first."""
        query = f"""query ($id: ID!) {{ node(id: $id) {{ ... on WebhookEndpoint {{ deliveries{arguments} {{ nodes {{
            id type seq state attemptCount nextAttemptAt deliveredAt event {{ id }} endpoint {{ id }}
            attempts {{ at statusCode durationMs error }} }} }} }} }} }}"""
        found: list[Any] = (await self.ask(query, id=endpoint_id))["node"]["deliveries"]["nodes"]
        return found


async def open_app(town: Town, scopes: Sequence[str] = SCOPES, mode: store.Mode = store.Mode.LIVE) -> App:
    """An application with one key, a merchant that it sees, and somebody who pays there."""
    seller, buyer = await newcomer(town), await newcomer(town, funds="10.00")
    merchant = (await done(town, seller, "openMerchant", "merchant { id }", name=f"Shop {key()}"))["merchant"]["id"]
    made = new_partner_key(mode)
    partner_id = await store.create_partner(
        town.gateway.database,
        name="books",
        merchant_ids=[merchant],
        key_id=made.id,
        secret_hash=made.secret_hash,
        scopes=scopes,
        mode=mode,
    )
    return App(town, partner_id, made.text, made.id, seller, buyer)
