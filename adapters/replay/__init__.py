"""Readings from a file, at their own speed or faster."""
