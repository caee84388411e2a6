"""Finds duplicate, near-duplicate, and contradicting rows.

`minhash.py` finds candidates, `wording.py` removes punctuation and politeness from a text,
`compare.py` decides whether two rows mean the same, and `groups.py` whether two answers agree.
`similar_rows.py` searches one file, and `overlap.py` two files for common rows. The threshold of
near-duplicates is in `datasets/limits.py`. This package does not import the report.
"""
