// Knows the panel that keeps subscriptions running beside the editor, and shows what they bring.
import { useEffect } from "react";
import { askBalances, type Balance, balances, forgetBalances, moveBalance } from "./balances";
import { type Watchable, watchable } from "./documents";
import { identity } from "./identity";
import { Log, moveOf } from "./Log";
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

const start = ({ label, query, operationName }: Watchable): void => {
  failures.set(without(failures.get(), label));
  const ended = () => running.set(without(running.get(), label));
  const stop = subscribe(label, { query, operationName }, true, {
    next: moveBalance,
    error(error) {
      failures.set(new Map(failures.get()).set(label, reasonOf(error)));
      ended();
    },
    complete: ended,
  });
  running.set(new Map(running.get()).set(label, stop));
};

const toggle = (watched: Watchable): void => {
  const stop = running.get().get(watched.label);
  if (!stop) return start(watched);
  stop();
  running.set(without(running.get(), watched.label));
};

const BalanceCard = ({ wallet, entry }: Balance) => (
  <li className={entry && "agora-moved"}>
    <span className="agora-amount">
      {wallet.available.amount} <small>{wallet.currency}</small>
    </span>
    {entry && <span className="agora-move">{moveOf(entry)}</span>}
  </li>
);

const Balances = () => {
  const { choice } = useStore(identity);
  const shown = useStore(balances);
  useEffect(() => {
    forgetBalances();
    void askBalances();
  }, [choice]);
  if (shown.length === 0) return null;
  return (
    <ul className="agora-balances" aria-label="Balances now">
      {shown.map((balance) => (
        <BalanceCard key={`${balance.wallet.currency} ${balance.wallet.version}`} {...balance} />
      ))}
    </ul>
  );
};

const Live = () => {
  const watching = useStore(running);
  const failed = useStore(failures);
  useEffect(() => () => failures.set(new Map()), []);
  return (
    <section className="agora-panel">
      <h2>Live</h2>
      <p>Subscriptions that run beside the editor. Switch one on, then change something in a tab or another window.</p>
      <div className="agora-switches">
        {watchable.map((watched) => (
          <label key={watched.label}>
            <input type="checkbox" checked={watching.has(watched.label)} onChange={() => toggle(watched)} />
            <span>
              {watched.label} {watched.note && <small>{watched.note}</small>}
            </span>
            {failed.has(watched.label) && <em role="alert">{failed.get(watched.label)}</em>}
          </label>
        ))}
      </div>
      {watching.has("Balances") && <Balances />}
      <Log />
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
