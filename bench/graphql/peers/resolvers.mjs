// The graph that all servers for Node.js serve: its types, and resolvers with a DataLoader for what is batched.
import { readFileSync } from "node:fs";
import { GraphQLScalarType } from "graphql";
import * as data from "./data.mjs";

export const typeDefs = readFileSync(new URL("town.graphql", import.meta.url), "utf8");

export const DateTime = new GraphQLScalarType({ name: "DateTime", serialize: (time) => time.toISOString() });

// Nobody is authenticated here: who asks is whoever a header says.
export const contextOf = (userId) => ({ userId, ...data.loaders() });

const person = (key) => (parent, _, context) => (parent[key] === null ? null : context.users.load(parent[key]));

export const resolvers = {
  DateTime,
  Query: {
    viewer: (_, __, { userId }) => ({ id: userId }),
    user: (_, { id }, context) => context.users.load(id),
    posts: (_, { first, after }) => data.newestPosts(first, after),
    listings: (_, { first }) => data.newestListings(first),
  },
  Mutation: {
    transferFunds: (_, { input }, { userId }) => data.transferFunds(userId, input),
  },
  Viewer: {
    user: person("id"),
    conversations: ({ id }, { first }) => data.conversationsOf(id, first),
    wallet: ({ id }, { currency }) => data.walletOf(id, currency),
  },
  Post: { author: person("authorId") },
  Conversation: {
    messages: ({ id, messageCount }, { last }, context) => context.messages.load({ id, messageCount, last }),
  },
  Message: { sender: person("senderId") },
  Wallet: { entries: ({ id }, { first }) => data.entriesOf(id, first) },
  LedgerEntry: { counterparty: person("counterpartyId") },
  Listing: { seller: person("sellerId") },
  Transfer: { recipient: person("recipientId") },
};
