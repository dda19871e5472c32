// Knows the tabs that a first visit opens, and the documents behind the switches of the Live panel.
import { boot } from "./boot";
import chat from "./documents/chat.graphql";
import partner from "./documents/partner.graphql";
import pay from "./documents/pay.graphql";
import shop from "./documents/shop.graphql";
import timeline from "./documents/timeline.graphql";

const { demo } = boot;
const written = (variables: object): string => JSON.stringify(variables, null, 2);
const price = demo?.listingPrice ?? { amount: "10.00", currency: "EUR" };

export const tabs = [
  { query: timeline, variables: written({ handle: demo ? "carol" : "", text: "Good morning, #agora" }) },
  { query: chat, variables: written({ conversationId: demo?.conversationId ?? "", text: "Hello from GraphiQL" }) },
  {
    query: pay,
    variables: written({
      idempotencyKey: "auto",
      to: demo ? "bob" : "",
      amount: { amount: "1.00", currency: price.currency },
      memo: "Coffee",
      ...(demo ? { conversationId: demo.conversationId } : {}),
    }),
  },
  {
    query: shop,
    variables: written({
      idempotencyKey: "auto",
      orderId: "last",
      lines: [{ listingId: demo?.listingId ?? "", quantity: 1, expectedUnitPrice: price }],
    }),
  },
  { query: partner, variables: "{}" },
];

export interface Watchable {
  label: string;
  note?: string;
  query: string;
  operationName: string;
}

export const watchable: Watchable[] = [
  { label: "Messages", query: chat, operationName: "ChatLive" },
  { label: "Balances", query: pay, operationName: "PayLive" },
  { label: "Orders", query: shop, operationName: "ShopLive" },
  { label: "Notifications", query: timeline, operationName: "TimelineLive" },
  { label: "Payment events", note: "for merchants and partners", query: partner, operationName: "PartnerLive" },
];
