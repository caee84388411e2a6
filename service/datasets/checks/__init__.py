"""Checks of rows and whole files.

`issue_codes.py` lists every code with its severity, message and fix. `validate.py` checks a file
line by line: first with typed decoders, then, where these fail, with the detailed checks of
`rows.py` and `messages.py`, which explain what is wrong.
"""
