"""RDF in Turtle, JSON-LD, N-Quads and RDF/XML by pyoxigraph; rdflib as the face for RDF users."""
