// Knows what the server told this page: where the endpoint is, who may be acted as, and the demo's ids.
export interface Person {
  handle: string;
  name: string;
  token: string;
  note: string;
}

export interface Boot {
  endpoint: string;
  people: Person[];
  demo: { conversationId: string; listingId: string; listingPrice: { amount: string; currency: string } } | null;
}

export const boot: Boot = JSON.parse(document.getElementById("boot")!.textContent!);
