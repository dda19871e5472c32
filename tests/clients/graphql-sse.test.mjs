// The npm library graphql-sse: server-sent events in distinct connections.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createClient } from 'graphql-sse';
import { ask, bearer, conversationOfAliceAndBob, INBOX, latestCursor, say, take, URL_OF_GRAPH } from './town.mjs';

const EVENTS = `subscription Events($after: Cursor) {
  paymentEvents(after: $after) { cursor seq previousSeq type }
}`;


function client(who) {
  return createClient({ url: URL_OF_GRAPH, headers: () => bearer(who), retryAttempts: 0 });
}

describe('graphql-sse', () => {
  let bob, partner, conversationId;
  before(async () => {
    bob = client('bob');
    partner = client('pay-watch');
    conversationId = await conversationOfAliceAndBob();
  });
  after(() => {
    bob.dispose();
    partner.dispose();
  });

  const subscribe = (payload) => bob.iterate(payload);

  it('runs a query', async () => {
    const { viewer } = await take(bob.iterate({ query: '{ viewer { user { handle } } }' }), () => true);

    assert.equal(viewer.user.handle, 'bob');
  });

  it('hears of what is wrong with a document', async () => {
    const events = bob.iterate({ query: 'subscription { nothing }' });

    const { value } = await events.next();

    assert.equal(value.errors[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
    assert.deepEqual(await events.next(), { done: true, value: undefined });
  });

  it('is refused with a bad token', async () => {
    const stranger = createClient({ url: URL_OF_GRAPH, headers: { Authorization: 'Bearer nonsense' }, retryAttempts: 0 });

    await assert.rejects(take(stranger.iterate({ query: '{ __typename }' }), () => true), (e) => e.response.status === 401);
    stranger.dispose();
  });

  it('resumes a subscription after a cursor, without hole or duplicate', async () => {
    const cursor = await latestCursor(subscribe, conversationId);
    const texts = ['one', 'two', 'three'].map((word) => `${word} ${crypto.randomUUID()}`);
    for (const text of texts.slice(0, 2)) await say(conversationId, text);

    const seen = [];
    await take(subscribe({ query: INBOX, variables: { after: cursor } }), ({ inbox }) => {
      seen.push(inbox.message.text);
      if (seen.length === 2) void say(conversationId, texts[2]);
      return inbox.message.text === texts[2];
    });

    assert.deepEqual(seen.filter((text) => !text.startsWith('mark ')), texts);
  });

  it('shows a partner every payment event, once, in order, polled or streamed', async () => {
    const polled = [];
    for (let after = null, more = true; more; ) {
      const { paymentEvents } = await ask(
        'pay-watch',
        `query ($after: Cursor) {
          paymentEvents(first: 100, after: $after) {
            nodes { cursor seq previousSeq type }
            pageInfo { hasNextPage endCursor }
          }
        }`,
        { after },
      );
      polled.push(...paymentEvents.nodes);
      after = paymentEvents.pageInfo.endCursor;
      more = paymentEvents.pageInfo.hasNextPage;
    }
    assert.ok(polled.length >= 3, 'the demo town has payments of carol');

    const streamed = [];
    await take(partner.iterate({ query: EVENTS, variables: { after: polled[0].cursor } }), ({ paymentEvents }) => {
      streamed.push(paymentEvents);
      return paymentEvents.seq === polled.at(-1).seq;
    });

    assert.deepEqual(streamed, polled.slice(1));
    streamed.forEach((event, n) => assert.equal(event.previousSeq, polled[n].seq));
  });
});
