"""The plan of the conversations' quarter: a group, a direct conversation, and what their people come to want."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Final

from .wishes import Kind, Wish

EMOJI: Final = ("👍", "🎉")
GROUP: Final = "group"
DIRECT: Final = "direct"
_KINDS: Final = {
    Kind.SEND: 10,
    Kind.EDIT: 3,
    Kind.DELETE: 1,
    Kind.REACT: 4,
    Kind.UNREACT: 2,
    Kind.ADD: 3,
    Kind.REMOVE: 2,
    Kind.READ: 2,
}


class Plan:
    """Says what the next client wants."""

    def __init__(self, random: Random, people: Sequence[str]) -> None:
        self._random = random
        self._people = tuple(people)
        self._count = 0

    def next(self, wishes: Sequence[Wish], seqs: Sequence[int]) -> Wish:
        """A new wish, or an earlier one again; `seqs` are numbers of messages that somebody knows of."""
        self._count += 1
        chance, random = self._random.random(), self._random
        if self._count == 1:
            members = self._people[: random.randint(1, len(self._people))]
            return Wish(Kind.START, members[0], GROUP, members)
        if self._count == 2:
            return Wish(Kind.START, self._people[0], DIRECT, self._people[:2], group=False)
        if chance < 0.15:
            return random.choice(wishes)
        (kind,) = random.choices(list(_KINDS), list(_KINDS.values()))
        wish = Wish(kind, random.choice(self._people), GROUP if random.random() < 0.8 else DIRECT)
        said = [each for each in wishes if each.kind is Kind.SEND and each.room == wish.room]
        if kind is Kind.SEND:
            if said and chance < 0.2:
                return replace(random.choice(said), text=f"other {self._count}")
            return replace(wish, client_id=f"c{self._count}", text=f"text {self._count}")
        if kind in (Kind.ADD, Kind.REMOVE):
            return replace(wish, people=(random.choice(self._people),))
        if kind is Kind.READ:
            return replace(wish, seq=random.choice([0, *seqs]))
        if not said:
            return replace(wish, kind=Kind.SEND, client_id=f"c{self._count}", text=f"text {self._count}")
        about = random.choice(said)
        text = random.choice(EMOJI) if kind in (Kind.REACT, Kind.UNREACT) else ""
        if kind is Kind.EDIT:
            text = f"edited {self._count}"
        # Mostly of the sender, since only they may; the others must be refused.
        actor = about.actor if kind in (Kind.EDIT, Kind.DELETE) and random.random() < 0.7 else wish.actor
        return replace(wish, actor=actor, client_id=about.client_id, sender=about.actor, text=text)
