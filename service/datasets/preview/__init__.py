"""Previews: how the first rows of a file are read, and how else they could be."""
