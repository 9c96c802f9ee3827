"""Files for the offline import of Neo4j: whole sites with their journals, however large."""
