"""Formats in: what a file is, and its rows as plain objects, whatever holds them."""
