// Mercurius 16 over Fastify 5, compiling every operation (jit: 1), with its own loaders in place of DataLoader.
import Fastify from "fastify";
import mercurius from "mercurius";
import { lastMessages, usersByIds } from "./data.mjs";
import { contextOf, resolvers, typeDefs } from "./resolvers.mjs";

const person = (key) => async (queries) => {
  const ids = [...new Set(queries.map(({ obj }) => obj[key]).filter((id) => id !== null))];
  const found = new Map((await usersByIds(ids)).map((user, place) => [ids[place], user]));
  return queries.map(({ obj }) => found.get(obj[key]) ?? null);
};

const { Post, Conversation, Message, LedgerEntry, Listing, Transfer, ...others } = resolvers;
const app = Fastify();
app.register(mercurius, {
  schema: typeDefs,
  resolvers: others,
  loaders: {
    Post: { author: person("authorId") },
    Conversation: {
      messages: async (queries) => lastMessages(queries.map(({ obj, params }) => ({ ...obj, last: params.last }))),
    },
    Message: { sender: person("senderId") },
    LedgerEntry: { counterparty: person("counterpartyId") },
    Listing: { seller: person("sellerId") },
    Transfer: { recipient: person("recipientId") },
  },
  jit: 1,
  context: (request) => contextOf(request.headers["x-user"]),
});
const url = await app.listen({ port: 0, host: "127.0.0.1" });
console.log(`serving at ${url}/graphql`);
