"""Scripts of the project, which are run and not installed."""
