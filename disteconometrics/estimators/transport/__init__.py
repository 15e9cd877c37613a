"""Estimators that rest on Wasserstein distances."""
