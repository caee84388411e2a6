"""Comparisons of the runs of an eval: rules, routes, and the Markdown form."""
