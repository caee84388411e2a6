"""Rows of the row formats: reading lines, typed and canonical forms, conversations, and what chat
templates make of them.
"""
