// Apollo Server 5 as its documentation starts it.
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { contextOf, resolvers, typeDefs } from "./resolvers.mjs";

const { url } = await startStandaloneServer(new ApolloServer({ typeDefs, resolvers }), {
  listen: { port: 0, host: "127.0.0.1" },
  context: async ({ req }) => contextOf(req.headers["x-user"]),
});
console.log(`serving at ${url}`);
