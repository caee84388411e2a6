"""Erasure of rows: finds rows by their text in all files of a project, and removes them."""
