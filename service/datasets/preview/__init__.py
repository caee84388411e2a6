"""Previews: how the first rows of a file are read, and the other format options that it allows."""
