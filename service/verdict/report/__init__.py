"""Renders the report of an evaluation as one HTML page and as Markdown."""
