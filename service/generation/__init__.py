"""Generation of training rows from documents: `/v1/datasets`, and the task that makes the rows.

`documents.py` checks and cuts the documents, `passage_work.py` decides what to ask about a passage
and which rows to keep, `prompts.py` has the requests, and `rows.py` drops near duplicates.
"""
