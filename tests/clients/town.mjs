// The server under test, the people of its town, and what several tests ask of them.
import assert from 'node:assert/strict';
import WebSocket from 'ws';

export const URL_OF_GRAPH = process.env.AGORA_URL;
export const SOCKET_URL = URL_OF_GRAPH.replace('http', 'ws');
export const WAIT_MS = 15_000;

const tokens = JSON.parse(process.env.AGORA_TOKENS);

/** The header, or the parameter of a socket, that says who asks. */
export function bearer(who) {
  return { Authorization: `Bearer ${tokens[who]}` };
}

/** The data of one operation, asked without any client. */
export async function ask(who, query, variables = {}) {
  const response = await fetch(URL_OF_GRAPH, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...bearer(who) },
    body: JSON.stringify({ query, variables }),
  });
  const answer = await response.json();
  assert.equal(answer.errors, undefined, JSON.stringify(answer.errors));
  return answer.data;
}

/** The id of the conversation that alice and bob have with each other. */
export async function conversationOfAliceAndBob() {
  const { user } = await ask('alice', '{ user(handle: "bob") { id } }');
  const { startConversation } = await ask(
    'alice',
    `mutation ($ids: [ID!]!) {
      startConversation(input: { memberIds: $ids }) { ... on StartConversationSuccess { conversation { id } } }
    }`,
    { ids: [user.id] },
  );
  return startConversation.conversation.id;
}

/** Sends a message as alice. */
export async function say(conversationId, text) {
  const { sendMessage } = await ask('alice', SEND, { conversationId, text });
  return sendMessage;
}

export const SEND = `mutation Send($conversationId: ID!, $text: String!) {
  sendMessage(input: { conversationId: $conversationId, text: $text }) {
    __typename
    ... on MessageSuccess { cursor node { id seq text } }
    ... on Error { code message }
  }
}`;

export const INBOX = `subscription Inbox($after: Cursor) {
  inbox(after: $after) { cursor message { text sender { handle } } }
}`;

/** The inbox's cursor as it stands: that of a message which bob receives now. */
export async function latestCursor(subscribe, conversationId) {
  const mark = `mark ${crypto.randomUUID()}`;
  const events = subscribe({ query: INBOX });
  const found = take(events, (event) => event.inbox.message.text === mark);
  // A subscription is not acknowledged, so the mark is sent until it is seen.
  const sending = setInterval(() => void say(conversationId, mark), 250);
  const event = await found.finally(() => clearInterval(sending));
  return event.inbox.cursor;
}

/** The first event that `matches`; fails after 15 seconds, and ends the iteration. */
export async function take(results, matches) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error('no such event came')), WAIT_MS).unref());
  const seen = (async () => {
    for await (const result of results) {
      assert.equal(result.errors, undefined, JSON.stringify(result.errors));
      if (matches(result.data)) return result.data;
    }
    throw new Error('the stream ended before such an event came');
  })();
  try {
    return await Promise.race([seen, late]);
  } finally {
    await results.return?.();
  }
}

/** A WebSocket of this machine's, for runtimes that have none. */
export { WebSocket };
