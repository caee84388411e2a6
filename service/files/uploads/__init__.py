"""Multipart uploads: large files sent in parts, in any order, and then joined.

`records.py` decides the status and limits of an upload, and `assembly.py` stores and joins parts.
"""
