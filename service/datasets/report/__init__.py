"""Data set report: features, statistics, advice, and rendering."""
