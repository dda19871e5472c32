// Knows how operations reach the gateway: POST for queries and mutations, one WebSocket for subscriptions.
import type { Fetcher, FetcherParams } from "@graphiql/toolkit";
import { type ExecutionResult, getOperationAST, type GraphQLError, type OperationDefinitionNode, parse } from "graphql";
import { createClient } from "graphql-ws/client";
import { boot } from "./boot";
import { logEvent, socketState } from "./events";
import { identity } from "./identity";

const REQUEST_TIMEOUT_MS = 60_000;
const PING_EVERY_MS = 20_000;
const RETRY_ATTEMPTS = 60;
const RETRY_WAIT_MAX_MS = 5_000;
// A switch of person ends the socket on purpose: the first attempt after that should not be felt.
const FIRST_RETRY_WAIT_MS = 50;
const CODES_THAT_LAST = new Set([4400, 4401, 4403, 4406]);

const authorization = (): Record<string, string> => {
  const { token } = identity.get();
  return token ? { Authorization: `Bearer ${token}` } : {};
};

const socketUrl = (): string => {
  const url = new URL(boot.endpoint, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
};

const client = createClient({
  url: socketUrl,
  connectionParams: authorization,
  keepAlive: PING_EVERY_MS,
  retryAttempts: RETRY_ATTEMPTS,
  retryWait: (attempt) =>
    new Promise((done) => setTimeout(done, Math.min(FIRST_RETRY_WAIT_MS * 2 ** attempt, RETRY_WAIT_MAX_MS))),
  shouldRetry: (closed) => !(closed instanceof CloseEvent && CODES_THAT_LAST.has(closed.code)),
  on: {
    connecting: () => socketState.set("connecting"),
    connected: () => socketState.set("connected"),
    closed: () => socketState.set("off"),
  },
});

// Running subscriptions are sent again over the new socket, as the new person.
identity.subscribe(() => client.terminate());

const randomKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

let lastOrderId: string | undefined;

const noteOrder = ({ data }: ExecutionResult): void => {
  const placed = data?.placeOrder as { order?: { id?: string } } | null | undefined;
  lastOrderId = placed?.order?.id ?? lastOrderId;
};

// Two words stand for what changes from run to run: "auto" as a key and "last" as an order.
const filledIn = (variables: FetcherParams["variables"]): Record<string, unknown> => {
  const filled: Record<string, unknown> = { ...variables };
  if (filled.idempotencyKey === "auto") filled.idempotencyKey = randomKey();
  if (filled.orderId === "last" && lastOrderId) filled.orderId = lastOrderId;
  return filled;
};

const operationIn = ({ query, operationName }: FetcherParams): OperationDefinitionNode | null | undefined => {
  try {
    return getOperationAST(parse(query), operationName);
  } catch {
    // The server explains a syntax error better than this page could.
    return null;
  }
};

const messageOf = (error: unknown): { message: string } => {
  if (error instanceof CloseEvent)
    return { message: `The server closed the socket: ${error.code} ${error.reason || "(no reason given)"}` };
  if (error instanceof Error) return { message: error.message };
  return { message: "The server cannot be reached." };
};

const cursorOf = (result: ExecutionResult): unknown => {
  const [event] = Object.values(result.data ?? {});
  return (event as { cursor?: unknown } | null | undefined)?.cursor;
};

export interface Observer {
  next: (result: ExecutionResult) => void;
  error: (error: unknown) => void;
  complete: () => void;
}

/** Starts a subscription and returns what ends it. A resumable one, whose document has `$after`, goes on after the last cursor seen. */
export const subscribe = (
  source: string,
  { query, operationName, variables }: FetcherParams,
  resumable: boolean,
  observer: Observer,
): (() => void) => {
  const payload = { query, operationName, variables: filledIn(variables) };
  const firstAfter = payload.variables.after;
  const stopForgetting = identity.subscribe(() => {
    payload.variables.after = firstAfter;
  });
  const unsubscribe = client.subscribe(payload, {
    next(message) {
      const result = message as ExecutionResult;
      const cursor = cursorOf(result);
      if (resumable && cursor) payload.variables.after = cursor;
      logEvent(source, result);
      observer.next(result);
    },
    error(error) {
      stopForgetting();
      observer.error(Array.isArray(error) ? error : messageOf(error));
    },
    complete() {
      stopForgetting();
      observer.complete();
    },
  });
  return () => {
    stopForgetting();
    unsubscribe();
  };
};

const readAnswer = async (response: Response): Promise<ExecutionResult> => {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`The server answered ${response.status} ${response.statusText}: ${text.slice(0, 300)}`);
  }
};

/** Sends one operation and returns its answer; what goes wrong on the way is an error in it. */
export const post = async (params: FetcherParams, headers: Record<string, string> = {}): Promise<ExecutionResult> => {
  try {
    const response = await fetch(boot.endpoint, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "application/graphql-response+json, application/json;q=0.9",
        ...authorization(),
        ...headers,
      },
      body: JSON.stringify({ ...params, variables: filledIn(params.variables) }),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    });
    const answer = await readAnswer(response);
    noteOrder(answer);
    return answer;
  } catch (error) {
    return { errors: [messageOf(error) as GraphQLError] };
  }
};

export const fetcher: Fetcher = (params, options) => {
  const operation = operationIn(params);
  if (operation?.operation !== "subscription") return post(params, options?.headers) as ReturnType<Fetcher>;
  const resumable = operation.variableDefinitions?.some(({ variable }) => variable.name.value === "after") ?? false;
  const source = operation.name?.value ?? "subscription";
  const observable = {
    subscribe: (observer: Observer) => ({ unsubscribe: subscribe(source, params, resumable, observer) }),
  };
  return observable as ReturnType<Fetcher>;
};
