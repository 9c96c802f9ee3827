// Composes subgraphs and asks the gateway. In: JSON on stdin, out: JSON on stdout.
// usage: node run.mjs FOLDER-WITH-NODE_MODULES
// in:  {"orders": [...], "scenarios": [{"subgraphs": [{"name", "url", "sdl"}], "queries": [{"query", "variables"}]}]}
//      a subgraph without `url` and `sdl` is the foreign one, which runs here, behind a port of its own
// out: [{"errors": [texts of the composition], "hints": [codes], "answers": [...], "calls": {name: [bodies]}}]
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { foreignSubgraph } from './foreign.mjs';

const require = createRequire(`${process.argv[2]}/`);
const { composeServices } = require('@apollo/composition');
const { ApolloGateway, RemoteGraphQLDataSource } = require('@apollo/gateway');
const { graphql, parse } = require('graphql');

async function text(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString('utf8');
}

async function serve(schema) {
  const server = createServer(async (request, response) => {
    const { query, variables } = JSON.parse(await text(request));
    const answer = await graphql({ schema, source: query, variableValues: variables });
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answer));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return server;
}

async function ask(gateway, executor, { query, variables }) {
  const request = { query, variables: variables ?? {} };
  const answer = await executor({
    document: parse(query),
    request,
    operationName: null,
    queryHash: query,
    context: {},
    cache: new Map(),
    metrics: {},
  });
  const errors = (answer.errors ?? []).map(({ message, path, extensions }) => ({ message, path, extensions }));
  return { data: answer.data, errors };
}

async function run({ subgraphs, queries }, foreign, foreignUrl) {
  const services = subgraphs.map((each) => ({
    name: each.name,
    url: each.url ?? foreignUrl,
    typeDefs: parse(each.sdl ?? foreign.sdl),
  }));
  const composed = composeServices(services);
  if (composed.errors) return { errors: composed.errors.map((each) => each.message) };
  const hints = (composed.hints ?? []).map((each) => each.definition.code);
  if (!queries.length) return { errors: [], hints, answers: [], calls: {} };
  const calls = {};
  class Recording extends RemoteGraphQLDataSource {
    willSendRequest({ request }) {
      const name = services.find((each) => each.url === this.url).name;
      (calls[name] ??= []).push({ query: request.query, variables: request.variables });
    }
  }
  const gateway = new ApolloGateway({
    supergraphSdl: composed.supergraphSdl,
    buildService: ({ url }) => new Recording({ url }),
    logger: { debug() {}, info() {}, warn() {}, error() {} },
  });
  const { executor } = await gateway.load();
  const answers = [];
  for (const each of queries) answers.push(await ask(gateway, executor, each));
  await gateway.stop();
  return { errors: [], hints, answers, calls };
}

const { orders, scenarios } = JSON.parse(await text(process.stdin));
const foreign = foreignSubgraph(require, orders);
const server = await serve(foreign.schema);
const foreignUrl = `http://127.0.0.1:${server.address().port}/`;
const found = [];
for (const scenario of scenarios) found.push(await run(scenario, foreign, foreignUrl));
console.log(JSON.stringify(found));
server.close();
server.closeAllConnections();
