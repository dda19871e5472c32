"""Credentials that the command line hands out: development tokens and partners' keys."""

from __future__ import annotations

import re
from typing import Final

from datastores import accounts, merchants, partners
from datastores.ids import is_id
from datastores.mongo import Database
from gateway.demo.script import PARTNER
from gateway.identity.development import DevelopmentIssuer, DevelopmentIssuerRefused
from gateway.identity.partners import new_partner_key
from gateway.settings import Settings
from resolvers.context import PAYMENTS_READ

from . import CommandError
from .databases import open_database

HANDLE: Final = re.compile(r"[a-z0-9_]{1,30}\Z")
MAX_NAME_LENGTH: Final = 100


def development_token(settings: Settings, handle: str) -> str:
    """A token for that person, or the demo partner's key; raises CommandError in production."""
    try:
        issuer = DevelopmentIssuer.open(settings.data_dir, settings.environment)
    except DevelopmentIssuerRefused as error:
        raise CommandError(str(error)) from None
    if handle == PARTNER:
        return issuer.partner_key(PARTNER).text
    if not HANDLE.match(handle):
        raise CommandError(f"{handle!r} is not a handle: 1 to 30 of a-z, 0-9 and _")
    return issuer.token(handle)


async def create_partner(settings: Settings, name: str, of: list[str]) -> str:
    """The key of a new partner that follows these merchants, named by id or by their owner's handle."""
    if not 1 <= len(name.strip()) <= MAX_NAME_LENGTH:
        raise CommandError(f"a partner's name has 1 to {MAX_NAME_LENGTH} characters")
    key = new_partner_key()
    async with open_database(settings) as database:
        merchant_ids = [await _merchant_id(database, one) for one in of]
        await partners.create_partner(
            database,
            name=name.strip(),
            merchant_ids=merchant_ids,
            key_id=key.id,
            secret_hash=key.secret_hash,
            scopes=[PAYMENTS_READ],
        )
    return key.text


async def _merchant_id(database: Database, named: str) -> str:
    merchant_id = named
    if not is_id("mer", named):
        (owner,) = await accounts.by_handles(database, [named])
        merchant_id = merchants.merchant_id(owner["_id"]) if owner else ""
    if (await merchants.merchants_by_ids(database, [merchant_id]))[0] is None:
        raise CommandError(f"{named!r} is neither a merchant's id nor the handle of a merchant's owner")
    return merchant_id
