"""Requests that nobody wrote by hand."""
