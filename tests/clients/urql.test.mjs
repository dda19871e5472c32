// urql: HTTP, and subscriptions over a WebSocket and over server-sent events.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-ws';
import { bearer, conversationOfAliceAndBob, INBOX, say, SEND, SOCKET_URL, URL_OF_GRAPH, WAIT_MS, WebSocket } from './town.mjs';

function urql(exchanges, options = {}) {
  const fetchOptions = { headers: bearer('bob') };
  return new Client({ url: URL_OF_GRAPH, exchanges, preferGetMethod: 'within-url-limit', fetchOptions, ...options });
}

describe('urql', () => {
  let socket, overSocket, overEvents, conversationId;
  before(async () => {
    socket = createClient({ url: SOCKET_URL, webSocketImpl: WebSocket, connectionParams: bearer('bob') });
    const forwardSubscription = (request) => ({
      subscribe: (sink) => ({ unsubscribe: socket.subscribe({ ...request, query: request.query ?? '' }, sink) }),
    });
    overSocket = urql([subscriptionExchange({ forwardSubscription }), fetchExchange]);
    // Aborting a stream makes urql leave a rejection unhandled: without the signal, it ends with the event after.
    const unabortable = (url, { signal: _, ...init }) => fetch(url, init);
    overEvents = urql([fetchExchange], { fetchSubscriptions: true, fetch: unabortable });
    conversationId = await conversationOfAliceAndBob();
  });
  after(async () => {
    await say(conversationId, 'the event after');
    await socket.dispose();
  });

  function hear(client, text) {
    return new Promise((resolve, reject) => {
      const sending = setInterval(() => void say(conversationId, text), 250);
      const late = setTimeout(() => end(() => reject(new Error('nothing was heard'))), WAIT_MS);
      const { unsubscribe } = client.subscription(INBOX, {}).subscribe(({ data, error }) => {
        if (error) end(() => reject(error));
        if (data?.inbox.message.text === text) end(() => resolve(data.inbox.message));
      });
      const end = (settle) => {
        clearInterval(sending);
        clearTimeout(late);
        settle();
        unsubscribe();
      };
    });
  }

  it('runs a query by GET', async () => {
    const { data, error } = await overSocket.query('query Mine { viewer { id user { handle } } }', {});

    assert.equal(error, undefined);
    assert.equal(data.viewer.user.handle, 'bob');
  });

  it('runs a mutation', async () => {
    const { data, error } = await overSocket.mutation(SEND, { conversationId, text: 'from urql' });

    assert.equal(error, undefined);
    assert.equal(data.sendMessage.node.text, 'from urql');
  });

  it('reads the code of an error', async () => {
    const { error } = await overSocket.query('{ nothing }', {});

    assert.equal(error.graphQLErrors[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
  });

  it('listens over a WebSocket', async () => {
    const message = await hear(overSocket, `to urql ${crypto.randomUUID()}`);

    assert.equal(message.sender.handle, 'alice');
  });

  it('listens to server-sent events', async () => {
    const message = await hear(overEvents, `to urql by events ${crypto.randomUUID()}`);

    assert.equal(message.sender.handle, 'alice');
  });
});
