// Hive Gateway in front of the subgraphs: `hive-gateway supergraph --config-path gateway.config.mjs`.
// AGORA_SUPERGRAPH names the file that `agora supergraph` writes; the addresses of the subgraphs stand in it.

// Longer than a subgraph's own deadline, AGORA_REQUEST_DEADLINE_S, so that its own answer comes first.
const SUBGRAPH_TIMEOUT_MS = Number(process.env.AGORA_SUBGRAPH_TIMEOUT_S ?? 15) * 1000;

// The origins of browsers' pages, as AGORA_ALLOWED_ORIGINS has them for a gateway; by itself Hive lets all pages in.
const ORIGINS = (process.env.AGORA_ALLOWED_ORIGINS ?? '').split(',').map((each) => each.trim()).filter(Boolean);

// A subscription goes on for as long as its client wants: this timeout would end it, as if there were no more to come.
function timeoutOf({ executionRequest: { document } }) {
  const isSubscription = document.definitions.some(({ operation }) => operation === 'subscription');
  return isSubscription ? undefined : SUBGRAPH_TIMEOUT_MS;
}

const OUR_FAULT = 'Something went wrong on our side. Tell us the request id if it goes on.';

// Every error of a subgraph has a code; what has none of these comes of a subgraph that is down, slow or broken.
const FOREIGN_CODES = new Set([
  'DOWNSTREAM_SERVICE_ERROR',
  'GATEWAY_TIMEOUT',
  'RESPONSE_VALIDATION_FAILED',
  'TIMEOUT_ERROR',
]);
const OUR_CODE = /^[A-Z][A-Z_]+$/;

// A person's token reaches every subgraph, which checks it by itself; nothing else of a client's headers does. Over a
// WebSocket it comes in `connection_init`.
function authorizationOf({ request, context }) {
  const payload = context?.connectionParams ?? {};
  for (const part of [payload, payload.headers ?? {}]) {
    for (const [name, value] of Object.entries(part)) {
      if (name.toLowerCase() === 'authorization' && typeof value === 'string') return value;
    }
  }
  return request?.headers.get('authorization') ?? undefined;
}

function isOurs({ extensions }) {
  const code = extensions?.code;
  return typeof code === 'string' && OUR_CODE.test(code) && !FOREIGN_CODES.has(code) && !extensions.request;
}

// Clients get the codes of the subgraphs as they are, and learn nothing of addresses and services.
function maskError(error) {
  // Variables that do not fit are said by Hive itself, without a code.
  if (error.nodes?.[0]?.kind === 'VariableDefinition' && error.extensions?.code === undefined) {
    return Object.assign(error, { extensions: { code: 'INVALID_INPUT' } });
  }
  // In place: with another object Hive 2.15 brings no further event of a subscription.
  if (!isOurs(error)) Object.assign(error, { message: OUR_FAULT, extensions: { code: 'INTERNAL' } });
  return error;
}

export const gatewayConfig = {
  supergraph: process.env.AGORA_SUPERGRAPH ?? 'supergraph.graphql',
  upstreamTimeout: timeoutOf,
  maskedErrors: { maskError },
  subgraphErrors: false,
  cors: ORIGINS.length > 0 && { origin: ORIGINS },
  plugins: () => [{ onResponse: ({ response }) => response.headers.set('cache-control', 'no-store') }],
  propagateHeaders: {
    fromClientToSubgraphs: (given) => {
      const authorization = authorizationOf(given);
      return authorization === undefined ? {} : { authorization };
    },
  },
};
