"""Summaries, tables and files."""
