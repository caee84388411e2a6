"""The report of an evaluation: sections, rows, and their templates."""
