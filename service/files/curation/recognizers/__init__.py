"""Recognizers: what a project counts as personal data beyond the kinds that are detected."""
