"""Ways to ask: GraphQL, HTTP and the command line."""
