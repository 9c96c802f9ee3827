"""Journals and graphs in Neo4j. Imported only where a folder names one: the driver takes a while."""
