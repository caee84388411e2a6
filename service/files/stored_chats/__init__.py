"""Stored chats: chat completions that a project keeps, and training files made from them.

`recorder.py` decides which chats are stored, and copies them in the API's process. A child process
redacts them (`redaction.py`), after `chats.py` and `responses.py` have read their bodies.
"""
