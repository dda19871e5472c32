// Knows the balances that the Live panel shows: asked for once, then moved by every event.
import type { ExecutionResult } from "graphql";
import pay from "./documents/pay.graphql";
import { identity } from "./identity";
import { Store } from "./store";
import { post } from "./transport";

export interface LedgerEntry {
  amount?: { amount: string };
  counterparty?: { handle: string } | null;
  memo?: string | null;
}

export interface Wallet {
  currency: string;
  version: string;
  available: { amount: string };
}

export interface Balance {
  wallet: Wallet;
  entry?: LedgerEntry;
}

export const balances = new Store<Balance[]>([]);

// An answer that was under way may be older than an event: the version says which is newer.
const show = (shown: Balance): void => {
  const known = balances.get();
  const before = known.find(({ wallet }) => wallet.currency === shown.wallet.currency);
  if (!before) return balances.set([...known, shown]);
  if (BigInt(before.wallet.version) < BigInt(shown.wallet.version))
    balances.set(known.map((balance) => (balance === before ? shown : balance)));
};

export const forgetBalances = (): void => balances.set([]);

export const askBalances = async (): Promise<void> => {
  const asker = identity.get();
  const { data } = await post({ query: pay, operationName: "Pay" });
  if (identity.get() !== asker) return;
  const viewer = data?.viewer as { wallets: Wallet[] } | null | undefined;
  for (const wallet of viewer?.wallets ?? []) show({ wallet });
};

export const moveBalance = ({ data }: ExecutionResult): void => {
  const moved = data?.balanceChanged as Balance | null | undefined;
  if (moved) show(moved);
};
