// Starts a real server with a fresh town, runs every *.test.mjs against it, and ends with `N passed, N failed`.
// An argument is how the names of the files to run begin.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 30_000;
const TEST_TIMEOUT_MS = 180_000;
const PEOPLE = ['alice', 'bob', 'carol', 'pay-watch'];

const here = dirname(fileURLToPath(import.meta.url));
const agora = join(here, '..', '..', '.venv', 'bin', 'agora');

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function untilReady(url, server) {
  const deadline = Date.now() + START_TIMEOUT_MS;
  let missing = null;
  server.once('error', (error) => (missing = error));
  for (;;) {
    if (missing) throw new Error(`${agora} cannot be run (${missing.code}): make setup-dev makes it`);
    if (server.exitCode !== null) throw new Error(`agora dev ended with ${server.exitCode}`);
    if (Date.now() > deadline) throw new Error(`agora dev was not ready after ${START_TIMEOUT_MS / 1000} s`);
    const answer = await fetch(new URL('/readyz', url)).catch(() => null);
    if (answer?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function tokens(environment) {
  return Object.fromEntries(
    PEOPLE.map((who) => {
      const made = spawnSync(agora, ['token', who], { env: environment, encoding: 'utf8' });
      if (made.status !== 0) throw new Error(`agora token ${who}: ${made.stderr}`);
      return [who, made.stdout.trim()];
    }),
  );
}

async function stop(server) {
  if (server.pid === undefined || server.exitCode !== null) return;
  const ended = new Promise((resolve) => server.once('exit', resolve));
  const killing = setTimeout(() => server.kill('SIGKILL'), STOP_TIMEOUT_MS);
  server.kill('SIGTERM');
  await ended;
  clearTimeout(killing);
}

async function test(files, environment) {
  const counts = { passed: 0, failed: 0 };
  Object.assign(process.env, environment);
  const stream = run({ files, concurrency: 1, timeout: TEST_TIMEOUT_MS });
  // A suite is counted by its tests, and a file by what is in it; one that cannot be loaded is a failure of its own.
  const counted = ({ details, name }) => details?.type !== 'suite' && !(files.includes(name) && !details?.error);
  stream.on('test:pass', (event) => (counts.passed += counted(event) ? 1 : 0));
  stream.on('test:fail', (event) => (counts.failed += counted(event) && !isSummary(event) ? 1 : 0));
  await new Promise((resolve, reject) => {
    stream.compose(new spec()).on('end', resolve).on('error', reject).pipe(process.stdout, { end: false });
  });
  return counts;
}

function isSummary({ details }) {
  return details?.error?.failureType === 'subtestsFailed';
}

async function main() {
  const url = `http://127.0.0.1:${await freePort()}/graphql`;
  const folder = mkdtempSync(join(tmpdir(), 'agora-clients-'));
  const environment = { ...process.env, AGORA_PORT: new URL(url).port, AGORA_DATA_DIR: folder };
  delete environment.MONGODB_URI;
  const server = spawn(agora, ['dev'], { env: environment, stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    await untilReady(url, server);
    const files = readdirSync(here).filter((name) => name.endsWith('.test.mjs') && name.startsWith(process.argv[2] ?? '')).sort().map((name) => join(here, name));
    const counts = await test(files, { AGORA_URL: url, AGORA_TOKENS: JSON.stringify(tokens(environment)), AGORA_DATA_DIR: folder });
    console.log(`${counts.passed} passed, ${counts.failed} failed`);
    return counts.failed === 0 && counts.passed > 0 ? 0 : 1;
  } finally {
    await stop(server);
    rmSync(folder, { recursive: true, force: true });
  }
}

process.exitCode = await main().catch((error) => {
  console.error(`agora: ${error.message}`);
  return 1;
});
