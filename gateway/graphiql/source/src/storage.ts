// Knows where this page keeps its tabs: apart for every demo town, whose ids stand in the saved variables.
import { boot } from "./boot";

const prefix = `agora:${boot.demo?.conversationId ?? "graph"}:`;

const ownKeys = (): string[] => Object.keys(localStorage).filter((key) => key.startsWith(prefix));

export const pageStorage = {
  getItem: (key: string): string | null => localStorage.getItem(prefix + key),
  setItem: (key: string, value: string): void => localStorage.setItem(prefix + key, value),
  removeItem: (key: string): void => localStorage.removeItem(prefix + key),
  clear: (): void => ownKeys().forEach((key) => localStorage.removeItem(key)),
  get length(): number {
    return ownKeys().length;
  },
};

interface KeptTab {
  query?: string | null;
  variables?: string | null;
}

/** The tab that was at the front when this page was last open, in whichever window; nothing on a first visit. */
export const keptTab = (): KeptTab | undefined => {
  try {
    const kept = JSON.parse(pageStorage.getItem("graphiql:tabState") ?? "");
    return kept.tabs[kept.activeTabIndex];
  } catch {
    return undefined;
  }
};
