"""Optimal transport between samples: arrays in, immutable results out."""
