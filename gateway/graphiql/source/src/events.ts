// Knows the last events that subscriptions brought, newest first, and the state of the socket.
import type { ExecutionResult } from "graphql";
import { Store } from "./store";

const KEPT_EVENTS = 100;

export interface LoggedEvent {
  number: number;
  source: string;
  at: Date;
  result: ExecutionResult;
}

export const socketState = new Store<"off" | "connecting" | "connected">("off");
export const events = new Store<{ total: number; latest: LoggedEvent[] }>({ total: 0, latest: [] });

export const logEvent = (source: string, result: ExecutionResult): void => {
  const { total, latest } = events.get();
  const event = { number: total + 1, source, at: new Date(), result };
  events.set({ total: total + 1, latest: [event, ...latest].slice(0, KEPT_EVENTS) });
};

export const clearEvents = (): void => events.set({ total: 0, latest: [] });
