"""Data-generating processes and Monte Carlo studies."""
