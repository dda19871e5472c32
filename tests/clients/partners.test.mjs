// What partners rely on in Node.js: the reference consumer survives kills, and the page's code verifies a webhook.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ask, bearer, URL_OF_GRAPH } from './town.mjs';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const CONSUMER = join(ROOT, 'examples', 'typescript', 'dist', 'consumer.js');
const PATIENCE_MS = 120_000;
const PAY = `mutation ($input: TransferFundsInput!) { transferFunds(input: $input) { __typename } }`;
const CREATE = `mutation ($input: CreateWebhookEndpointInput!) { createWebhookEndpoint(input: $input) {
  ... on WebhookEndpointWithSecretSuccess { secret endpoint { id } } ... on Error { message } } }`;
const DELETE = `mutation ($input: WebhookEndpointRefInput!) { deleteWebhookEndpoint(input: $input) { __typename } }`;

/** Lets so many payments happen at the merchant that the demo partner follows. */
async function happen(events) {
  for (let n = 0; n < events; n += 1) {
    const to = { handle: 'carol' };
    const input = { idempotencyKey: crypto.randomUUID(), to, amount: { amount: '0.01', currency: 'EUR' } };
    const { transferFunds } = await ask('alice', PAY, { input });
    assert.equal(transferFunds.__typename, 'TransferFundsSuccess');
  }
}

/** A port where nobody listens, and that no connection is given by chance. */
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer();
    const isFree = await new Promise((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (isFree) {
      await new Promise((resolve) => server.close(resolve));
      return port;
    }
  }
}

/** The numbers of all events, as the query has them. */
async function feed() {
  const found = [];
  let cursor = null;
  for (;;) {
    const { paymentEvents } = await ask(
      'pay-watch',
      'query ($after: Cursor) { paymentEvents(first: 100, after: $after) { nodes { seq } pageInfo { hasNextPage endCursor } } }',
      { after: cursor },
    );
    found.push(...paymentEvents.nodes.map((node) => node.seq));
    if (!paymentEvents.pageInfo.hasNextPage) return found;
    cursor = paymentEvents.pageInfo.endCursor;
  }
}

describe('the reference consumer in TypeScript', () => {
  let folder;
  const environment = { ...process.env, AGORA_URL: URL_OF_GRAPH, AGORA_KEY: bearer('pay-watch').Authorization.slice(7) };

  before(() => (folder = mkdtempSync(join(tmpdir(), 'agora-consumer-'))));
  after(() => rmSync(folder, { recursive: true, force: true }));

  function kept(state) {
    const path = join(state, 'events.ndjson');
    if (!existsSync(path)) return [];
    const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line).seq);
  }

  async function has(state, events) {
    const deadline = Date.now() + PATIENCE_MS;
    while (kept(state).length < events) {
      assert.ok(Date.now() < deadline, `${kept(state).length} of ${events} events came`);
      await sleep(10);
    }
  }

  /** Runs it until `work` is done, then kills it, whatever it is doing. */
  async function running(args, more, work) {
    const child = spawn(process.execPath, [CONSUMER, ...args], { env: { ...environment, ...more }, stdio: 'ignore' });
    const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve(signal)));
    try {
      await work();
    } finally {
      child.kill('SIGKILL');
      assert.equal(await ended, 'SIGKILL');
    }
  }

  function report(state) {
    const made = spawnSync(process.execPath, [CONSUMER, 'report', state], { encoding: 'utf8' });
    return [made.status, made.stdout.trim()];
  }

  test('follows through kills, and has every event once and in order', async () => {
    const state = join(folder, 'follow');
    let there = (await feed()).length;
    for (let round = 0; round < 3; round += 1) {
      await running(['follow', state], {}, async () => {
        const happening = happen(5);
        await has(state, there + 1 + Math.floor(Math.random() * 5));
        await sleep(Math.random() * 50);
        await happening;
      });
      there += 5;
    }
    await running(['follow', state], {}, () => has(state, there));

    assert.deepEqual(kept(state), await feed());
    assert.deepEqual(report(state), [0, `${there} events, complete`]);
  });

  test('waits where a server breaks its first connection off at once', async () => {
    let connections = 0;
    const server = createServer((socket) => {
      connections += 1;
      socket.on('error', () => {}).destroy();
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const AGORA_URL = `http://127.0.0.1:${server.address().port}/graphql`;

    // It ended by itself within a moment, for want of anything to wait for.
    await running(['follow', join(folder, 'broken')], { AGORA_URL }, async () => {
      while (connections === 0) await sleep(10);
      await sleep(1_500);
    });
    server.close();
  });

  test('receives webhooks, and reads what it missed', async () => {
    const state = join(folder, 'receive');
    const port = await freePort();
    const url = `http://127.0.0.1:${port}/`;
    const { createWebhookEndpoint: made } = await ask('pay-watch', CREATE, { input: { url } });
    assert.ok(made.secret, made.message);
    const there = (await feed()).length;
    for (let round = 1; round <= 2; round += 1) {
      await running(['receive', state, String(port)], { WEBHOOK_SECRET: made.secret }, async () => {
        await happen(3);
        await has(state, there + 3 * round);
      });
    }
    await ask('pay-watch', DELETE, { input: { endpointId: made.endpoint.id } });

    assert.deepEqual(kept(state), await feed());
    assert.deepEqual(report(state), [0, `${there + 6} events, complete`]);
  });
});

describe("the page's code for Node.js", () => {
  const secret = `whsec_${Buffer.from('a secret of a test').toString('base64')}`;
  let eventOf;

  before(async () => {
    const page = readFileSync(join(ROOT, 'docs', 'partners.md'), 'utf8');
    const [, source] = page.match(/^```js\n([\s\S]*?)^```/m);
    const folder = mkdtempSync(join(tmpdir(), 'agora-page-'));
    writeFileSync(join(folder, 'verify.mjs'), source);
    ({ eventOf } = await import(pathToFileURL(join(folder, 'verify.mjs'))));
    rmSync(folder, { recursive: true });
  });

  function headers(body, { id = 'whd_1', at = Date.now(), key = secret } = {}) {
    const timestamp = String(Math.floor(at / 1000));
    const raw = Buffer.from(key.slice('whsec_'.length), 'base64');
    const signature = createHmac('sha256', raw).update(`${id}.${timestamp}.${body}`).digest('base64');
    return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
  }

  test('verifies, also while two secrets sign', () => {
    const body = '{"type":"webhook.test"}';
    const two = headers(body);
    two['webhook-signature'] = `${headers(body, { key: 'whsec_b3RoZXI=' })['webhook-signature']} ${two['webhook-signature']}`;
    assert.deepEqual(eventOf(secret, headers(body), body), { type: 'webhook.test' });
    assert.deepEqual(eventOf(secret, two, body), { type: 'webhook.test' });
  });

  test('refuses what was changed, is old, or has no signature', () => {
    const body = '{}';
    assert.throws(() => eventOf(secret, headers(body), '{ }'));
    assert.throws(() => eventOf(secret, headers(body, { key: 'whsec_b3RoZXI=' }), body));
    assert.throws(() => eventOf(secret, headers(body, { at: Date.now() - 301_000 }), body));
    assert.throws(() => eventOf(secret, { ...headers(body), 'webhook-timestamp': 'now' }, body));
    assert.throws(() => eventOf(secret, { ...headers(body), 'webhook-signature': '' }, body));
    assert.throws(() => eventOf(secret, {}, body));
  });
});
