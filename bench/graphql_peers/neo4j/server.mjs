// @neo4j/graphql under Apollo Server, as its documentation starts it: PORT BOLT_URL PASSWORD TOKEN
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { Neo4jGraphQL } from "@neo4j/graphql";
import { GraphQLError } from "graphql";
import neo4j from "neo4j-driver";

const [port, bolt, password, token] = process.argv.slice(2);

// One list of ids, which Neo4j gives ten times as fast as one row for each (notes of the measurements before).
const typeDefs = `
  type Building @node { id: ID! name: String kind: String! floors: [Floor!]! @relationship(type: "PART_OF", direction: IN) }
  type Floor @node { id: ID! name: String kind: String! rooms: [Room!]! @relationship(type: "PART_OF", direction: IN) }
  type Room @node { id: ID! name: String kind: String! machines: [Machine!]! @relationship(type: "LOCATED_IN", direction: IN) }
  type Machine @node {
    id: ID! name: String kind: String! ratedPower: Float
    points: [Sensor!]! @relationship(type: "POINT_OF", direction: IN)
  }
  type Sensor @node { id: ID! name: String kind: String! }
  type Plant @node {
    id: ID! name: String kind: String! ratedPower: Float
    downstream: [ID!]! @cypher(
      statement: "MATCH (this)-[:FEEDS*1..]->(m) WITH DISTINCT m RETURN collect(m.id) AS ids"
      columnName: "ids"
    )
  }
`;

const driver = neo4j.driver(bolt, neo4j.auth.basic("neo4j", password));
const schema = await new Neo4jGraphQL({ typeDefs, driver }).getSchema();
const refusal = { extensions: { code: "UNAUTHENTICATED", http: { status: 401 } } };

await startStandaloneServer(new ApolloServer({ schema }), {
  listen: { host: "127.0.0.1", port: Number(port) },
  context: async ({ req }) => {
    if (req.headers.authorization !== `Bearer ${token}`) throw new GraphQLError("a token is needed", refusal);
    return {};
  },
});
