// Composes the SDL files of a folder, one a subgraph, into a supergraph: `node compose.mjs FOLDER URL`, where NAME in URL
// is the subgraph's. Prints {supergraph, composers: [{name, version, errors, hints}]} as JSON; every composer that is
// installed must be content, the first one's supergraph is taken.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { composeServices as composeAsApollo } from '@apollo/composition';
import { composeServices as composeAsGuild } from '@theguild/federation-composition';
import { parse } from 'graphql';

const PACKAGES = join(import.meta.dirname, 'node_modules');
const GRAFBASE = '@grafbase/cli-x86_64-unknown-linux-musl';
const COMPOSE_TIMEOUT_MS = 60_000;

const [folder, url] = process.argv.slice(2);
const subgraphs = readdirSync(folder)
  .filter((file) => file.endsWith('.graphql'))
  .sort()
  .map((file) => {
    const name = basename(file, '.graphql');
    const sdl = readFileSync(join(folder, file), 'utf8');
    return { name, url: url.replace('NAME', name), sdl, typeDefs: parse(sdl), file: resolve(folder, file) };
  });

function version(name) {
  return JSON.parse(readFileSync(join(PACKAGES, name, 'package.json'), 'utf8')).version;
}

function guild() {
  const name = '@theguild/federation-composition';
  const { errors, supergraphSdl } = composeAsGuild(subgraphs);
  const about = { name, version: version(name), errors: (errors ?? []).map((error) => error.message), hints: [] };
  return { about, supergraph: supergraphSdl ?? null };
}

function apollo() {
  const name = '@apollo/composition';
  const { errors, hints } = composeAsApollo(subgraphs);
  return {
    name,
    version: version(name),
    errors: (errors ?? []).map((error) => error.message),
    hints: (hints ?? []).map((hint) => `${hint.definition.code}: ${hint.message}`),
  };
}

function grafbase() {
  const program = join(PACKAGES, GRAFBASE, 'grafbase');
  const here = mkdtempSync(join(tmpdir(), 'agora-compose-'));
  try {
    const entries = subgraphs.map(
      ({ name, url, file }) => `[subgraphs.${name}]\nurl = ${JSON.stringify(url)}\nschema_path = ${JSON.stringify(file)}\n`,
    );
    writeFileSync(join(here, 'grafbase.toml'), entries.join('\n'));
    const command = ['compose', '--config', join(here, 'grafbase.toml')];
    const ran = spawnSync(program, command, { cwd: here, encoding: 'utf8', timeout: COMPOSE_TIMEOUT_MS });
    const said = (ran.stderr || String(ran.error ?? '')).trim();
    const isComposed = ran.status === 0 && ran.stdout.includes('@join__graph');
    const errors = isComposed ? [] : [said || 'no supergraph came of it'];
    return { name: 'grafbase', version: version(GRAFBASE), errors, hints: isComposed && said ? [said] : [] };
  } finally {
    rmSync(here, { recursive: true });
  }
}

const first = guild();
const composers = [first.about, apollo()];
if (existsSync(join(PACKAGES, GRAFBASE, 'grafbase'))) composers.push(grafbase());
process.stdout.write(JSON.stringify({ supergraph: first.supergraph, composers }));
