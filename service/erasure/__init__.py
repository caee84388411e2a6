"""Erasure: deletions of objects with all their bytes, signed receipts, and searches for rows.

`eraser.py` deletes objects and what was made from them, which `lineage.py` finds. `deletions.py`
lists what a deletion removes, and completes it once nothing is left. `receipts.py` decides what is
signed, and verifies it. `search/` finds rows with a text in all files of a project, and erases
them. This package knows the records and the storage of all domains.
"""
