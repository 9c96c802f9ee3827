// Apollo Server as its documentation starts it: PORT DATA TOKEN
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { GraphQLError } from "graphql";
import { authorization, port, resolvers, typeDefs } from "./fleet.mjs";

const refusal = { extensions: { code: "UNAUTHENTICATED", http: { status: 401 } } };

await startStandaloneServer(new ApolloServer({ typeDefs, resolvers, csrfPrevention: true }), {
  listen: { host: "127.0.0.1", port: Number(port) },
  context: async ({ req }) => {
    if (req.headers.authorization !== authorization) throw new GraphQLError("a token is needed", refusal);
    return {};
  },
});
