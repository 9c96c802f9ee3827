"""Twins, relationships and readings as RFC 4180 tables."""
