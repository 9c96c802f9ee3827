// What both Node peers share: the data that bench/graphql_peers/fleet.py wrote, and the schema over it.
import { readFileSync } from "node:fs";

export const [port, data, token] = process.argv.slice(2);
export const authorization = `Bearer ${token}`;

const fleet = JSON.parse(readFileSync(data, "utf8"));

export const typeDefs = `
  enum Quality { GOOD UNCERTAIN BAD }
  type Sensor {
    id: ID! localId: String! name: String kind: String! site: String! value: Float unit: String quality: Quality
  }
  type Pump { id: ID! localId: String! name: String kind: String! site: String! points: [Sensor!]! }
  type PumpConnection { nodes: [Pump!]! }
  type Query { pumpList(first: Int): PumpConnection! }
`;

export const resolvers = {
  Query: { pumpList: (_root, { first }) => ({ nodes: fleet.slice(0, first ?? 50) }) },
};
