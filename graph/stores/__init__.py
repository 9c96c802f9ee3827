"""Where commits are kept; one protocol, one conformance test for all."""
