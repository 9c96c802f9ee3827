"""What may exist: kinds, relations with their propagation semantics, attributes, units, and the error tree."""
