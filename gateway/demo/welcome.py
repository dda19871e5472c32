"""What the demo tells whoever starts it, on the terminal and in GraphiQL: people, tokens, and what to try."""

from __future__ import annotations

from gateway.app import Gateway
from gateway.graphiql.page import GraphiQLBoot, GraphiQLDemo, GraphiQLPerson
from gateway.identity.development import DevelopmentIssuer

from . import operations as ops
from .actors import Actors
from .script import PARTNER

PEOPLE = (("alice", "Alice", ""), ("bob", "Bob", ""), ("carol", "Carol", "merchant"))


async def boot_of(gateway: Gateway, issuer: DevelopmentIssuer) -> GraphiQLBoot:
    """The demo people with tokens that are valid now, and ids for the first variables."""
    actors = Actors(gateway)
    chats = (await actors.act("alice", ops.CHATS))["conversations"]["nodes"]
    direct = next(chat["id"] for chat in chats if _handles(chat) == {"alice", "bob"} and chat["kind"] == "DIRECT")
    wares = (await actors.act("alice", ops.WARES))["listings"]["nodes"]
    ware = next(one for one in wares if one["state"] == "ACTIVE" and one["kind"] == "GOOD")
    people = [GraphiQLPerson(handle, name, issuer.token(handle), note) for handle, name, note in PEOPLE]
    people.append(GraphiQLPerson(PARTNER, PARTNER, issuer.partner_key(PARTNER).text, "partner"))
    price = ware["price"]
    return GraphiQLBoot(people=tuple(people), demo=GraphiQLDemo(direct, ware["id"], price["amount"], price["currency"]))


def welcome(address: str, issuer: DevelopmentIssuer, *, command: str, lively: bool) -> str:
    """The text that `agora dev` prints when it is ready; `command` is how the reader may call `agora`."""
    tokens = "\n".join(f"  {handle:<10}{issuer.token(handle)}" for handle, _, _ in PEOPLE)
    hint = (
        ""
        if lively
        else f"\nWith `{command} dev --lively` the town's people act by themselves, so that there is more to watch."
    )
    return f"""
Agora is ready: open {address} in a browser.

People of the town (access tokens; `{command} token HANDLE` prints one alone):
{tokens}
  {PARTNER:<10}{issuer.partner_key(PARTNER).text}

Try in GraphiQL
  1. Timeline: run Timeline as Alice. Who she follows, merged, newest first.
  2. Chat: leave ChatLive running, open a second window as Bob and run ChatSend there.
  3. Pay: switch on Balances in the Live panel, run PaySend, and watch the money move.
  4. Shop: run ShopOrder and ShopPay; then, as pay-watch, see it in Partner.
  5. Ride: ask for rideQuotes, bookRide one and follow it by rideUpdated; docs/services.md has the three to paste.

Or from a shell
  curl -s {address} -H "Authorization: Bearer $({command} token alice)" -H "Content-Type: application/json" \\
    -d '{{"query": "{{ viewer {{ user {{ displayName }} wallets {{ available {{ amount currency }} }} }} }}"}}'
{hint}
Ctrl-C stops everything; the data stays."""


def _handles(chat: dict[str, list[dict[str, dict[str, str]]]]) -> set[str]:
    return {member["user"]["handle"] for member in chat["members"]}
