"""What may exist: kinds, relations and how trouble travels along them, attributes, units, errors."""
