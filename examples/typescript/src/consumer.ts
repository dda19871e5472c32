/**
 * A consumer of payment events that may be killed at any moment and ends with every event, once and in order.
 *
 *     node dist/consumer.js follow  DIR          by subscription, for ever
 *     node dist/consumer.js receive DIR PORT     by webhooks, for ever; $WEBHOOK_SECRET verifies them
 *     node dist/consumer.js report  DIR          what it has, and whether anything is missing
 *
 * $AGORA_URL is the graph, $AGORA_KEY the application's key. Whatever brings an event, three rules decide: one that is not
 * past the last `seq` is there already; one whose `previousSeq` is at most the last `seq` follows it; any other means that
 * something was missed, and the feed is read on from the last cursor, which never expires.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, truncateSync, writeSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'graphql-ws';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import WebSocket from 'ws';

interface PaymentEvent {
  id: string;
  type: string;
  seq: string;
  previousSeq: string | null;
  cursor: string;
  createdAt: string;
  eventAmount: { amount: string; currency: string; minorUnits: string } | null;
  transfer: { id: string } | null;
  order: { id: string } | null;
}

interface Page {
  nodes: PaymentEvent[];
  pageInfo: { hasNextPage: boolean };
}

const FIELDS = `id type seq previousSeq cursor createdAt eventAmount { amount currency minorUnits }
  transfer { id } order { id }`;
const PAGE = `query ($after: Cursor) {
  paymentEvents(first: 100, after: $after) { nodes { ${FIELDS} } pageInfo { hasNextPage } } }`;
const LIVE = `subscription ($after: Cursor) { paymentEvents(after: $after) { ${FIELDS} } }`;
const MAX_BODY_BYTES = 64 * 1024;
const FIRST_LOOK_MS = 500;
const MAX_PAUSE_MS = 5_000;
const ANSWER_TIMEOUT_MS = 10_000;

class Missed extends Error {}

/** What was done, and up to where, on the disk: numbers are compared as BigInt, since `seq` has 64 bits. */
class Journal {
  cursor: string | null = null;
  last = 0n;
  private readonly events: string;
  private readonly place: string;

  constructor(folder: string) {
    mkdirSync(folder, { recursive: true });
    this.events = join(folder, 'events.ndjson');
    this.place = join(folder, 'place.json');
    if (existsSync(this.place)) {
      const place = JSON.parse(readFileSync(this.place, 'utf8')) as { seq: string; cursor: string };
      this.cursor = place.cursor;
      this.last = BigInt(place.seq);
    }
    this.recover();
  }

  /** Does the work of an event that follows the last one; false for one that is there. Throws Missed. */
  accept(event: PaymentEvent): boolean {
    const seq = BigInt(event.seq);
    if (seq <= this.last) return false;
    if (event.previousSeq !== null && BigInt(event.previousSeq) > this.last) {
      throw new Missed(`${event.previousSeq} came before ${event.seq}, and the last here is ${this.last}`);
    }
    // One line an event stands for your work; it is on the disk before the place is.
    write(this.events, 'a', `${JSON.stringify(event)}\n`);
    this.keep(event);
    return true;
  }

  /** How many events there are, and what is wrong with them. */
  report(): { count: number; wrong: string[] } {
    const wrong: string[] = [];
    let last = 0n;
    const lines = this.lines();
    for (const event of lines) {
      if (BigInt(event.seq) <= last) wrong.push(`${event.seq} comes after ${last}`);
      if (event.previousSeq !== null && BigInt(event.previousSeq) > last) {
        wrong.push(`${event.previousSeq} is missing before ${event.seq}`);
      }
      last = BigInt(event.seq);
    }
    return { count: lines.length, wrong };
  }

  private keep(event: PaymentEvent): void {
    const draft = `${this.place}.draft`;
    write(draft, 'w', JSON.stringify({ seq: event.seq, cursor: event.cursor }));
    renameSync(draft, this.place);
    this.last = BigInt(event.seq);
    this.cursor = event.cursor;
  }

  /** Cuts off a line that was half written, and takes up the place from the last whole one. */
  private recover(): void {
    if (!existsSync(this.events)) return;
    const raw = readFileSync(this.events);
    const whole = raw.lastIndexOf('\n') + 1;
    if (whole < raw.length) truncateSync(this.events, whole);
    for (const event of this.lines()) if (BigInt(event.seq) > this.last) this.keep(event);
  }

  private lines(): PaymentEvent[] {
    if (!existsSync(this.events)) return [];
    const text = readFileSync(this.events, 'utf8').trimEnd();
    return text === '' ? [] : text.split('\n').map((line) => JSON.parse(line) as PaymentEvent);
  }
}

