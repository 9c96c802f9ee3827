"""GraphQL answered inside Neo4j, for graphs that no memory holds: see `api.pushdown.engine`."""
