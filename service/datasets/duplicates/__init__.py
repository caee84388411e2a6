"""Exact duplicates, near duplicates, contradictions, and overlap."""
