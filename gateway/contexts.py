"""From an identity to the context of its use cases: which user, which partner, which merchants."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from datastores import partners
from datastores.commit import CommitLoops
from datastores.ledger import FeeSchedule, Tier
from datastores.mongo import Database
from datastores.person_keys import PersonKeys
from datastores.wallets import RateSource
from gateway.identity.identities import Identity, Partner, Person
from resolvers.accounts import sign_in
from resolvers.attention import Always, Attention
from resolvers.context import ANONYMOUS, Context, Hub, Viewer
from resolvers.services import Service

MAX_REMEMBERED_PEOPLE: Final = 50_000


class Contexts:
    """Makes contexts. Which user a token names never changes, so it is remembered, for at most 50,000 tokens.

    Money comes in and goes out through `rails` alone, is exchanged at `rates`, and acts cost `fees`. `default_tier` is
    that of wallets that have none of their own. `services` are those of others that are connected. Webhooks
    go to private addresses only with `private_webhooks`. What nobody looks at, by `attention`, is not told.
    """

    def __init__(
        self,
        database: Database,
        commits: CommitLoops,
        hub: Hub,
        *,
        rails: frozenset[str],
        rates: RateSource | None,
        fees: FeeSchedule,
        keys: PersonKeys,
        default_tier: Tier,
        services: Mapping[str, Service] | None = None,
        private_webhooks: bool = False,
        attention: Attention | None = None,
    ) -> None:
        self._database = database
        self._commits = commits
        self._hub = hub
        self._rails = rails
        self._keys = keys
        self._rates = rates
        self._fees = fees
        self._default_tier = default_tier
        self._services = services or {}
        self._private_webhooks = private_webhooks
        self._attention = attention or Always()
        self._users: OrderedDict[tuple[str, str, float | None], str] = OrderedDict()

    async def open(self, identity: Identity, request_id: str) -> Context:
        """The context of one operation; the first of a person who is new makes their user."""
        return self.of_viewer(await self._viewer(identity), request_id)

    def of_viewer(self, viewer: Viewer = ANONYMOUS, request_id: str = "") -> Context:
        """The context of this viewer; without one, that of what the system does by itself."""
        return Context(
            self._database,
            self._commits,
            self._hub,
            viewer,
            keys=self._keys,
            request_id=request_id,
            rails=self._rails,
            rates=self._rates,
            fees=self._fees,
            default_tier=self._default_tier,
            services=self._services,
            private_webhooks=self._private_webhooks,
            attention=self._attention,
        )

    async def _viewer(self, identity: Identity) -> Viewer:
        if isinstance(identity, Person):
            return Viewer("person", user_id=await self._user_id(identity))
        if isinstance(identity, Partner):
            merchants = await partners.merchants_of(self._database, identity.partner_id)
            return Viewer(
                "partner", partner_id=identity.partner_id, merchant_ids=tuple(merchants), scopes=identity.scopes
            )
        return ANONYMOUS

    async def _user_id(self, person: Person) -> str:
        # A token that was issued after a person was erased is that of a new one.
        key = (person.issuer, person.subject, person.issued_at)
        if (known := self._users.get(key)) is not None:
            self._users.move_to_end(key)
            return known
        user_id = await sign_in(
            self._database,
            issuer=person.issuer,
            subject=person.subject,
            preferred_username=person.preferred_username,
            name=person.name,
        )
        self._users[key] = user_id
        while len(self._users) > MAX_REMEMBERED_PEOPLE:
            self._users.popitem(last=False)
        return user_id
