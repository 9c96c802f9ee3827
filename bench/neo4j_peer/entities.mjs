// @neo4j/graphql under Apollo Server, on the graph that twinmesh writes: PORT BOLT_URL PASSWORD TOKEN
// With the label Entity in every type, so that it has the index on `id` that we have.
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { Neo4jGraphQL } from "@neo4j/graphql";
import { GraphQLError } from "graphql";
import neo4j from "neo4j-driver";

const [port, bolt, password, token] = process.argv.slice(2);

const typeDefs = `
  type Building @node(labels: ["Entity", "brick:Building"]) {
    id: ID! name: String floors: [Floor!]! @relationship(type: "tm:partOf", direction: IN)
  }
  type Floor @node(labels: ["Entity", "rec:Level"]) {
    id: ID! name: String rooms: [Room!]! @relationship(type: "tm:partOf", direction: IN)
  }
  type Room @node(labels: ["Entity", "rec:Room"]) {
    id: ID! name: String machines: [Machine!]! @relationship(type: "tm:locatedIn", direction: IN)
  }
  type Machine @node(labels: ["Entity", "brick:VAV"]) {
    id: ID! name: String ratedPower: Float
    points: [Sensor!]! @relationship(type: "tm:pointOf", direction: IN)
    plants: [Plant!]! @relationship(type: "tm:feeds", direction: IN)
  }
  type Sensor @node(labels: ["Entity", "tm:Point"]) { id: ID! name: String }
  type Plant @node(labels: ["Entity", "brick:Chiller"]) {
    id: ID! name: String ratedPower: Float
    downstream: [Reached!]! @cypher(columnName: "found", statement: """
      MATCH p = (this)-[:\`tm:feeds\`*1..]->(n) WITH n, min(length(p)) AS depth
      ORDER BY depth, n.id LIMIT 1000 RETURN {id: n.id, depth: depth} AS found
    """)
  }
  type Reached { id: ID! depth: Int! }
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
