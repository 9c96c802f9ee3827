"""OPC UA: a source of readings, a sink for commands, a face for others, NodeSet2 files."""
