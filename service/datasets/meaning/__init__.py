"""Rows that mean the same in other words, found with a text encoder."""
