// The npm library graphql-ws: the protocol graphql-transport-ws.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { createClient } from 'graphql-ws';
import { bearer, conversationOfAliceAndBob, INBOX, latestCursor, say, SEND, SOCKET_URL, take, WebSocket } from './town.mjs';

function client(connectionParams, options = {}) {
  return createClient({ url: SOCKET_URL, webSocketImpl: WebSocket, connectionParams, retryAttempts: 0, ...options });
}

describe('graphql-ws', () => {
  let bob, conversationId;
  before(async () => {
    bob = client(bearer('bob'));
    conversationId = await conversationOfAliceAndBob();
  });
  after(() => bob.dispose());

  const subscribe = (payload) => bob.iterate(payload);

  it('runs a query', async () => {
    const { viewer } = await take(bob.iterate({ query: '{ viewer { user { handle } } }' }), () => true);

    assert.equal(viewer.user.handle, 'bob');
  });

  it('runs a mutation with variables and an operation name', async () => {
    const query = `query Other { __typename } ${SEND}`;
    const variables = { conversationId, text: 'over a socket' };

    const { sendMessage } = await take(bob.iterate({ query, variables, operationName: 'Send' }), () => true);

    assert.equal(sendMessage.node.text, 'over a socket');
  });

  it('runs a persisted document of the folder', async () => {
    const text = readFileSync(new URL('../../gateway/documents/Wallets.graphql', import.meta.url));
    const sha256Hash = createHash('sha256').update(text).digest('hex');
    const payload = { query: '', extensions: { persistedQuery: { version: 1, sha256Hash } } };

    const { viewer } = await take(bob.iterate(payload), () => true);

    assert.ok(viewer.wallets.length > 0);
  });

  it('resumes a subscription after a cursor, without hole or duplicate', async () => {
    const cursor = await latestCursor(subscribe, conversationId);
    const texts = ['one', 'two', 'three', 'four'].map((word) => `${word} ${crypto.randomUUID()}`);
    for (const text of texts.slice(0, 3)) await say(conversationId, text);

    const seen = [];
    const resumed = subscribe({ query: INBOX, variables: { after: cursor } });
    await take(resumed, ({ inbox }) => {
      seen.push(inbox.message.text);
      if (seen.length === 3) void say(conversationId, texts[3]);
      return inbox.message.text === texts[3];
    });

    // Marks that were on their way when the cursor was taken may come first.
    assert.deepEqual(seen.filter((text) => !text.startsWith('mark ')), texts);
  });

  it('connects again by itself when the connection breaks, and goes on after the last cursor', async () => {
    const sockets = [];
    class Watched extends WebSocket {
      constructor(...args) {
        super(...args);
        sockets.push(this);
      }
    }
    const stubborn = client(bearer('bob'), { webSocketImpl: Watched, retryAttempts: 5, retryWait: async () => {} });
    const cursor = await latestCursor(subscribe, conversationId);
    const texts = ['before', 'during'].map((word) => `${word} ${crypto.randomUUID()}`);
    await say(conversationId, texts[0]);

    const seen = [];
    await take(stubborn.iterate({ query: INBOX, variables: { after: cursor } }), ({ inbox }) => {
      seen.push(inbox.message.text);
      if (inbox.message.text === texts[0] && sockets.length === 1) {
        sockets[0].terminate();
        void say(conversationId, texts[1]);
      }
      return inbox.message.text === texts[1];
    });
    stubborn.dispose();

    assert.equal(sockets.length, 2);
    assert.ok(seen.includes(texts[0]) && seen.at(-1) === texts[1]);
  });

  it('is told what is wrong with an operation, and goes on', async () => {
    const wrong = take(bob.iterate({ query: '{ nothing }' }), () => true);

    await assert.rejects(wrong, (errors) => errors[0].extensions.code === 'GRAPHQL_VALIDATION_FAILED');
    await take(bob.iterate({ query: '{ __typename }' }), () => true);
  });

  it('is refused with a bad token', async () => {
    const stranger = client({ Authorization: 'Bearer nonsense' });

    await assert.rejects(take(stranger.iterate({ query: '{ __typename }' }), () => true), (close) => close.code === 4403);
    await stranger.dispose();
  });
});
