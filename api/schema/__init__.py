"""The GraphQL schema: fixed types, and types generated from the kinds in use."""
