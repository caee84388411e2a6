"""Checks rows and whole files.

`issue_codes.py` lists every code with its severity, message and fix. `validate.py` checks a file
line by line with typed decoders, and runs the detailed checks of `rows.py` and `messages.py` on
lines that these reject. `negative_labels.py` detects rows that mark bad answers.
"""
