"""Conversations: what members may do in them, see of them and hear from them."""

from .access import by_id, conversation_of_viewer, messages_by_id
from .lists import (
    conversations,
    last_messages,
    members,
    messages,
    reactions,
    titles,
    unread_counts,
    unread_message_counts,
)
from .membership import add_members, ensure_order_conversation, mark_read, remove_member, start_conversation
from .presence import PRESENCE, presence
from .sending import (
    add_reaction,
    delete_message,
    edit_message,
    post_money_message,
    remove_reaction,
    send_message,
)
from .streams import conversation_updated, event_cursor, inbox, message_added, set_typing, typing
from .unread import unread_changed

__all__ = [
    "PRESENCE",
    "add_members",
    "add_reaction",
    "by_id",
    "conversation_of_viewer",
    "conversation_updated",
    "conversations",
    "delete_message",
    "edit_message",
    "ensure_order_conversation",
    "event_cursor",
    "inbox",
    "last_messages",
    "mark_read",
    "members",
    "message_added",
    "messages",
    "messages_by_id",
    "post_money_message",
    "presence",
    "reactions",
    "remove_member",
    "remove_reaction",
    "send_message",
    "set_typing",
    "start_conversation",
    "titles",
    "typing",
    "unread_changed",
    "unread_counts",
    "unread_message_counts",
]
