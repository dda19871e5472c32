// Apollo Gateway in front of the subgraphs, for queries and mutations: `node apollo.mjs SUPERGRAPH PORT`.
import { readFileSync } from 'node:fs';
import { ApolloGateway, RemoteGraphQLDataSource } from '@apollo/gateway';
import { ApolloServer } from '@apollo/server';
import { startStandaloneServer } from '@apollo/server/standalone';

// Longer than a subgraph's own deadline, AGORA_REQUEST_DEADLINE_S, so that its own answer comes first.
const SUBGRAPH_TIMEOUT_MS = Number(process.env.AGORA_SUBGRAPH_TIMEOUT_S ?? 15) * 1000;
// What Apollo Server itself says of variables that do not fit.
const OUR_CODES = { BAD_USER_INPUT: 'INVALID_INPUT' };
const OUR_FAULT = 'Something went wrong on our side. Tell us the request id if it goes on.';
const [supergraph, port] = process.argv.slice(2);

// A person's token reaches every subgraph, which checks it by itself; nothing else of a client's headers does.
class Subgraph extends RemoteGraphQLDataSource {
  willSendRequest({ request, context }) {
    if (context.authorization !== undefined) request.http.headers.set('authorization', context.authorization);
  }
}

const withTimeout = (url, options) => fetch(url, { ...options, signal: AbortSignal.timeout(SUBGRAPH_TIMEOUT_MS) });

// Clients get the codes of the subgraphs as they are, and learn nothing of addresses and services.
function masked({ message, path, extensions: { code, ...extensions } }) {
  if (code !== 'INTERNAL_SERVER_ERROR') {
    const { serviceName, ...ours } = extensions;
    return { message, path, extensions: { code: OUR_CODES[code] ?? code, ...ours } };
  }
  return { message: OUR_FAULT, path, extensions: { code: 'INTERNAL' } };
}

const server = new ApolloServer({
  gateway: new ApolloGateway({
    supergraphSdl: readFileSync(supergraph, 'utf8'),
    buildService: ({ url }) => new Subgraph({ url, fetcher: withTimeout }),
  }),
  introspection: true,
  formatError: masked,
  includeStacktraceInErrorResponses: false,
});
const { url } = await startStandaloneServer(server, {
  listen: { host: '127.0.0.1', port: Number(port) },
  context: async ({ req }) => ({ authorization: req.headers.authorization }),
});
console.log(`ready at ${url}`);
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => server.stop().then(() => process.exit(0)));
