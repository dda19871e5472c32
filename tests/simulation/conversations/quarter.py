"""The conversations' quarter: what members were told, beside the rooms of the model."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from datastores.conversations import (
    CONVERSATIONS,
    MEMBERSHIPS,
    MESSAGES,
    ChangedMembers,
    EventKind,
    ReadMarker,
    WrittenMessage,
    membership_id,
)
from datastores.errors import ForbiddenError, NotFoundError, UnavailableError, ValidationError
from datastores.mongo import Document
from tests.simulation.processes import Process
from tests.simulation.quarters import Asked, Problems
from tests.simulation.shapes import Shape
from tests.simulation.storage import Changes, Storage

from .model import Model
from .plan import Plan
from .wishes import Kind, Wish

_EVENTS: Final = {
    Kind.SEND: EventKind.MESSAGE_ADDED,
    Kind.EDIT: EventKind.MESSAGE_EDITED,
    Kind.DELETE: EventKind.MESSAGE_DELETED,
    Kind.REACT: EventKind.REACTIONS_CHANGED,
    Kind.UNREACT: EventKind.REACTIONS_CHANGED,
    Kind.REMOVE: EventKind.MEMBER_LEFT,
}
_ABOUT_MESSAGES: Final = (Kind.EDIT, Kind.DELETE, Kind.REACT, Kind.UNREACT)


class ConversationsQuarter:
    """A group and a direct conversation."""

    def __init__(self, random: Random, shape: Shape, storage: Storage, problems: Problems) -> None:
        self._plan = Plan(random, shape.people)
        self._storage = storage
        self._problems = problems
        self._model = Model(problems)
        self._wishes: dict[Wish, None] = {}
        self._told: dict[str, tuple[int, int]] = {}
        self._new: set[str] = set()
        self._events: dict[tuple[str, int], Wish] = {}
        self._reads: dict[tuple[str, str], int] = {}

    def plant(self) -> None:
        return None

    def next(self) -> Wish:
        wish = self._plan.next(list(self._wishes), [seq for seq, _ in self._told.values()])
        if wish.kind is Kind.START:
            self._model.starts[wish.conversation_id] = {user: role.value for user, role in wish.roles.items()}
        self._wishes.setdefault(wish)
        return wish

    def audit(self, changes: Changes) -> None:
        self._model.apply(changes, self._storage.stamp)

    def answered(self, wish: Wish, outcome: object, asked: Asked) -> str:
        if isinstance(outcome, WrittenMessage):
            if wish.kind is Kind.SEND:
                self._sent(wish, outcome, asked)
            elif not outcome.replayed:
                self._made(wish, outcome.n)
            return f"{outcome.message['seq']} at {outcome.n} {outcome.replayed}"
        if isinstance(outcome, ChangedMembers):
            if wish.kind is Kind.REMOVE:
                self._made(wish, outcome.n)
            if (wish.people[0] in outcome.conversation["member_ids"]) != (wish.kind is Kind.ADD):
                self._problems.append(f"done, and it is not so: {wish}")
            return f"at {outcome.n}"
        if isinstance(outcome, ReadMarker):
            if outcome.membership["last_read_seq"] < wish.seq:
                self._problems.append(f"read, and it is not so: {wish}")
            at = (wish.conversation_id, wish.actor)
            self._reads[at] = max(self._reads.get(at, 0), wish.seq)
            return f"{outcome.membership['last_read_seq']} {outcome.moved}"
        return "there"

    def refused(self, wish: Wish, error: Exception, asked: Asked) -> None:
        if isinstance(error, NotFoundError):
            may_be = self._may_be_gone(wish, asked)
        elif isinstance(error, ForbiddenError):
            may_be = self._may_be_forbidden(wish, asked)
        elif isinstance(error, ValidationError):
            rooms = self._seen(CONVERSATIONS, wish.conversation_id, asked)
            may_be = wish.kind is Kind.READ and any(room is None or wish.seq > room["message_count"] for room in rooms)
        else:
            may_be = False
        if not may_be:
            self._problems.append(f"{wish} ended with {type(error).__name__}: {error}, and need not have")

    def unanswered(self, wish: Wish, error: Exception, alone: bool) -> None:
        if isinstance(error, UnavailableError) and alone and wish.kind is Kind.SEND:
            message = self._storage.get(MESSAGES, wish.message_id)
            if message is not None and message["text"] == wish.text:
                self._problems.append(f"said that nothing was written, and it was: {wish}")

    async def finish(self, process: Process) -> None:
        return None

    async def check(self, process: Process) -> None:
        rooms = self._model.rooms
        for (room_id, n), wish in self._events.items():
            kind, subject = rooms[room_id].kinds[n - 1] if n <= rooms[room_id].n else ("", None)
            about = wish.people[0] if wish.kind is Kind.REMOVE else wish.message_id
            if (kind, subject) != (_EVENTS[wish.kind], about):
                self._problems.append(f"acknowledged as event {n} and not there: {wish}")
        for id, (seq, n) in self._told.items():
            message = self._storage.get(MESSAGES, id)
            if message is None or (message["seq"], message["n"]) != (seq, n):
                self._problems.append(f"message {seq} was acknowledged at {n} and is not there")
        for room_id, room in rooms.items():
            self._check_room(room_id, list(room.roles))
        self._check_messages()

    def counts(self) -> dict[str, int]:
        rooms = self._model.rooms.values()
        inboxes = sum(map(len, self._model.inboxes.values()))
        return {"events of conversations": sum(room.n for room in rooms), "rows of inboxes": inboxes}

    def _sent(self, wish: Wish, outcome: WrittenMessage, asked: Asked) -> None:
        message = outcome.message
        place = (message["seq"], message["n"])
        if self._told.setdefault(wish.message_id, place) != place or outcome.n != message["n"]:
            self._problems.append(f"one message, two places: {wish}: {self._told[wish.message_id]}, then {place}")
        if not outcome.replayed:
            if wish.message_id in self._new or self._seen(MESSAGES, wish.message_id, asked)[0] is not None:
                self._problems.append(f"said to be new twice: {wish}")
            self._new.add(wish.message_id)
            self._made(wish, outcome.n)

    def _made(self, wish: Wish, n: int) -> None:
        """An event was acknowledged: it is of this wish alone, and whoever wanted it had the right to."""
        at = (wish.conversation_id, n)
        if at in self._events:
            self._problems.append(f"event {n} is said to be of {self._events[at]} and of {wish}")
        self._events[at] = wish
        room = self._model.rooms[wish.conversation_id]
        if n > room.n:
            self._problems.append(f"acknowledged before it was written: {wish} as event {n} of {room.n}")
        elif not _may(wish, room.before[n - 1]):
            self._problems.append(f"event {n} is of {wish}, who may not: {room.before[n - 1]}")

    def _may_be_gone(self, wish: Wish, asked: Asked) -> bool:
        rooms = self._seen(CONVERSATIONS, wish.conversation_id, asked)
        if any(room is None or wish.actor not in room["member_ids"] for room in rooms) or self._somebody_left(asked):
            return True
        if wish.kind is Kind.REMOVE:
            return any(room is not None and wish.people[0] not in room["member_ids"] for room in rooms)
        return wish.kind in _ABOUT_MESSAGES and None in self._seen(MESSAGES, wish.message_id, asked)

    def _may_be_forbidden(self, wish: Wish, asked: Asked) -> bool:
        if wish.kind in (Kind.EDIT, Kind.REACT, Kind.UNREACT):
            messages = self._seen(MESSAGES, wish.message_id, asked)
            if any(message is not None and message["deleted_at"] is not None for message in messages):
                return True
        if wish.kind is Kind.EDIT:
            return wish.actor != wish.sender
        if wish.kind in (Kind.ADD, Kind.REMOVE) and wish.room == "direct":
            return True
        # Who may do it is a matter of roles, which change where somebody leaves, also between two acts of one batch.
        members = self._seen(MEMBERSHIPS, membership_id(wish.conversation_id, wish.actor), asked)
        roles = {member["role"] for member in members if member is not None}
        if wish.kind is Kind.DELETE:
            lacks_role = wish.room == "direct" or "MEMBER" in roles or self._somebody_left(asked)
            return wish.actor != wish.sender and lacks_role
        return wish.kind in (Kind.ADD, Kind.REMOVE) and (roles != {"OWNER"} or self._somebody_left(asked))

    def _somebody_left(self, asked: Asked) -> bool:
        return any(at > asked.stamp for stamps in self._model.left_at.values() for at in stamps)

    def _seen(self, collection: str, id: str, asked: Asked) -> list[Document | None]:
        return self._storage.seen_since(collection, id, asked.stamp)

    def _check_room(self, room_id: str, members: list[str]) -> None:
        stored = {id for id in self._storage.committed(MEMBERSHIPS) if id.startswith(room_id)}
        if stored != {membership_id(room_id, member) for member in members}:
            self._problems.append(f"memberships {sorted(stored)} of {members}")
        for member in members:
            read = self._storage.get(MEMBERSHIPS, membership_id(room_id, member))
            if read is not None and read["last_read_seq"] < self._reads.get((room_id, member), 0):
                self._problems.append(f"{member} had read more than {read['last_read_seq']}")
        places = {id: place for place, id in enumerate(self._model.rooms[room_id].messages)}
        for user, inbox in self._model.inboxes.items():
            of_room = [places[id] for id in inbox if id in places]
            if of_room != sorted(set(of_room)):
                self._problems.append(f"the inbox of {user} is out of order: {of_room}")

    def _check_messages(self) -> None:
        texts: dict[str, set[str]] = {}
        for wish in self._wishes:
            if wish.kind is Kind.SEND or (wish.kind is Kind.EDIT and wish.actor == wish.sender):
                texts.setdefault(wish.message_id, set()).add(wish.text)
        last: dict[str, str] = {}
        for (_, n), wish in sorted(self._events.items(), key=lambda item: item[0][1]):
            if wish.kind is Kind.EDIT and n == self._last_edit(wish):
                last[wish.message_id] = wish.text
        keys: dict[tuple[Any, ...], str] = {}
        for id, message in self._storage.committed(MESSAGES).items():
            if id not in texts:
                self._problems.append(f"nobody said message {message['seq']}")
            wanted = {""} if message["deleted_at"] else {last[id]} if id in last else texts.get(id, set())
            if message["text"] not in wanted:
                self._problems.append(f"message {message['seq']} says {message['text']}, and should say {wanted}")
            key = (message["conversation_id"], message["sender_id"], message["client_id"])
            if keys.setdefault(key, id) != id:
                self._problems.append(f"one client id, two messages: {key[2]}")

    def _last_edit(self, wish: Wish) -> int:
        kinds = self._model.rooms[wish.conversation_id].kinds
        places = range(len(kinds), 0, -1)
        return next(n for n in places if kinds[n - 1] == (EventKind.MESSAGE_EDITED, wish.message_id))


def _may(wish: Wish, roles: dict[str, str]) -> bool:
    if wish.kind is Kind.REMOVE and wish.actor != wish.people[0]:
        rank = roles.get(wish.actor)
        return rank == "OWNER" or (rank == "ADMIN" and roles.get(wish.people[0]) == "MEMBER")
    return wish.actor in roles
