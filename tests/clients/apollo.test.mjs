// Apollo Client: HTTP, automatic persisted queries, and subscriptions over a WebSocket.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, gql, HttpLink, InMemoryCache } from '@apollo/client/core/index.js';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries/index.js';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions/index.js';
import { createClient } from 'graphql-ws';
import { bearer, conversationOfAliceAndBob, INBOX, say, SEND, SOCKET_URL, URL_OF_GRAPH, WAIT_MS, WebSocket } from './town.mjs';

const HASHES = { sha256: (text) => createHash('sha256').update(text).digest('hex'), useGETForHashedQueries: true };

describe('Apollo Client', () => {
  let socket, apollo, conversationId;
  const requests = [];
  before(async () => {
    socket = createClient({ url: SOCKET_URL, webSocketImpl: WebSocket, connectionParams: bearer('bob') });
    const watched = (url, options) => {
      requests.push({ method: options.method, url: String(url) });
      return fetch(url, options);
    };
    const http = new PersistedQueryLink(HASHES).concat(
      new HttpLink({ uri: URL_OF_GRAPH, headers: bearer('bob'), fetch: watched }),
    );
    const link = ApolloLink.split(({ operationType }) => operationType === 'subscription', new GraphQLWsLink(socket), http);
    apollo = new ApolloClient({ link, cache: new InMemoryCache() });
    conversationId = await conversationOfAliceAndBob();
  });
  after(async () => {
    apollo.stop();
    await socket.dispose();
  });

  it('runs a query, and registers its document', async () => {
    const query = gql`query Mine { viewer { id user { id handle } wallets { id available { amount currency } } } }`;

    const first = await apollo.query({ query, fetchPolicy: 'network-only' });
    const methods = requests.splice(0).map(({ method }) => method);
    const second = await apollo.query({ query, fetchPolicy: 'network-only' });

    assert.equal(first.data.viewer.user.handle, 'bob');
    assert.deepEqual(second.data, first.data);
    // Unknown by GET; sent whole; then known by GET, without the document in its address.
    assert.equal(methods.length, 2);
    assert.deepEqual(requests.map(({ method }) => method), ['GET']);
    assert.ok(!requests[0].url.includes('query='));
  });

  it('runs a mutation', async () => {
    const { data } = await apollo.mutate({ mutation: gql(SEND), variables: { conversationId, text: 'from Apollo' } });

    assert.equal(data.sendMessage.node.text, 'from Apollo');
  });

  it('reads the code of an error of the document', async () => {
    const asking = apollo.query({ query: gql`{ nothing }` });

    await assert.rejects(
      asking,
      (error) => CombinedGraphQLErrors.is(error) && error.errors[0].extensions.code === 'GRAPHQL_VALIDATION_FAILED',
    );
  });

  it('listens to a subscription', async () => {
    const text = `to Apollo ${crypto.randomUUID()}`;

    const heard = await new Promise((resolve, reject) => {
      const sending = setInterval(() => void say(conversationId, text), 250);
      const late = setTimeout(() => end(() => reject(new Error('nothing was heard'))), WAIT_MS);
      const subscription = apollo.subscribe({ query: gql(INBOX) }).subscribe({
        next({ data, error }) {
          if (error) end(() => reject(error));
          if (data?.inbox.message.text === text) end(() => resolve(data.inbox.message));
        },
        error: (error) => end(() => reject(error)),
      });
      const end = (settle) => {
        clearInterval(sending);
        clearTimeout(late);
        settle();
        subscription.unsubscribe();
      };
    });

    assert.equal(heard.sender.handle, 'alice');
  });
});
