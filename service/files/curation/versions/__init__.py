"""Versions of a data set: comparisons of two files, and merges of several."""
