"""Data set cleaning, with a diff of every change."""
