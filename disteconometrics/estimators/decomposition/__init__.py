"""Decompositions of differences between two groups."""
