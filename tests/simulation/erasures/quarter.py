"""The quarter of erasures: people who write memos and are erased, while money goes on moving."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from datastores import ledger
from datastores.accounts import USERS
from datastores.commit import Act
from datastores.errors import ConflictError, NotFoundError
from datastores.ledger import CloseWallet, PostTransfer, ReverseEntry, WalletStatus, read_memo
from datastores.mongo import Database, Document
from datastores.person_keys import PERSON_KEYS, PersonKeys
from resolvers.erasure import finish_erasures
from tests.simulation.ledger.book import Book, Expected
from tests.simulation.ledger.rules import RULES
from tests.simulation.ledger.wishes import Kind as MoveKind
from tests.simulation.ledger.wishes import Wish as Moved
from tests.simulation.processes import MASTER, Process
from tests.simulation.quarters import Asked
from tests.simulation.storage import Changes
from tests.simulation.usecases import CURRENCIES, ResidentsQuarter, context, requested

from .wishes import Kind, Wish

MOST: Final = 20
# Longer than an erasure is swept up after, which is 90 s.
ROUND_S: Final = 100.0
MAX_ROUNDS: Final = 5


@dataclass(eq=False)
class ErasuresQuarter(ResidentsQuarter):
    """Residents are erased wholly or not at all, and for ever; what they wrote is gone, what others wrote is not."""

    _wishes: dict[Wish, None] = field(default_factory=dict)
    _erased: set[str] = field(default_factory=set)

    def plant(self) -> None:
        return None

    def next(self) -> Wish:
        wish = replace(self._next(list(self._wishes)), on_act=self._submitted)
        self._wishes.setdefault(wish)
        return wish

    def _next(self, wishes: list[Wish]) -> Wish:
        random, chance, key = self._random, self._random.random(), f"memo{len(self._wishes)}"
        resident = random.choice(self._residents.ids)
        if chance < 0.25:
            return Wish(Kind.ERASE, key, payee=resident, name=self._residents.name(resident))
        if chance < 0.35:
            return Wish(Kind.FINISH, key)
        sent = [wish for wish in wishes if wish.kind is Kind.SEND]
        if sent and chance < 0.42:
            return random.choice(sent)
        neighbour = random.choice(self._shape.people)
        currency = random.choice(CURRENCIES) if random.random() < 0.3 else "EUR"
        there = (resident, neighbour) if random.random() < 0.7 else (neighbour, resident)
        if random.random() < 0.2:
            there = (resident, random.choice([id for id in self._residents.ids if id != resident]))
        names = " to ".join(self._residents.name(id) for id in there)
        wish = Wish(Kind.SEND, key, *there, names, random.randint(1, MOST), currency, f"secret of {key}")
        account = self._storage.get("accounts", wish.source)
        if there[0] == resident and account and account["posted"] and random.random() < 0.6:
            # All that they have: nobody can be erased before.
            wish = replace(wish, amount=account["posted"])
        if sent and chance < 0.48:
            earlier = random.choice(sent)
            return replace(earlier, amount=earlier.amount + 1)
        return wish

    def _submitted(self, wish: Wish, act: Act[Any]) -> None:
        if isinstance(act, PostTransfer):
            self._told.submitted(wish, act.command)
            self._money.expect(requested(act.command), str(wish), partial(self._sent, wish))
        elif isinstance(act, CloseWallet):
            self._money.book.closers.add(act.wallet_id)
        elif isinstance(act, ReverseEntry):
            command = act.command
            back = Moved(MoveKind.REVERSE, command.caller, command.key, subject=act.original)
            self._money.expect(requested(command), str(back), partial(_reversed, back))

    def _sent(self, wish: Wish, book: Book, entry: Document) -> Expected:
        expected = book.move(wish.source, wish.target, wish.amount)
        if expected[0] == "POSTED":
            book.spend(wish.source, entry, wish.amount)
        return expected

    def audit(self, changes: Changes) -> None:
        for (name, id), document in changes.items():
            if name == PERSON_KEYS and (document is None or document["wrapped"] is not None):
                earlier = self._storage.seen_since(PERSON_KEYS, id, 0)[:-1]
                if any(each is not None and each["wrapped"] is None for each in earlier):
                    self._problems.append(f"a key that was destroyed is there again: {self._residents.name(id)}")

    def answered(self, wish: Wish, outcome: Any, asked: Asked) -> str:
        if wish.kind is Kind.SEND:
            return self._told.take(wish, outcome)
        if wish.kind is Kind.ERASE:
            self._erased.add(wish.payee)
            return "erased"
        return f"{outcome} to go on"

    def refused(self, wish: Wish, error: Exception, asked: Asked) -> None:
        if wish.kind is Kind.SEND:
            may_be = self._told.refused(wish, error, asked) or self._may_be_gone(wish, error, asked)
        else:
            may_be = wish.kind is Kind.ERASE and self._may_stand_in_the_way(wish, error, asked)
        if not may_be:
            self._problems.append(f"{wish} ended with {type(error).__name__}: {error}, and need not have")

    def _may_be_gone(self, wish: Wish, error: Exception, asked: Asked) -> bool:
        """Whether a wallet or a person was not there, or about to be erased."""
        wallets = [self._storage.seen_since("accounts", id, asked.stamp) for id in (wish.source, wish.target)]
        payees = self._storage.seen_since(USERS, wish.payee, asked.stamp)
        is_leaving = any(each is None or each.get("erasure") or each.get("erased_at") for each in payees)
        is_missing = None in wallets[0] or (None in wallets[1] and not wish.payee.startswith("usr_"))
        return isinstance(error, NotFoundError) and (is_missing or is_leaving)

    def _may_stand_in_the_way(self, wish: Wish, error: Exception, asked: Asked) -> bool:
        seen = [
            account
            for currency in CURRENCIES
            for account in self._storage.seen_since("accounts", ledger.wallet_id(wish.payee, currency), asked.stamp)
            if account is not None
        ]
        amounts = (account[name] for account in seen for name in ("posted", "pending_out", "pending_in"))
        users = [user for user in self._storage.seen_since(USERS, wish.payee, asked.stamp) if user is not None]
        attempts = {(user.get("erasure") or {}).get("attempt") for user in users} - {None}
        return isinstance(error, ConflictError) and (any(amounts) or len(attempts) > 1)

    def unanswered(self, wish: Wish, error: Exception, alone: bool) -> None:
        if wish.kind is Kind.SEND:
            self._told.unanswered(wish, error, alone)

    async def finish(self, process: Process) -> None:
        wish = Wish(Kind.FINISH, "in the calm")
        for _ in range(MAX_ROUNDS):
            await finish_erasures(context(process, partial(self._submitted, wish)))
            await asyncio.sleep(ROUND_S / self._shape.time_scale)

    async def check(self, process: Process) -> None:
        self._told.check()
        users, keys = self._storage.committed(USERS), self._storage.committed(PERSON_KEYS)
        gone = {id for id in self._residents.ids if users[id].get("erased_at") is not None}
        destroyed = {id for id, key in keys.items() if key["wrapped"] is None}
        if gone != destroyed or not self._erased <= gone:
            told = sorted(map(self._residents.name, self._erased))
            blanked, without_key = (sorted(map(self._residents.name, ids)) for ids in (gone, destroyed))
            self._problems.append(f"told as erased {told}, blanked {blanked}, without their keys {without_key}")
        self._problems.extend(
            f"an erasure that never ends: {self._residents.name(id)} {users[id]['erasure']}"
            for id in self._residents.ids
            if users[id].get("erasure") is not None
        )
        for account in self._storage.committed("accounts").values():
            if account["owner_id"] in gone and not _is_empty(account):
                name = self._residents.name(account["owner_id"])
                self._problems.append(f"{name} is erased, and their wallet in {account['currency']} is not closed")
        await self._check_memos(process.database, gone)
        self._check_traces(gone)

    async def _check_memos(self, database: Database, gone: Iterable[str]) -> None:
        """By somebody who has the database and the master key."""
        written = {wish.memo: wish.caller for wish in self._wishes if wish.kind is Kind.SEND}
        records = [record for record in self._storage.committed("transfers").values() if record.get("memo")]
        opened = await PersonKeys(MASTER).open(database, [record["memo"] for record in records])
        for record, plain in zip(records, opened, strict=True):
            writer, memo = record["memo"]["person_id"], read_memo(plain)
            if (memo is None) is not (writer in gone):
                verb = "cannot be read" if memo is None else "can be read"
                self._problems.append(f"a memo of {self._residents.name(writer)} {verb}")
            if memo is not None and written.get(memo.text) != writer:
                self._problems.append(f"{self._residents.name(writer)} never wrote {memo.text!r}")

    def _check_traces(self, gone: Iterable[str]) -> None:
        """Of who is erased no name is anywhere, and no memo of anybody lies in the clear."""
        named = [user for user in self._residents.users if user["_id"] in gone]
        texts = {text: user["handle"] for user in named for text in (user["display_name"], user["bio"] or "")}
        texts |= {wish.memo: wish.name for wish in self._wishes if wish.memo}
        for collection in self._storage.indexes:
            said = repr(self._storage.committed(collection))
            self._problems.extend(f"{who} can be read in {collection}" for text, who in texts.items() if text in said)

    def counts(self) -> dict[str, int]:
        states = Counter(
            "people erased" for user in self._storage.committed(USERS).values() if user.get("erased_at") is not None
        )
        memos = sum(1 for record in self._storage.committed("transfers").values() if record.get("memo"))
        return {"people erased": states["people erased"], "memos": memos}


def _reversed(back: Moved, book: Book, entry: Document) -> Expected:
    return RULES[back.kind](book, back, entry)


def _is_empty(account: Document) -> bool:
    held = (account["posted"], account["pending_out"], account["pending_in"])
    return not any(held) and account["status"] == WalletStatus.CLOSED
