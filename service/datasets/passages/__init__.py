"""Passages: documents in plain text, Markdown or HTML, cut to places that a model can read."""