function write(path: string, flags: 'a' | 'w', text: string): void {
  const file = openSync(path, flags);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** The application's feed, read by query and by subscription. */
class Feed {
  constructor(
    private readonly url: string,
    private readonly headers: Record<string, string>,
  ) {}

  /** Takes everything past the place. */
  async catchUp(journal: Journal): Promise<void> {
    for (;;) {
      const page = await this.page(journal.cursor);
      for (const event of page.nodes) journal.accept(event);
      if (!page.pageInfo.hasNextPage) return;
    }
  }

  private async page(after: string | null): Promise<Page> {
    // A timer of our own, since that of AbortSignal.timeout does not keep the process running: where a server ends the very
    // first connection at once, fetch never settles, and Node.js would exit for want of anything to wait for.
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error('no answer in time')), ANSWER_TIMEOUT_MS);
    try {
      const response = await fetch(this.url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...this.headers },
        body: JSON.stringify({ query: PAGE, variables: { after } }),
        signal: late.signal,
      });
      const answer = (await response.json()) as { data?: { paymentEvents: Page | null }; errors?: { message: string }[] };
      if (!answer.data?.paymentEvents) throw new Error(answer.errors?.[0]?.message ?? `status ${response.status}`);
      return answer.data.paymentEvents;
    } finally {
      clearTimeout(timer);
    }
  }

  /** What comes past the cursor, until the connection ends: reconnecting is the caller's, who knows the place. */
  async *live(cursor: string): AsyncGenerator<PaymentEvent> {
    const client = createClient({
      url: this.url.replace('http', 'ws'),
      webSocketImpl: WebSocket,
      connectionParams: this.headers,
      retryAttempts: 0,
    });
    try {
      const events = client.iterate<{ paymentEvents: PaymentEvent }>({ query: LIVE, variables: { after: cursor } });
      for await (const result of events) {
        if (!result.data) throw new Error(result.errors?.[0]?.message ?? 'no data');
        yield result.data.paymentEvents;
      }
    } finally {
      await client.dispose();
    }
  }
}

async function follow(feed: Feed, journal: Journal): Promise<never> {
  let pause = 100;
  for (;;) {
    try {
      await feed.catchUp(journal);
      if (journal.cursor === null) {
        // There is no place yet to follow from: the first event makes one.
        await sleep(FIRST_LOOK_MS);
        continue;
      }
      for await (const event of feed.live(journal.cursor)) {
        pause = 100;
        if (journal.accept(event)) console.log(lineOf(event));
      }
    } catch (error) {
      console.error(`broken off: ${error instanceof Error ? error.message : JSON.stringify(error)}`);
    }
    await sleep(pause);
    pause = Math.min(2 * pause, MAX_PAUSE_MS);
  }
}

/** Takes webhooks at http://127.0.0.1:PORT/ for ever, one at a time. */
function receive(feed: Feed, journal: Journal, port: number, secret: string): void {
  const verifier = new Webhook(secret);
  let turn: Promise<unknown> = Promise.resolve();

  async function answer(headers: Record<string, string>, body: string): Promise<number> {
    let payload: { data: PaymentEvent | { seq?: undefined } };
    try {
      payload = verifier.verify(body, headers) as typeof payload;
    } catch (error) {
      if (error instanceof WebhookVerificationError) return 401;
      throw error;
    }
    const event = payload.data;
    if (event.seq === undefined) return 204;
    try {
      journal.accept(event);
    } catch (error) {
      if (!(error instanceof Missed)) throw error;
      await feed.catchUp(journal);
      journal.accept(event);
    }
    console.log(lineOf(event));
    return 204;
  }

  const server = createServer((request, response) => {
    turn = turn
      .then(async () => answer(request.headers as Record<string, string>, await bodyOf(request)))
      // Not kept, so not taken: it comes again.
      .catch(() => 503)
      .then((status) => response.writeHead(status as number).end());
  });
  server.listen(port, '127.0.0.1', () => {
    const address = server.address();
    if (address !== null && typeof address === 'object') console.log(`receiving at http://127.0.0.1:${address.port}/`);
  });
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY_BYTES) throw new Error('too long');
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function lineOf(event: PaymentEvent): string {
  const amount = event.eventAmount === null ? '' : ` ${event.eventAmount.amount} ${event.eventAmount.currency}`;
  return `${event.seq} ${event.type}${amount}`;
}

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

const [command, folder, port = '9001'] = process.argv.slice(2);
if (folder === undefined || !['follow', 'receive', 'report'].includes(command ?? '')) {
  console.error('usage: consumer.js follow|receive|report DIR [PORT]');
  process.exit(2);
}
const journal = new Journal(folder);
if (command === 'report') {
  const { count, wrong } = journal.report();
  console.log(`${count} events, ${wrong.length === 0 ? 'complete' : wrong.join('; ')}`);
  process.exit(wrong.length === 0 ? 0 : 1);
}
const feed = new Feed(setting('AGORA_URL'), { Authorization: `Bearer ${setting('AGORA_KEY')}` });
if (command === 'follow') await follow(feed, journal);
else receive(feed, journal, Number(port), setting('WEBHOOK_SECRET'));
