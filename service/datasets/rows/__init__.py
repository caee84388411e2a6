"""Reads lines, and represents rows: typed (`typed_rows.py`), canonical (`canonical.py`), and as
conversations (`conversation.py`).
"""
