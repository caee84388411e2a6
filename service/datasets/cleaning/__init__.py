"""Cleaning of a file into new ones: decisions on rows, repaired texts, redaction, duplicates, and a
validation split, with a diff of every dropped or changed row.
"""
