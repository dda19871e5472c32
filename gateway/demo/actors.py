"""How the town's people act: through the graph, as clients do, each signed in as themselves."""

from __future__ import annotations

import time
from typing import Any, Final

from gateway.app import Gateway
from gateway.execution.requests import OperationRequest
from gateway.identity.identities import Person
from gateway.settings import DEVELOPMENT_ISSUER

from .script import RESIDENTS

NAMES: Final = {resident.handle: resident.name for resident in RESIDENTS}
SIGNED_IN_S: Final = 3600.0


class DemoError(Exception):
    """Something that the demo does was refused: the message says what and why."""


class Actors:
    """Runs operations as a resident; one answer, whose only root field's value is returned."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def act(self, handle: str, document: str, /, **variables: Any) -> Any:
        """The value of the operation's root field; raises DemoError for errors, and for results that are one."""
        person = Person(DEVELOPMENT_ISSUER, handle, handle, NAMES.get(handle), time.time() + SIGNED_IN_S)
        context = await self._gateway.contexts.open(person, f"demo-{handle}")
        prepared = self._gateway.graph.prepare(OperationRequest(document, variables=variables))
        answer = await self._gateway.graph.execute(prepared, context)
        if answer.get("errors"):
            raise DemoError(f"{handle}: {answer['errors'][0]['message']}")
        (value,) = answer["data"].values()
        if isinstance(value, dict) and "message" in value and "code" in value:
            raise DemoError(f"{handle}: {value['code']} {value['message']}")
        return value
