"""GraphML out, for Gephi, yEd, Cytoscape and networkx."""
