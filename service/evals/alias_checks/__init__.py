"""Checks of aliases: runs of their suites on a model, after which the alias may move to it."""
