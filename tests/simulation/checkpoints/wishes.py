"""Wishes for proofs: to sign the head of the ledger now, or where that is due, and to sign with a new key."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from datastores import ledger
from resolvers.proofs import checkpoint_ledger
from tests.simulation.processes import MASTER
from tests.simulation.quarters import Door
from tests.simulation.usecases import carried_out, context


class Kind(StrEnum):
    """What is wanted."""

    SIGN = "sign"
    SIGN_IF_DUE = "sign_if_due"
    ROTATE = "rotate"


@dataclass(frozen=True)
class Wish:
    """One wish of an operator, or of a sweeper."""

    kind: Kind
    key: str

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    @property
    def loop(self) -> str:
        """The loop whose journal is signed."""
        return ledger.COMMIT_LOOP

    async def ask(self, door: Door, salt: str) -> Any:
        """The checkpoint, or nothing."""
        process = door.process
        if self.kind is Kind.ROTATE:
            await carried_out(ledger.rotate_signing_key(process.database, MASTER, process.now()))
            return None
        if self.kind is Kind.SIGN_IF_DUE:
            await carried_out(checkpoint_ledger(context(process, lambda act: None)))
            return None
        return await carried_out(ledger.make_checkpoint(process.database, MASTER, process.now()))
