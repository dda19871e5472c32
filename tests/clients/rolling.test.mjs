// Two gateway processes behind a plain TCP proxy: each is stopped and started anew while npm clients listen.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ApolloClient, gql, InMemoryCache } from '@apollo/client/core/index.js';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions/index.js';
import { Client, subscriptionExchange } from '@urql/core';
import { createClient as createEventsClient } from 'graphql-sse';
import { createClient } from 'graphql-ws';
import { bearer, conversationOfAliceAndBob, say, WebSocket } from './town.mjs';

const MESSAGES = 60;
const WAIT_MS = 120_000;
const AGORA = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '.venv', 'bin', 'agora');
const ADDED = `subscription Added($id: ID!, $after: Cursor) {
  messageAdded(conversationId: $id, after: $after) { cursor message { seq text } }
}`;

// Apollo's link compares the state of a socket that failed with that of the global class, which Node 20 lacks.
globalThis.WebSocket ??= WebSocket;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A gateway process on the town's database, once it serves. */
async function start() {
  const folder = process.env.AGORA_DATA_DIR;
  const port = readFileSync(join(folder, 'port'), 'utf8').trim();
  const MONGODB_URI = `mongodb://127.0.0.1:${port}/?directConnection=true`;
  const env = { ...process.env, MONGODB_URI, AGORA_ENVIRONMENT: 'development', AGORA_DRAIN_S: '2' };
  for (const name of ['AGORA_PORT', 'AGORA_URL', 'AGORA_TOKENS']) delete env[name];
  const child = spawn(AGORA, ['serve', '--port', '0'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  for await (const line of createInterface({ input: child.stdout })) {
    const found = /serving the graph at http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
    if (found) {
      child.stdout.resume();
      return { child, port: Number(found[1]) };
    }
  }
  throw new Error('a gateway ended before it served');
}

/** Stops a gateway as an operator does; its exit code. */
function stop({ child }) {
  if (child.exitCode !== null) return child.exitCode;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  return ended;
}

/** Gives each connection to the next gateway that takes it, and knows nothing of HTTP. */
function proxyTo(gateways) {
  let turn = 0;
  const open = new Set();
  const server = net.createServer((here) => {
    const offer = (left) => {
      if (left === 0 || gateways.length === 0) return here.destroy();
      const there = net.connect(gateways[turn++ % gateways.length].port, '127.0.0.1');
      there.once('error', () => offer(left - 1));
      there.once('connect', () => {
        there.removeAllListeners('error');
        there.on('error', () => here.destroy());
        here.on('close', () => there.destroy());
        there.on('close', () => here.destroy());
        here.pipe(there).pipe(here);
      });
    };
    open.add(here);
    here.on('error', () => here.destroy()).on('close', () => open.delete(here));
    offer(gateways.length);
  });
  const end = () => {
    for (const socket of open) socket.destroy();
    server.close();
  };
  return { server, end };
}

/** What one client hears of messages with these texts; `listen` is called again, with the last cursor, when it ends. */
async function hearAll(listen, after, isOurs) {
  const heard = { texts: [], listens: 0 };
  const deadline = Date.now() + WAIT_MS;
  while (heard.texts.length < MESSAGES && Date.now() < deadline) {
    heard.listens += 1;
    await new Promise((resolve) => {
      const unsubscribe = listen(after, (data) => {
        after = data.messageAdded.cursor;
        if (isOurs(data.messageAdded.message.text)) heard.texts.push(data.messageAdded.message.text);
        if (heard.texts.length >= MESSAGES) end();
      }, () => end());
      const late = setTimeout(() => end(), deadline - Date.now());
      const end = () => {
        clearTimeout(late);
        resolve();
        queueMicrotask(() => unsubscribe());
      };
    });
    await pause(50);
  }
  return heard;
}

describe('a rolling restart of two gateways', () => {
  const gateways = [];
  let proxy, url;
  before(async () => {
    gateways.push(...(await Promise.all([start(), start()])));
    proxy = proxyTo(gateways);
    await new Promise((resolve) => proxy.server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${proxy.server.address().port}/graphql`;
  });
  after(async () => {
    proxy?.end();
    await Promise.all(gateways.map(stop));
  });

  it('brings every client that goes on after its last cursor each message once, in order', async () => {
    const id = await conversationOfAliceAndBob();
    const { cursor } = await say(id, 'the last before');
    const mark = crypto.randomUUID();
    const texts = Array.from({ length: MESSAGES }, (_, n) => `${n + 1} ${mark}`);
    const socket = () =>
      createClient({
        url: url.replace('http', 'ws'), webSocketImpl: WebSocket, connectionParams: bearer('bob'), retryAttempts: 0,
      });
    const sockets = [socket(), socket(), socket()];
    const apollo = new ApolloClient({ link: new GraphQLWsLink(sockets[1]), cache: new InMemoryCache() });
    const forwardSubscription = (request) => ({
      subscribe: (sink) => ({ unsubscribe: sockets[2].subscribe({ ...request, query: request.query ?? '' }, sink) }),
    });
    const urql = new Client({ url, exchanges: [subscriptionExchange({ forwardSubscription })], preferGetMethod: false });
    const events = createEventsClient({ url, headers: () => bearer('bob'), retryAttempts: 0 });
    const sink = (next, end) => ({
      next: ({ data, errors }) => (errors ? end() : next(data)), error: end, complete: end,
    });
    const listeners = {
      'graphql-ws': (after, next, end) => sockets[0].subscribe({ query: ADDED, variables: { id, after } }, sink(next, end)),
      'graphql-sse': (after, next, end) => events.subscribe({ query: ADDED, variables: { id, after } }, sink(next, end)),
      'Apollo Client': (after, next, end) => {
        const heard = apollo.subscribe({ query: gql(ADDED), variables: { id, after } }).subscribe({
          next: ({ data, error }) => (error ? end() : next(data)), error: end, complete: end,
        });
        return () => heard.unsubscribe();
      },
      urql: (after, next, end) => {
        const heard = urql.subscription(ADDED, { id, after }).subscribe(({ data, error }) => (error ? end() : next(data)));
        return () => heard.unsubscribe();
      },
    };
    const hearing = Object.entries(listeners).map(async ([name, listen]) => [
      name, await hearAll(listen, cursor, (text) => text.endsWith(mark)),
    ]);

    const exits = [];
    const rolling = (async () => {
      for (const n of [0, 1]) {
        exits.push(await stop(gateways[n]));
        gateways[n] = await start();
      }
    })();
    let isRolled = false;
    void rolling.finally(() => (isRolled = true)).catch(() => {});
    // Messages are sent all the while; the last one once both gateways are new.
    for (const [n, text] of texts.entries()) {
      if (n === MESSAGES - 1) await rolling;
      await say(id, text);
      if (!isRolled) await pause(100);
    }
    const heard = await Promise.all(hearing);
    apollo.stop();
    events.dispose();
    await Promise.all(sockets.map((each) => each.dispose()));

    assert.deepEqual(exits, [0, 0]);
    for (const [name, { texts: seen, listens }] of heard) {
      assert.deepEqual(seen, texts, name);
      assert.ok(listens >= 2, `${name} was never interrupted`);
    }
  });
});
