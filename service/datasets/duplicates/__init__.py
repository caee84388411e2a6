"""Comparison of rows: what a text says without politeness (`wording.py`), whether two rows mean the
same or differ in facts (`compare.py`), and groups of similar rows (`groups.py`). It does not know
the report.
"""
