// mercurius with its JIT: PORT DATA TOKEN
import Fastify from "fastify";
import mercurius from "mercurius";
import { authorization, port, resolvers, typeDefs } from "./fleet.mjs";

const app = Fastify();
app.addHook("onRequest", async (request, reply) => {
  if (request.headers.authorization !== authorization) {
    return reply.code(401).send({ errors: [{ message: "a token is needed" }] });
  }
});
app.register(mercurius, { schema: typeDefs, resolvers, jit: 1 });
await app.listen({ host: "127.0.0.1", port: Number(port) });
