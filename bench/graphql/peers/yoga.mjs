// GraphQL Yoga 5 over Node's own HTTP server, as its documentation starts it.
import { createServer } from "node:http";
import { createSchema, createYoga } from "graphql-yoga";
import { contextOf, resolvers, typeDefs } from "./resolvers.mjs";

const yoga = createYoga({
  schema: createSchema({ typeDefs, resolvers }),
  context: ({ request }) => contextOf(request.headers.get("x-user")),
  graphqlEndpoint: "/graphql",
  logging: false,
});
const server = createServer(yoga);
server.listen(0, "127.0.0.1", () => console.log(`serving at http://127.0.0.1:${server.address().port}/graphql`));
