"""Asking a mesh of this process by GraphQL, through the same application that a server runs."""
