"""Comparison of texts: signatures, groups of similar ones, and whether two mean the same."""
