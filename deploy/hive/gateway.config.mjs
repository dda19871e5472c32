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

// As the subgraphs count them (gateway/execution/limits.py). They bound what a document may ask for, each its own part of it;
// a router plans the whole before any of them sees it, and a kilobyte of fragments that spread each other is a billion fields.
const MAX_TOKENS = 5_000;
const MAX_FIELDS = 5_000;

// How many fields a document selects, with every fragment as often as it is spread; each is counted once.
function fieldsOf(document) {
  const fragments = new Map();
  for (const each of document.definitions) if (each.kind === 'FragmentDefinition') fragments.set(each.name.value, each);
  const counted = new Map();
  const spread = (name) => {
    if (!counted.has(name) && fragments.has(name)) {
      counted.set(name, 0); // of a circle, which validation finds
      counted.set(name, selected(fragments.get(name).selectionSet));
    }
    return counted.get(name) ?? 0;
  };
  const selected = ({ selections } = { selections: [] }) =>
    selections.reduce((sum, each) => {
      if (each.kind === 'FragmentSpread') return sum + spread(each.name.value);
      return sum + (each.kind === 'Field') + selected(each.selectionSet);
    }, 0);
  return document.definitions
    .filter(({ kind }) => kind === 'OperationDefinition')
    .reduce((sum, { selectionSet }) => sum + selected(selectionSet), 0);
}

// The rule of a plugin: what it reports is answered instead of the operation.
const withinLimits = {
  onValidate({ params: { documentAST }, setResult }) {
    if (fieldsOf(documentAST) <= MAX_FIELDS) return;
    const error = new Error(`The operation is too large: fields that it selects, at most ${MAX_FIELDS}`);
    const extensions = { code: 'QUERY_TOO_COMPLEX' };
    setResult([Object.assign(error, { name: 'GraphQLError', extensions, toJSON: () => ({ message: error.message, extensions }) })]);
  },
};

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
  maxTokens: MAX_TOKENS,
  plugins: () => [withinLimits, { onResponse: ({ response }) => response.headers.set('cache-control', 'no-store') }],
  propagateHeaders: {
    fromClientToSubgraphs: (given) => {
      const authorization = authorizationOf(given);
      return authorization === undefined ? {} : { authorization };
    },
  },
};
