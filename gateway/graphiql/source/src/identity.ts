// Knows as whom this page acts: the choice stands in the address (`#as=bob`), so two windows can be two people.
import { boot } from "./boot";
import { Store } from "./store";

export const NOBODY = "-nobody";
export const OWN_TOKEN = "-token";
const TOKEN_KEY = "agora:token";

export interface Identity {
  choice: string;
  token: string;
}

const ownToken = (): string => sessionStorage.getItem(TOKEN_KEY) ?? "";

const identityOf = (choice: string): Identity => {
  if (choice === OWN_TOKEN) return { choice, token: ownToken() };
  const person = boot.people.find(({ handle }) => handle === choice);
  return person ? { choice, token: person.token } : { choice: NOBODY, token: "" };
};

const chosenByAddress = (): string => {
  const asked = new URLSearchParams(location.hash.slice(1)).get("as");
  return asked ?? (ownToken() ? OWN_TOKEN : (boot.people[0]?.handle ?? NOBODY));
};

export const identity = new Store<Identity>(identityOf(chosenByAddress()));

export const addressFor = (choice: string): string =>
  `${location.pathname}#${new URLSearchParams({ as: choice }).toString()}`;

export const actAs = (choice: string): void => {
  history.replaceState(null, "", addressFor(choice));
  identity.set(identityOf(choice));
};

export const actWithToken = (token: string): void => {
  sessionStorage.setItem(TOKEN_KEY, token.trim().replace(/^Bearer\s+/i, ""));
  actAs(OWN_TOKEN);
};

addEventListener("hashchange", () => identity.set(identityOf(chosenByAddress())));
