"""Detection and redaction of personal data: one module per kind, which `detect.py` combines.

`redact.py` replaces every value that is confirmed anywhere in a file, as `known_values.py` finds
it in any spelling.
"""
