// Knows the panel that keeps subscriptions running beside the editor, and the log of what they brought.
import { useEffect } from "react";
import { watchable } from "./documents";
import { clearEvents, events, type LoggedEvent } from "./events";
import { Store, useStore } from "./store";
import { subscribe } from "./transport";

// Outside React: closing the panel must not end what it watches.
const running = new Store<Map<string, () => void>>(new Map());
const failures = new Store<Map<string, string>>(new Map());

const without = <T,>(map: Map<string, T>, label: string): Map<string, T> =>
  new Map([...map].filter(([key]) => key !== label));

const reasonOf = (error: unknown): string => {
  const [first] = Array.isArray(error) ? error : [error];
  return (first as { message?: string } | undefined)?.message ?? "The stream ended";
};

const start = ({ label, query, operationName }: (typeof watchable)[number]): void => {
  failures.set(without(failures.get(), label));
  const ended = () => running.set(without(running.get(), label));
  const stop = subscribe(label, { query, operationName }, true, {
    next: () => undefined,
    error(error) {
      failures.set(new Map(failures.get()).set(label, reasonOf(error)));
      ended();
    },
    complete: ended,
  });
  running.set(new Map(running.get()).set(label, stop));
};

const toggle = (watched: (typeof watchable)[number]): void => {
  const stop = running.get().get(watched.label);
  if (!stop) return start(watched);
  stop();
  running.set(without(running.get(), watched.label));
};

const Event = ({ event }: { event: LoggedEvent }) => (
  <li>
    <details>
      <summary>
        <time>{event.at.toLocaleTimeString()}</time>
        <b>{event.source}</b>
        <code>{summaryOf(event)}</code>
      </summary>
      <pre>{JSON.stringify(event.result, null, 2)}</pre>
    </details>
  </li>
);

interface Told {
  message?: { text: string; sender: { handle: string } | null };
  wallet?: { currency: string; available: { amount: string } };
  order?: { state: string };
  notification?: { kind: string; actor: { handle: string } | null };
  type?: string;
  seq?: string;
}

const summaryOf = ({ result }: LoggedEvent): string => {
  if (result.errors) return result.errors[0]?.message ?? "error";
  const [told] = Object.values(result.data ?? {}) as Told[];
  if (told?.message) return `${told.message.sender?.handle ?? "?"}: ${told.message.text}`;
  if (told?.wallet?.available) return `${told.wallet.available.amount} ${told.wallet.currency}`;
  if (told?.order) return told.order.state;
  if (told?.notification) return `${told.notification.actor?.handle ?? ""} ${told.notification.kind}`.trim();
  if (told?.type) return `#${told.seq} ${told.type}`;
  return JSON.stringify(told ?? null).slice(0, 80);
};

const Live = () => {
  const watching = useStore(running);
  const failed = useStore(failures);
  const { total, latest } = useStore(events);
  useEffect(() => () => failures.set(new Map()), []);
  return (
    <section className="agora-panel">
      <h2>Live</h2>
      <p>These run beside the editor: switch one on, then change something in another tab or window.</p>
      <div className="agora-switches">
        {watchable.map((watched) => (
          <label key={watched.label}>
            <input type="checkbox" checked={watching.has(watched.label)} onChange={() => toggle(watched)} />
            {watched.label}
            {failed.has(watched.label) && <em role="alert">{failed.get(watched.label)}</em>}
          </label>
        ))}
      </div>
      <div className="agora-log-head">
        <span data-testid="event-total">{total === 1 ? "1 event" : `${total} events`}</span>
        <button type="button" onClick={clearEvents} disabled={total === 0}>
          Clear
        </button>
      </div>
      <ol className="agora-log" aria-label="Events">
        {latest.map((event) => (
          <Event key={event.number} event={event} />
        ))}
      </ol>
    </section>
  );
};

const Icon = () => (
  <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round">
    <circle cx="12" cy="12" r="2" fill="currentColor" />
    <path d="M7.8 16.2a6 6 0 0 1 0-8.4M16.2 7.8a6 6 0 0 1 0 8.4M4.9 19.1a10 10 0 0 1 0-14.2M19.1 4.9a10 10 0 0 1 0 14.2" />
  </svg>
);

export const livePlugin = { title: "Live", icon: Icon, content: Live };
