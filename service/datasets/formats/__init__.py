"""Input formats: detection of a file's format, and reading its rows as plain objects."""
