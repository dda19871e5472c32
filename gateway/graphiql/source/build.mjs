// Knows how the sources become the static files that the gateway serves: hashed names, no source maps, one manifest.
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = join(here, "..", "static");
const PUBLIC_PATH = "/graphiql/static/";
const WORKERS = {
  editor: "monaco-editor/esm/vs/editor/editor.worker.js",
  json: "monaco-editor/esm/vs/language/json/json.worker.js",
  graphql: "monaco-graphql/esm/graphql.worker.js",
};
const shared = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  sourcemap: false,
  metafile: true,
  legalComments: "none",
  target: ["chrome109", "firefox115", "safari16.4"],
  outdir: out,
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "warning",
};

// GraphiQL's own style sheet holds Monaco's, and its icon font, already.
const withoutSecondMonacoStyles = {
  name: "without-second-monaco-styles",
  setup({ onLoad }) {
    onLoad({ filter: /node_modules[\\/]monaco-editor[\\/].*\.css$/ }, () => ({ contents: "", loader: "empty" }));
  },
};

// What the page needs before anybody can type: the static imports of its script and of the editor that it loads next.
const neededAtOnce = ({ outputs }, script) => {
  const needed = new Set();
  const visit = (path) => {
    if (needed.has(path)) return;
    needed.add(path);
    for (const { path: next, kind } of outputs[path].imports)
      if (kind === "import-statement" || /monaco-graphql\/esm\/(monaco-editor|lite)/.test(outputs[next]?.entryPoint)) visit(next);
  };
  const start = Object.keys(outputs).find((path) => basename(path) === script);
  visit(start);
  needed.delete(start);
  return [...needed].map((path) => basename(path)).sort();
};

const builtFrom = (result, entry) => {
  const found = Object.entries(result.metafile.outputs).find(([, output]) => output.entryPoint?.endsWith(entry));
  return basename(found[0]);
};

// The same sum is taken by the unit tests: a bundle older than its sources fails there.
const sourceSum = async () => {
  const listed = await readdir(join(here, "src"), { recursive: true, withFileTypes: true });
  const inSrc = listed.filter((entry) => entry.isFile()).map((entry) => relative(here, join(entry.parentPath, entry.name)));
  const files = ["build.mjs", "package-lock.json", "package.json", ...inSrc.map((path) => path.replaceAll("\\", "/"))].sort();
  const sum = createHash("sha256");
  for (const path of files) sum.update(path).update("\0").update(await readFile(join(here, path))).update("\0");
  return sum.digest("hex");
};

// Licences ask that their texts travel with the code: one file holds those of every package in the bundle.
const licences = async (results) => {
  const packages = new Set();
  for (const result of results)
    for (const input of Object.keys(result.metafile.inputs)) {
      const match = /^(node_modules\/.*?(?:@[^/]+\/)?[^/@]+)\//.exec(input.replace(/^.*(node_modules\/)/, "$1"));
      if (match) packages.add(input.slice(0, input.lastIndexOf("node_modules/")) + match[1]);
    }
  const texts = [];
  for (const folder of [...packages].sort()) {
    const about = JSON.parse(await readFile(join(here, folder, "package.json"), "utf8"));
    const file = (await readdir(join(here, folder))).find((name) => /^licen[cs]e/i.test(name));
    const text = file ? (await readFile(join(here, folder, file), "utf8")).trim() : `Licence: ${about.license}`;
    texts.push(`${about.name} ${about.version}\n\n${text}\n`);
  }
  const unixLines = texts.map((text) => text.replaceAll("\r\n", "\n"));
  return unixLines.join(`\n${"-".repeat(80)}\n\n`);
};

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });

const workers = {};
const results = [];
for (const [label, entry] of Object.entries(WORKERS)) {
  const result = await build({
    ...shared,
    entryPoints: { [`${label}-worker`]: entry },
    entryNames: "[name]-[hash]",
    format: "iife",
  });
  workers[label] = PUBLIC_PATH + builtFrom(result, entry);
  results.push(result);
}
const page = await build({
  ...shared,
  entryPoints: { graphiql: "src/main.tsx", favicon: "src/favicon.svg" },
  entryNames: "[name]-[hash]",
  chunkNames: "chunk-[hash]",
  format: "esm",
  splitting: true,
  jsx: "automatic",
  publicPath: PUBLIC_PATH,
  loader: { ".graphql": "text", ".svg": "copy" },
  // The old names lead to CommonJS files, whose parsers prettier does not find once they are bundled.
  alias: {
    "prettier/parser-babel": "prettier/plugins/babel",
    "prettier/parser-graphql": "prettier/plugins/graphql",
  },
  plugins: [withoutSecondMonacoStyles],
  define: { ...shared.define, WORKER_URLS: JSON.stringify(workers) },
});
results.push(page);

const names = Object.keys(page.metafile.outputs).map((path) => basename(path));
const script = builtFrom(page, "src/main.tsx");
const manifest = {
  script,
  preload: neededAtOnce(page.metafile, script),
  style: names.find((name) => /^graphiql-.*\.css$/.test(name)),
  icon: names.find((name) => /^favicon-.*\.svg$/.test(name)),
  source: await sourceSum(),
};
await writeFile(join(out, "licences.txt"), await licences(results));
await writeFile(join(out, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
