"""Optimisers and what they need: Newton steps, rank, existence of the maximum."""
