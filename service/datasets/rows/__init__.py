"""Rows of a training file: their structure, canonical form, and split."""
