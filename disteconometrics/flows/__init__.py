"""Invertible maps of R^d with their log-determinants: recipes, the modules made from them, fitted flows in numpy."""
