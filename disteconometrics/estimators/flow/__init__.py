"""Densities by normalizing flows."""
