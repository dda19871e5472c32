"""Signing secrets of endpoints: `whsec_` and 256 random bits in base64, sealed under the master key."""

from __future__ import annotations

import base64
import os
from datetime import datetime
from typing import Final

from datastores.sealing import SealingKey
from datastores.webhooks import EndpointDocument, SecretDocument

SECRET_BYTES: Final = 32
PREFIX: Final = "whsec_"


def new_secret(
    master: SealingKey, endpoint_id: str, now: datetime, client_id: str | None
) -> tuple[SecretDocument, str]:
    """A secret as it is kept, and as its owner is shown it."""
    text = PREFIX + base64.b64encode(os.urandom(SECRET_BYTES)).decode()
    sealed = master.seal(text.encode(), _about(endpoint_id))
    return {"sealed": sealed, "client_id": client_id, "created_at": now, "expires_at": None}, text


def text_of(master: SealingKey, endpoint_id: str, secret: SecretDocument) -> str:
    """A secret as its owner was shown it; raises WrongKeyError."""
    return master.open(secret["sealed"], _about(endpoint_id)).decode()


def valid_secrets(master: SealingKey, endpoint: EndpointDocument, now: datetime) -> list[str]:
    """The secrets that are valid now, the newest first; each signs."""
    valid = [each for each in endpoint["secrets"] if each["expires_at"] is None or each["expires_at"] > now]
    return [text_of(master, endpoint["_id"], each) for each in reversed(valid)]


def _about(endpoint_id: str) -> str:
    return f"webhook secret {endpoint_id}"
