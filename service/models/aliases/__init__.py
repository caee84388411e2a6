"""Aliases: project-defined model names that can be promoted, split and rolled back in one call."""
