// Knows how the last events read: one line of what happened, the whole answer on a click.
import type { LedgerEntry, Wallet } from "./balances";
import { clearEvents, events, type LoggedEvent } from "./events";
import { useStore } from "./store";

const SUMMARY_MAX_CHARS = 160;

interface Money {
  amount: string;
  currency: string;
}

interface Told {
  message?: { text: string; sender: { handle: string } | null; transfer: { amount: Money } | null };
  wallet?: Wallet;
  entry?: LedgerEntry;
  order?: { state: string; total?: Money; merchant?: { name: string } | null };
  notification?: { kind: string; actor: { handle: string } | null };
  type?: string;
  seq?: string;
  eventAmount?: Money | null;
}

const written = (money: Money | null | undefined): string => (money ? `${money.amount} ${money.currency}` : "");
const line = (...parts: (string | null | undefined)[]): string => parts.filter(Boolean).join(" · ");

/** Says by whom or to whom money moved: an amount below zero left the wallet. */
export const moveOf = ({ amount, counterparty, memo }: LedgerEntry): string => {
  const direction = amount?.amount.startsWith("-") ? "to" : "from";
  return line([amount?.amount, counterparty && `${direction} ${counterparty.handle}`].filter(Boolean).join(" "), memo);
};

const messageIn = ({ sender, text, transfer }: NonNullable<Told["message"]>): string =>
  `${sender?.handle ?? "?"}: ${line(transfer && written(transfer.amount), text)}`;

const summaryOf = ({ result }: LoggedEvent): string => {
  if (result.errors) return result.errors[0]?.message ?? "error";
  const [told] = Object.values(result.data ?? {}) as Told[];
  if (told?.message) return messageIn(told.message);
  if (told?.wallet?.available)
    return line(written({ ...told.wallet.available, currency: told.wallet.currency }), told.entry && moveOf(told.entry));
  if (told?.order) return line(told.order.state, written(told.order.total), told.order.merchant?.name);
  if (told?.notification) return line(told.notification.kind, told.notification.actor?.handle);
  if (told?.type) return line(`#${told.seq} ${told.type}`, written(told.eventAmount));
  return JSON.stringify(told ?? null);
};

const Event = ({ event }: { event: LoggedEvent }) => (
  <li>
    <details>
      <summary>
        <span className="agora-log-line">
          <b>{event.source}</b>
          <time>{event.at.toLocaleTimeString()}</time>
        </span>
        <span className="agora-log-text">{summaryOf(event).slice(0, SUMMARY_MAX_CHARS)}</span>
      </summary>
      <pre>{JSON.stringify(event.result, null, 2)}</pre>
    </details>
  </li>
);

export const Log = () => {
  const { total, latest } = useStore(events);
  return (
    <>
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
    </>
  );
};
