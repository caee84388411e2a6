"""Finds names of persons."""
