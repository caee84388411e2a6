"""Cleans a file: writes training and validation files, and a diff of all changes.

`clean.py` applies decisions on rows and drops duplicates and contradictions, `text.py` repairs and
redacts texts, and `split.py` chooses the validation rows.
"""
