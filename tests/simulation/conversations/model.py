"""The model of conversations: rooms that follow from their events alone, and what each commit must have written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from datastores.conversations import CONVERSATIONS, EVENTS, INBOX, MEMBERSHIPS, MESSAGES, REACTIONS, EventKind
from datastores.conversations.documents import INBOX_HEADS
from datastores.mongo import Document
from tests.simulation.quarters import Problems
from tests.simulation.storage import Changes


@dataclass
class Room:
    """A conversation of the model; `before` has who was in it, as what, before each of its events."""

    roles: dict[str, str]
    n: int = 0
    kinds: list[tuple[str, str | None]] = field(default_factory=list)
    before: list[dict[str, str]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    last_seqs: dict[str, int] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)


@dataclass
class Model:
    """All rooms, inboxes and reactions, as the commits so far have made them; `starts` has who begins each as what."""

    problems: Problems
    starts: dict[str, dict[str, str]] = field(default_factory=dict)
    rooms: dict[str, Room] = field(default_factory=dict)
    messages: dict[str, Document] = field(default_factory=dict)
    reactions: dict[str, set[str]] = field(default_factory=dict)
    inboxes: dict[str, list[str]] = field(default_factory=dict)
    left_at: dict[str, list[int]] = field(default_factory=dict)

    def apply(self, changes: Changes, stamp: int) -> None:
        """Take a commit, and say what in it does not follow."""
        of: dict[str, dict[str, Document | None]] = {}
        for (name, id), document in changes.items():
            of.setdefault(name, {})[id] = document
        for id, document in of.get(CONVERSATIONS, {}).items():
            if document is not None and id not in self.rooms:
                self.rooms[id] = Room(dict(self.starts[id]), last_seqs=dict.fromkeys(self.starts[id], 0))
        self._check_messages(_there(of.get(MESSAGES, {})), _there(of.get(EVENTS, {})))
        delivered: Counter[tuple[str, str]] = Counter()
        for row in sorted(_there(of.get(EVENTS, {})).values(), key=lambda row: int(row["n"])):
            self._follow(row, of.get(MESSAGES, {}), delivered)
            if row["kind"] == EventKind.MEMBER_LEFT:
                self.left_at.setdefault(row["conversation_id"], []).append(stamp)
        self._check_inboxes(_there(of.get(INBOX, {})), _there(of.get(INBOX_HEADS, {})), delivered)
        self._check_rooms(of)
        self._check_reactions(of.get(REACTIONS, {}), _there(of.get(MESSAGES, {})))

    def _follow(self, row: Document, messages: Mapping[str, Document | None], out: Counter[tuple[str, str]]) -> None:
        room = self.rooms[row["conversation_id"]]
        if row["n"] != room.n + 1:
            self.problems.append(f"event {row['n']} follows {room.n}")
        room.n = row["n"]
        room.before.append(dict(room.roles))
        room.kinds.append((row["kind"], row["message_id"] or row["user_id"]))
        if row["kind"] == EventKind.MESSAGE_ADDED:
            self._add(room, row, messages, out)
        elif row["kind"] == EventKind.MEMBER_JOINED:
            room.roles[row["user_id"]] = row["role"]
            room.last_seqs[row["user_id"]] = room.reads[row["user_id"]] = row["seq"]
            if row["seq"] != len(room.messages):
                self.problems.append(f"{row['user_id']} joins at {row['seq']}, of {len(room.messages)}")
        elif row["kind"] == EventKind.MEMBER_LEFT and room.roles.pop(row["user_id"], "") == "OWNER" and room.roles:
            room.roles[next(iter(room.roles))] = "OWNER"

    def _add(
        self, room: Room, row: Document, messages: Mapping[str, Document | None], out: Counter[tuple[str, str]]
    ) -> None:
        id = row["message_id"]
        message = messages.get(id)
        if message is None or id in room.messages:
            self.problems.append(f"event {row['n']} is of a message that is not new")
            return
        room.messages.append(id)
        if (message["seq"], message["n"]) != (len(room.messages), row["n"]):
            self.problems.append(f"message {message['seq']} of event {message['n']} is the {len(room.messages)}th")
        if message["sender_id"] not in room.roles:
            self.problems.append(f"message {message['seq']} is of {message['sender_id']}, who is not there")
        for member in room.roles:
            out[member, id] += 1
            room.last_seqs[member] = message["seq"]

    def _check_messages(self, messages: Mapping[str, Document], rows: Mapping[str, Document]) -> None:
        told = {(row["kind"], row["message_id"]) for row in rows.values()}
        for id, message in messages.items():
            earlier = self.messages.get(id)
            if earlier is None and (EventKind.MESSAGE_ADDED, id) not in told:
                self.problems.append(f"message {message['seq']} is there without its event")
            elif earlier is not None:
                if any(message[key] != earlier[key] for key in ("seq", "n", "sender_id", "client_id", "created_at")):
                    self.problems.append(f"message {earlier['seq']} has become {message['seq']}")
                for key, kind in (("edited_at", EventKind.MESSAGE_EDITED), ("deleted_at", EventKind.MESSAGE_DELETED)):
                    if message[key] != earlier[key] and (kind, id) not in told:
                        self.problems.append(f"message {message['seq']} changes without its event")
            self.messages[id] = message

    def _check_inboxes(
        self, rows: Mapping[str, Document], heads: Mapping[str, Document], delivered: Counter[tuple[str, str]]
    ) -> None:
        for row in sorted(rows.values(), key=lambda row: int(row["n"])):
            inbox = self.inboxes.setdefault(row["user_id"], [])
            inbox.append(row["message_id"])
            if row["n"] != len(inbox):
                self.problems.append(f"row {row['n']} is the {len(inbox)}th in the inbox of {row['user_id']}")
        got = Counter((row["user_id"], row["message_id"]) for row in rows.values())
        if got != delivered:
            self.problems.append(f"inboxes miss {list(delivered - got)} and have besides {list(got - delivered)}")
        for user in {row["user_id"] for row in rows.values()}:
            if heads.get(user, {}).get("n") != len(self.inboxes[user]):
                self.problems.append(f"the head of the inbox of {user} does not count {len(self.inboxes[user])}")

    def _check_rooms(self, of: Mapping[str, Mapping[str, Document | None]]) -> None:
        for id in {row["conversation_id"] for row in _there(of.get(EVENTS, {})).values()}:
            stored, room = of.get(CONVERSATIONS, {}).get(id), self.rooms[id]
            said = stored and (stored["member_ids"], stored["message_count"], stored["event_n"])
            if said != (list(room.roles), len(room.messages), room.n):
                self.problems.append(f"a conversation says {said}, after event {room.n}")
        for id, membership in of.get(MEMBERSHIPS, {}).items():
            room_id, _, user = id.partition("/")
            self._check_membership(self.rooms[room_id], user, membership)

    def _check_membership(self, room: Room, user: str, membership: Document | None) -> None:
        if (membership is None) != (user not in room.roles):
            self.problems.append(f"{user} is a member by the log or by the membership, and not by both")
        if membership is None:
            return
        if (membership["role"], membership["last_seq"]) != (room.roles.get(user), room.last_seqs.get(user)):
            self.problems.append(f"{user} is {membership['role']} at {membership['last_seq']}")
        read = membership["last_read_seq"]
        if not room.reads.get(user, 0) <= read <= len(room.messages):
            self.problems.append(f"{user} has read up to {read}, after {room.reads.get(user)}")
        room.reads[user] = read

    def _check_reactions(self, changed: Mapping[str, Document | None], messages: Mapping[str, Document]) -> None:
        for id, reaction in changed.items():
            of_message = self.reactions.setdefault(id.split("/", 1)[0], set())
            of_message.discard(id)
            if reaction is not None:
                of_message.add(id)
        for id in {*messages, *(id.split("/", 1)[0] for id in changed)}:
            message = self.messages[id]
            stands = self.reactions.get(id, set()) if message["deleted_at"] is None else set()
            counted = Counter(reaction.rsplit("/", 1)[1] for reaction in stands)
            if {each["emoji"]: each["count"] for each in message["reactions"]} != dict(counted):
                self.problems.append(f"message {message['seq']} counts {message['reactions']} of {dict(counted)}")


def _there(documents: Mapping[str, Document | None]) -> dict[str, Document]:
    return {id: document for id, document in documents.items() if document is not None}
