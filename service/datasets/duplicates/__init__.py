"""Comparison of rows: what a text says without politeness (`wording.py`), whether two rows mean the
same or differ in facts (`compare.py`), and groups of similar rows (`groups.py`).

The similarity from which rows are near-duplicates is in `datasets/limits.py`. This package does not
know the report.
"""
