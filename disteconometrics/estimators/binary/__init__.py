"""Estimators of a binary outcome."""
