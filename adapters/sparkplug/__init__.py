"""Sparkplug B: a host application that lets births make the points."""
