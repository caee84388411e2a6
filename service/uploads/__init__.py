"""Uploads: a large file sent in parts, in any order, that become one file in the end."""
