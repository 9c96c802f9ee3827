// A subgraph that is not twinmesh: orders of a maintenance firm. It knows twins by their ids alone, adds a
// field to those it services, and its own entities refer to twins of both sites.

export const SDL = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])

  interface Twin { id: ID! }
  type campus_AHUTwin implements Twin @key(fields: "id") { id: ID!  orders: [Order!] }
  type plant_ProcessTwin implements Twin @key(fields: "id") { id: ID!  orders: [Order!] }
  type plant_AssetTwin implements Twin @key(fields: "id") { id: ID! }
  type Order @key(fields: "id") { id: ID!  title: String!  twins: [Twin]  fails: String }
  type Query { orders: [Order!]  order(id: ID!): Order }
`;

// orders: [{id, title, twins: [{__typename, id}]}]
export function foreignSubgraph(require, orders) {
  const { buildSubgraphSchema } = require('@apollo/subgraph');
  const { parse } = require('graphql');
  const about = (id) => orders.filter((order) => order.twins.some((twin) => twin.id === id));
  const serviced = { orders: (twin) => about(twin.id) };
  const resolvers = {
    Query: { orders: () => orders, order: (_, { id }) => orders.find((each) => each.id === id) ?? null },
    Order: {
      __resolveReference: ({ id }) => orders.find((each) => each.id === id) ?? null,
      fails: () => {
        throw new Error('the firm does not tell');
      },
    },
    Twin: { __resolveType: (twin) => twin.__typename },
    campus_AHUTwin: serviced,
    plant_ProcessTwin: serviced,
  };
  const modules = Object.entries(resolvers);
  return { sdl: SDL, schema: buildSubgraphSchema([{ typeDefs: parse(SDL), resolvers: Object.fromEntries(modules) }]) };
}
