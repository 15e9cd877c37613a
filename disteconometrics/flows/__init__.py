"""Invertible maps of R^d with their log-determinants.

Recipes, the modules made from them, fitted flows in numpy.
"""
