"""Cleaning of a data set, with a diff of every change."""
