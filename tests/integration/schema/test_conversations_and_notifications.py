"""Conversations and notifications through GraphQL: what a screen asks, what mutations answer, what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from typing import Any, cast

import pytest
from graphql import ExecutionResult
from strawberry.schema.config import StrawberryConfig

from datastores import accounts as people
from datastores.commit import CommitLoops
from datastores.mongo import Database, Document, Driver
from datastores.person_keys import PersonKeys
from datastores.sealing import SealingKey
from gateway.live.hub import Hub
from resolvers import notifications as notices
from resolvers import posts as post_use_cases
from resolvers.context import ANONYMOUS, Context, Viewer
from schema.accounts import accounts
from schema.composition import Graph
from schema.composition.fields import read_key
from schema.conversations import conversations
from schema.entities import ENTITIES, PREFIXES
from schema.notifications import notifications
from schema.posts import posts
from schema.scalars import SCALARS
from schema.wallets import wallets
from tests.integration.resolvers.listening import Listener, listening

DOMAINS = (accounts, posts, conversations, wallets, notifications)
CONFIG = StrawberryConfig(default_resolver=read_key, scalar_map=SCALARS)
GRAPH = Graph(DOMAINS, entities=ENTITIES, prefixes=PREFIXES, config=CONFIG)

INBOX = """
query Inbox($messages: Int) {
  viewer {
    unreadMessageCount
    conversations(first: 50) {
      nodes {
        id title kind unreadCount createdAt order { id }
        lastMessage { text sender { handle } }
        members { role joinedAt lastReadSeq user { handle } }
        messages(last: $messages) {
          pageInfo { hasPreviousPage }
          edges {
            cursor
            node {
              seq text createdAt editedAt deletedAt
              sender { handle }
              conversation { id }
              replyTo { seq }
              reactions { emoji count viewerReacted }
              media { url }
              transfer { id }
              paymentRequest { id }
            }
          }
        }
      }
    }
  }
}
"""
MUTATE = """
mutation Mutate($input: %(input)s!) {
  %(field)s(input: $input) {
    __typename
    ... on Error { code message }
    %(success)s
  }
}
"""
SUCCESS = {
    "startConversation": "... on StartConversationSuccess { conversation { id kind title members { role } } }",
    "addConversationMembers": "... on ConversationActionSuccess { cursor conversation { members { role } } }",
    "removeConversationMember": """... on ConversationActionSuccess {
      cursor conversation { members { role } lastMessage { id } }
    }""",
    "sendMessage": "... on MessageSuccess { cursor node { id seq text } }",
    "editMessage": "... on MessageSuccess { cursor node { text editedAt } }",
    "addReaction": "... on MessageSuccess { cursor node { reactions { emoji count viewerReacted } } }",
    "removeReaction": "... on MessageSuccess { cursor node { reactions { emoji } } }",
    "deleteMessage": "... on DeleteMessageSuccess { cursor deletedId }",
    "markConversationRead": "... on MarkConversationReadSuccess { cursor conversation { unreadCount } }",
    "setTyping": "... on SetTypingSuccess { conversationId }",
    "markNotificationsRead": "... on MarkNotificationsReadSuccess { unreadCount }",
}
INPUTS = {
    "addReaction": "ReactionInput",
    "removeReaction": "ReactionInput",
}


class Town:
    """Three people, and the commands that their questions cost."""

    def __init__(self, database: Database, hub: Hub, ids: list[str], commands: Counter[str]) -> None:
        self.database = database
        self.hub = hub
        self.alice, self.bob, self.carol = ids
        self.commands = commands
        self._commits = CommitLoops(database)
        self._keys = PersonKeys(SealingKey.generate())

    def context(self, who: str | None) -> Context:
        viewer = ANONYMOUS if who is None else Viewer("person", who)
        return Context(self.database, self._commits, self.hub, viewer, keys=self._keys)

    async def ask(self, who: str | None, document: str, **variables: Any) -> Any:
        """The data of an operation that must have no errors."""
        self.commands.clear()
        result = await GRAPH.execute(document, variable_values=variables, context_value=self.context(who))
        assert result.errors is None, result.errors
        return result.data

    async def act(self, who: str | None, field: str, **input: Any) -> Document:
        """What a mutation answers."""
        input_type = INPUTS.get(field, field[0].upper() + field[1:] + "Input")
        document = MUTATE % {"field": field, "input": input_type, "success": SUCCESS[field]}
        return cast(Document, (await self.ask(who, document, input=input))[field])

    async def talk(self, who: str, *others: str, title: str | None = None) -> str:
        made = await self.act(who, "startConversation", memberIds=list(others), title=title)
        return cast(str, made["conversation"]["id"])

    async def say(self, who: str, conversation_id: str, text: str) -> Document:
        return await self.act(who, "sendMessage", conversationId=conversation_id, text=text)

    async def follow(self, who: str, document: str, **variables: Any) -> AsyncGenerator[Document, None]:
        """The data of each event of a subscription."""
        results = await GRAPH.subscribe(document, variable_values=variables, context_value=self.context(who))
        async for result in cast(AsyncGenerator[ExecutionResult, None], results):
            assert result.errors is None, result.errors
            yield cast(Document, result.data)


@pytest.fixture
async def town(database: Database, mongodb_uri: str, mongo_driver: Driver) -> AsyncIterator[Town]:
    commands: Counter[str] = Counter()

    def count(command: str, collection: str, seconds: float, succeeded: bool) -> None:
        commands[f"{command} {collection}"] += 1

    start = datetime(2026, 1, 1)
    users = [
        people.user_document(handle=h, display_name=h.title(), created_at=start) for h in ("alice", "bob", "carol")
    ]
    await people.insert_users(database, users)
    counted = await Database.connect(mongodb_uri, name=database.name, driver=mongo_driver, on_command=count)
    async with Hub(database) as hub:
        yield Town(counted, hub, [user["_id"] for user in users], commands)
    await counted.close()


class TestReading:
    async def test_a_screen_of_conversations(self, town: Town) -> None:
        direct = await town.talk(town.alice, town.bob)
        group = await town.talk(town.carol, town.alice, town.bob, title="Lunch")
        first = await town.say(town.bob, direct, "hello")
        await town.act(town.alice, "addReaction", messageId=first["node"]["id"], emoji="👋")
        await town.act(
            town.alice,
            "sendMessage",
            conversationId=direct,
            text="",
            replyToId=first["node"]["id"],
            media=[{"url": "https://pictures.example/1.jpg", "kind": "IMAGE"}],
        )
        await town.say(town.carol, group, "noon?")

        viewer = (await town.ask(town.alice, INBOX))["viewer"]

        assert viewer["unreadMessageCount"] == 1
        lunch, hello = viewer["conversations"]["nodes"]
        assert (lunch["title"], lunch["kind"], lunch["unreadCount"]) == ("Lunch", "GROUP", 1)
        assert lunch["lastMessage"] == {"text": "noon?", "sender": {"handle": "carol"}}
        assert [(m["role"], m["lastReadSeq"], m["user"]["handle"]) for m in lunch["members"]] == [
            ("OWNER", "1", "carol"),
            ("MEMBER", "0", "alice"),
            ("MEMBER", "0", "bob"),
        ]
        assert (hello["title"], hello["kind"], hello["unreadCount"]) == ("Bob", "DIRECT", 0)
        one, two = (edge["node"] for edge in hello["messages"]["edges"])
        assert one["reactions"] == [{"emoji": "👋", "count": 1, "viewerReacted": True}]
        assert (one["seq"], one["sender"], one["conversation"]) == ("1", {"handle": "bob"}, {"id": direct})
        assert (two["replyTo"], two["text"], len(two["media"])) == ({"seq": "1"}, "", 1)

    async def test_its_commands_do_not_grow_with_conversations_and_messages(self, town: Town) -> None:
        for number in range(8):
            group = await town.talk(town.carol, town.alice, town.bob, title="g")
            for _ in range(number):
                sent = await town.say(town.bob, group, "hi")
                await town.act(town.carol, "addReaction", messageId=sent["node"]["id"], emoji="👋")

        await town.ask(town.alice, INBOX)

        # How many batches of users there are is the event loop's affair: senders, last senders, members.
        at_most = {
            "aggregate memberships": 1,
            "find memberships": 3,
            "find conversations": 2,
            "find messages": 2,
            "find reactions": 1,
            "find users": 3,
        }
        assert town.commands.keys() == at_most.keys()
        assert all(count <= at_most[name] for name, count in town.commands.items()), town.commands

    async def test_a_conversation_by_id_and_its_pages(self, town: Town) -> None:
        id = await town.talk(town.alice, town.bob)
        for number in range(5):
            await town.say(town.alice, id, str(number))
        query = """query($id: ID!, $before: Cursor) {
          conversation(id: $id) {
            messages(last: 2, before: $before) { nodes { text } pageInfo { hasPreviousPage startCursor } }
          }
        }"""

        newest = (await town.ask(town.bob, query, id=id))["conversation"]["messages"]
        older = await town.ask(town.bob, query, id=id, before=newest["pageInfo"]["startCursor"])

        assert [node["text"] for node in newest["nodes"]] == ["3", "4"]
        assert [node["text"] for node in older["conversation"]["messages"]["nodes"]] == ["1", "2"]

    async def test_strangers_see_nothing_by_any_road(self, town: Town) -> None:
        id = await town.talk(town.alice, town.bob)
        sent = await town.say(town.alice, id, "secret")
        roads = """query($c: ID!, $m: ID!) {
          conversation(id: $c) { id }
          byNode: node(id: $c) { id }
          message: node(id: $m) { id ... on Message { text } }
        }"""

        for stranger in (town.carol, None):
            seen = await town.ask(stranger, roads, c=id, m=sent["node"]["id"])
            assert seen == {"conversation": None, "byNode": None, "message": None}
        seen = await town.ask(town.bob, roads, c=id, m=sent["node"]["id"])
        assert seen["message"]["text"] == "secret"

    async def test_wrong_pages_fail_their_field_with_a_code(self, town: Town) -> None:
        id = await town.talk(town.alice, town.bob)
        query = "query($id: ID!) { conversation(id: $id) { id messages(first: -1) { nodes { id } } } }"

        result = await GRAPH.execute(query, variable_values={"id": id}, context_value=town.context(town.alice))

        assert result.errors is not None
        assert [getattr(error.original_error, "code", None) for error in result.errors] == ["INVALID_INPUT"]


class TestMutations:
    async def test_each_answers_with_its_success(self, town: Town) -> None:
        started = await town.act(town.alice, "startConversation", memberIds=[town.bob], title="Trip")
        assert started["conversation"]["title"] == "Trip"
        where = {"conversationId": started["conversation"]["id"]}
        added = await town.act(town.alice, "addConversationMembers", **where, userIds=[town.carol])
        assert [member["role"] for member in added["conversation"]["members"]] == ["OWNER", "MEMBER", "MEMBER"]
        sent = await town.act(town.bob, "sendMessage", **where, text="hi", clientId="c")
        again = await town.act(town.bob, "sendMessage", **where, text="hi", clientId="c")
        assert sent["node"]["seq"] == "1"
        assert again == sent
        message = {"messageId": sent["node"]["id"]}
        edited = await town.act(town.bob, "editMessage", **message, text="hello")
        assert edited["node"]["text"] == "hello"
        assert edited["node"]["editedAt"].endswith("Z")
        reacted = await town.act(town.alice, "addReaction", **message, emoji="🎉")
        assert reacted["node"]["reactions"] == [{"emoji": "🎉", "count": 1, "viewerReacted": True}]
        bare = await town.act(town.alice, "removeReaction", **message, emoji="🎉")
        assert bare["node"]["reactions"] == []
        read = await town.act(town.carol, "markConversationRead", **where, seq="1")
        assert read["conversation"] == {"unreadCount": 0}
        assert read["cursor"] == bare["cursor"]
        typing = await town.act(town.carol, "setTyping", **where, typing=True)
        assert typing["conversationId"] == where["conversationId"]
        deleted = await town.act(town.bob, "deleteMessage", **message)
        assert deleted["deletedId"] == message["messageId"]
        left = await town.act(town.carol, "removeConversationMember", **where, userId=town.carol)
        assert left["conversation"] == {"members": [], "lastMessage": None}

    async def test_refusals_are_members_of_the_union(self, town: Town) -> None:
        direct = await town.talk(town.alice, town.bob)
        group = await town.talk(town.alice, town.bob, title="g")
        sent = await town.say(town.alice, group, "hi")
        message, nobody = {"messageId": sent["node"]["id"]}, "usr_01JD0000000000000000000000"
        refusals: list[tuple[str, str, dict[str, Any], str]] = [
            (town.alice, "startConversation", {"memberIds": []}, "ValidationError"),
            (town.alice, "startConversation", {"memberIds": [nobody]}, "NotFoundError"),
            (
                town.alice,
                "addConversationMembers",
                {"conversationId": direct, "userIds": [town.carol]},
                "ForbiddenError",
            ),
            (town.carol, "addConversationMembers", {"conversationId": group, "userIds": [town.carol]}, "NotFoundError"),
            (town.bob, "removeConversationMember", {"conversationId": group, "userId": town.alice}, "ForbiddenError"),
            (town.carol, "sendMessage", {"conversationId": group, "text": "hi"}, "NotFoundError"),
            (town.alice, "sendMessage", {"conversationId": group, "text": " "}, "ValidationError"),
            (town.alice, "sendMessage", {"conversationId": group, "text": "x" * 100_000}, "ValidationError"),
            (town.alice, "sendMessage", {"conversationId": group, "text": "", "transferId": "x"}, "NotFoundError"),
            (
                town.alice,
                "sendMessage",
                {"conversationId": group, "text": "", "paymentRequestId": "x"},
                "NotFoundError",
            ),
            (town.alice, "sendMessage", {"conversationId": group, "text": "", "clientId": ""}, "ValidationError"),
            (town.bob, "editMessage", {**message, "text": "mine"}, "ForbiddenError"),
            (town.alice, "editMessage", {**message, "text": ""}, "ValidationError"),
            (town.bob, "deleteMessage", message, "ForbiddenError"),
            (town.carol, "deleteMessage", message, "NotFoundError"),
            (town.bob, "addReaction", {**message, "emoji": "ok"}, "ValidationError"),
            (town.carol, "removeReaction", {**message, "emoji": "🎉"}, "NotFoundError"),
            (town.bob, "markConversationRead", {"conversationId": group, "seq": "2"}, "ValidationError"),
            (town.carol, "setTyping", {"conversationId": group, "typing": True}, "NotFoundError"),
            (town.alice, "markNotificationsRead", {"upTo": "nonsense"}, "NotFoundError"),
        ]

        for who, field, input, expected in refusals:
            answer = await town.act(who, field, **input)
            assert answer["__typename"] == expected, (field, answer)
            assert answer["message"]

    async def test_nobody_signed_in_may_do_any_of_it(self, town: Town) -> None:
        group = await town.talk(town.alice, town.bob, title="g")
        document = MUTATE % {"field": "sendMessage", "input": "SendMessageInput", "success": SUCCESS["sendMessage"]}

        result = await GRAPH.execute(
            document,
            variable_values={"input": {"conversationId": group, "text": "hi"}},
            context_value=town.context(None),
        )

        assert result.data == {"sendMessage": None}
        assert [getattr(error.original_error, "code", None) for error in result.errors or ()] == ["UNAUTHENTICATED"]

    async def test_the_second_of_two_mutations_sees_the_first(self, town: Town) -> None:
        group = await town.talk(town.bob, town.alice, title="g")
        for _ in range(3):
            await town.say(town.bob, group, "hi")
        mark = """%s: markConversationRead(input: {conversationId: "%s", seq: "%d"}) {
          ... on MarkConversationReadSuccess { conversation { unreadCount } }
        }"""

        answer = await town.ask(
            town.alice, "mutation {" + "".join(mark % (name, group, seq) for name, seq in (("a", 1), ("b", 3))) + "}"
        )

        assert [answer[name]["conversation"]["unreadCount"] for name in "ab"] == [2, 0]


class TestSubscriptions:
    async def test_messages_arrive_from_any_cursor_of_the_conversation(self, town: Town) -> None:
        direct = await town.talk(town.alice, town.bob)
        sent = await town.say(town.alice, direct, "1")
        await town.say(town.alice, direct, "2")
        stream = town.follow(
            town.bob,
            """subscription($id: ID!, $after: Cursor) {
              messageAdded(conversationId: $id, after: $after) { cursor message { seq text sender { handle } } }
            }""",
            id=direct,
            after=sent["cursor"],
        )

        async with listening(stream, town.hub) as listener:
            missed = await listener.hear(1)
            listener.listen()
            await town.say(town.alice, direct, "3")
            events = missed + await listener.hear(1)

        messages = [event["messageAdded"]["message"] for event in events]
        assert [message["text"] for message in messages] == ["2", "3"]
        assert messages[0]["sender"] == {"handle": "alice"}

    async def test_every_kind_of_change_arrives(self, town: Town) -> None:
        group = await town.talk(town.alice, town.bob, title="g")
        stream = town.follow(
            town.bob,
            """subscription($id: ID!) {
              conversationUpdated(conversationId: $id) {
                __typename
                ... on MessageAdded { cursor message { text } }
                ... on MessageEdited { message { text } }
                ... on ReactionsChanged { message { reactions { emoji count } } }
                ... on MessageDeleted { messageId }
                ... on MemberJoined { member { role user { handle } } }
                ... on ReadMarkerMoved { cursor member { lastReadSeq user { handle } } }
                ... on MemberLeft { user { handle } }
              }
            }""",
            id=group,
        )

        async def next_change(listener: Listener) -> Document:
            (event,) = await listener.hear(1)
            listener.listen()
            return cast(Document, event["conversationUpdated"])

        async with listening(stream, town.hub, feeds=2) as listener:
            sent = await town.say(town.alice, group, "one")
            message = {"messageId": sent["node"]["id"]}
            added = await next_change(listener)
            await town.act(town.alice, "editMessage", **message, text="two")
            edited = await next_change(listener)
            await town.act(town.bob, "addReaction", **message, emoji="🎉")
            reacted = await next_change(listener)
            await town.act(town.alice, "deleteMessage", **message)
            deleted = await next_change(listener)
            await town.act(town.alice, "addConversationMembers", conversationId=group, userIds=[town.carol])
            joined = await next_change(listener)
            await town.act(town.bob, "markConversationRead", conversationId=group, seq="1")
            read = await next_change(listener)
            await town.act(town.carol, "removeConversationMember", conversationId=group, userId=town.carol)
            left = await next_change(listener)

        assert added == {"__typename": "MessageAdded", "cursor": sent["cursor"], "message": {"text": "one"}}
        assert edited["message"] == {"text": "two"}
        assert reacted["message"] == {"reactions": [{"emoji": "🎉", "count": 1}]}
        assert deleted == {"__typename": "MessageDeleted", **message}
        assert joined["member"] == {"role": "MEMBER", "user": {"handle": "carol"}}
        assert read["member"] == {"lastReadSeq": "1", "user": {"handle": "bob"}}
        assert left == {"__typename": "MemberLeft", "user": {"handle": "carol"}}

    async def test_inbox_and_typing_arrive(self, town: Town) -> None:
        direct = await town.talk(town.alice, town.bob)
        inbox = town.follow(town.alice, "subscription { inbox { cursor message { text conversation { id } } } }")
        typing = town.follow(
            town.alice,
            "subscription($id: ID!) { typing(conversationId: $id) { conversationId typing user { handle } } }",
            id=direct,
        )

        async with listening(inbox, town.hub) as messages, listening(typing, town.hub) as typists:
            await town.act(town.bob, "setTyping", conversationId=direct, typing=True)
            await town.say(town.bob, direct, "hi")
            (message,) = await messages.hear(1)
            (typist,) = await typists.hear(1)

        assert message["inbox"]["message"] == {"text": "hi", "conversation": {"id": direct}}
        assert typist["typing"] == {"conversationId": direct, "typing": True, "user": {"handle": "bob"}}


class TestNotifications:
    LIST = """{ viewer { notifications {
      nodes { id kind createdAt readAt actor { handle } subject { __typename id ... on Post { text } } }
      pageInfo { hasNextPage }
    } } }"""

    async def test_the_subject_is_any_node(self, town: Town) -> None:
        post = await post_use_cases.create_post(town.context(town.alice), text="my post")
        await post_use_cases.like_post(town.context(town.bob), post_id=post["_id"])
        await notices.notify(
            town.context(town.carol), user_id=town.alice, kind="follow", actor_id=town.carol, subject_id=town.carol
        )

        nodes = (await town.ask(town.alice, self.LIST))["viewer"]["notifications"]["nodes"]

        assert [(node["kind"], node["actor"]["handle"], node["readAt"]) for node in nodes] == [
            ("follow", "carol", None),
            ("like", "bob", None),
        ]
        assert nodes[0]["subject"] == {"__typename": "User", "id": town.carol}
        assert nodes[1]["subject"] == {"__typename": "Post", "id": post["_id"], "text": "my post"}
        assert (await town.ask(town.bob, "query($id: ID!) { node(id: $id) { id } }", id=nodes[0]["id"]))["node"] is None

    async def test_they_arrive_and_are_marked_read(self, town: Town) -> None:
        stream = town.follow(
            town.alice, "subscription { notificationAdded { cursor notification { id kind actor { handle } } } }"
        )
        context = town.context(town.bob)

        async with listening(stream, town.hub) as listener:
            await notices.notify(context, user_id=town.alice, kind="follow", actor_id=town.bob, subject_id=town.bob)
            (event,) = await listener.hear(1)
        notification = event["notificationAdded"]["notification"]
        read = await town.act(town.alice, "markNotificationsRead", upTo=notification["id"])

        assert (notification["kind"], notification["actor"]) == ("follow", {"handle": "bob"})
        assert read == {"__typename": "MarkNotificationsReadSuccess", "unreadCount": 0}
        nodes = (await town.ask(town.alice, self.LIST))["viewer"]["notifications"]["nodes"]
        assert nodes[0]["readAt"] is not None
