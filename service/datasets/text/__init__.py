"""Analyzes a text: language and script, words and search terms, and tokens."""
