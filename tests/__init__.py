"""A package by name: one of the libraries brings a top-level `tests` of its own, found first otherwise."""
