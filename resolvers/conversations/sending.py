"""What members say: sending, editing, deleting, reacting."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from datastores import conversations as store
from datastores.commit import CommitLoop, CommitLoops
from datastores.conversations import SendMessage, WrittenMessage
from datastores.errors import NotFoundError, ValidationError
from datastores.ids import new_id
from datastores.mongo import Database
from resolvers.context import Context
from resolvers.media import checked_media
from resolvers.texts import client_id as checked_client_id
from resolvers.texts import trimmed

from .access import check_id, conversation_of_viewer
from .money import check_attachable

MAX_TEXT: Final = 10_000
MAX_EMOJI_LENGTH: Final = 32
LOOP: Final = "conversations"
_EMOJI_STYLE: Final = "\ufe0f"
_JOINERS: Final = frozenset("\u200d\ufe0e\ufe0f\u20e3")
_SYMBOLS: Final = frozenset({"So", "Sm", "Sk"})
_FIRST_PICTOGRAPH: Final = "\U0001f000"
_LAST_PICTOGRAPH: Final = "\U0001faff"
_TAGS: Final = ("\U000e0020", "\U000e007f")


async def send_message(
    ctx: Context,
    *,
    conversation_id: str,
    text: str,
    client_id: str | None = None,
    reply_to_id: str | None = None,
    media: Sequence[dict[str, Any]] = (),
    transfer_id: str | None = None,
    payment_request_id: str | None = None,
) -> WrittenMessage:
    """The viewer's message; the same `client_id` from them in this conversation is the message that is there.

    The text has at most 10,000 characters and may be empty where there are media or money. A transfer or a payment
    request may be attached by its sender or recipient, requester or payer; its members then see its main facts.
    Raises ValidationError for an unacceptable input, NotFoundError for a conversation that the viewer is no member of,
    a message to reply to that is not in it, or money that is not the viewer's.
    """
    viewer_id = ctx.viewer.person()
    text = trimmed(text, "text", most=MAX_TEXT, least=0)
    checked = checked_media(media, "media")
    if transfer_id is not None and payment_request_id is not None:
        raise ValidationError("Attach a transfer or a payment request, not both", "paymentRequestId")
    if not text and not checked and transfer_id is None and payment_request_id is None:
        raise ValidationError("The text is empty: only media or money may go without words", "text")
    client_id = checked_client_id(client_id, "clientId")
    if reply_to_id is not None:
        check_id("msg", reply_to_id, "message to reply to")
    conversation = await conversation_of_viewer(ctx, conversation_id)
    await check_attachable(ctx, transfer_id=transfer_id, payment_request_id=payment_request_id)
    id = new_id("msg") if client_id is None else store.client_message_id(conversation_id, viewer_id, client_id)
    act = SendMessage(
        id,
        conversation_id,
        viewer_id,
        text,
        client_id=client_id,
        reply_to_id=reply_to_id,
        media=checked,
        transfer_id=transfer_id,
        payment_request_id=payment_request_id,
    )
    return await _send(ctx.commits[LOOP], act, len(conversation["member_ids"]))


async def post_money_message(
    database: Database,
    commits: CommitLoops,
    *,
    conversation_id: str,
    sender_id: str,
    text: str,
    transfer_id: str | None = None,
    payment_request_id: str | None = None,
) -> WrittenMessage:
    """The one message that tells a conversation of a transfer or a payment request made in it, however often called.

    For the use cases and the sweeper of money, after the money has moved. Raises NotFoundError where the sender is no
    member (any more), and what `CommitLoop.submit` raises; to be called again then.
    """
    subject_id = transfer_id or payment_request_id
    if subject_id is None or (transfer_id and payment_request_id):
        raise TypeError("exactly one of transfer_id and payment_request_id")
    (conversation,) = await store.by_ids(database, [conversation_id])
    if conversation is None:
        raise NotFoundError("There is no such conversation")
    act = SendMessage(
        store.money_message_id(conversation_id, subject_id),
        conversation_id,
        sender_id,
        text,
        transfer_id=transfer_id,
        payment_request_id=payment_request_id,
    )
    return await _send(commits[LOOP], act, len(conversation["member_ids"]))


async def edit_message(ctx: Context, *, message_id: str, text: str) -> WrittenMessage:
    """The viewer's message with another text; only its sender may.

    Raises ValidationError, NotFoundError, or ForbiddenError for another's message or a deleted one.
    """
    viewer_id = ctx.viewer.person()
    text = trimmed(text, "text", most=MAX_TEXT, least=0)
    check_id("msg", message_id, "message")
    return await ctx.commits[LOOP].submit(store.EditMessage(message_id, viewer_id, text), weight=3)


async def delete_message(ctx: Context, *, message_id: str) -> WrittenMessage:
    """The message without all that it said; by its sender, or by an owner or admin of the group.

    Deleting it again changes nothing. Raises NotFoundError or ForbiddenError.
    """
    viewer_id = ctx.viewer.person()
    check_id("msg", message_id, "message")
    return await ctx.commits[LOOP].submit(store.DeleteMessage(message_id, viewer_id), weight=3)


async def add_reaction(ctx: Context, *, message_id: str, emoji: str) -> WrittenMessage:
    """The message with the viewer's reaction; reacting again with the same emoji changes nothing.

    A message takes at most 50 different emoji. Raises ValidationError, NotFoundError, or ForbiddenError for a deleted
    message.
    """
    return await _react(ctx, message_id, emoji, present=True)


async def remove_reaction(ctx: Context, *, message_id: str, emoji: str) -> WrittenMessage:
    """The message without the viewer's reaction, if it was there; raises as `add_reaction` does."""
    return await _react(ctx, message_id, emoji, present=False)


async def _react(ctx: Context, message_id: str, emoji: str, *, present: bool) -> WrittenMessage:
    viewer_id = ctx.viewer.person()
    if not is_emoji(emoji):
        raise ValidationError(f"Pass one emoji, of at most {MAX_EMOJI_LENGTH} code points", "emoji")
    check_id("msg", message_id, "message")
    return await ctx.commits[LOOP].submit(store.React(message_id, viewer_id, emoji, present), weight=4)


async def _send(loop: CommitLoop, act: SendMessage, members: int) -> WrittenMessage:
    # A message is a row in the inbox of every member, and those rows are what bounds a batch.
    return await loop.submit(act, weight=members + 2)


def is_emoji(text: str) -> bool:
    """Whether this is made of symbols as emoji are: pictographs, joined or coloured, flags, keycaps; no plain text.

    Lenient on purpose, so that emoji newer than this program's Unicode tables pass.
    """
    if not 0 < len(text) <= MAX_EMOJI_LENGTH:
        return False
    bases = [c for c in text if c not in _JOINERS and not _TAGS[0] <= c <= _TAGS[1]]
    if len(bases) == 1 and bases[0].isprintable() and not bases[0].isspace() and _EMOJI_STYLE in text:
        return True
    return bool(bases) and all(
        unicodedata.category(c) in _SYMBOLS or _FIRST_PICTOGRAPH <= c <= _LAST_PICTOGRAPH for c in bases
    )
